// Package contract is what is true of IO's public HTTP contract, whoever reads it.
//
// Map of the files:
//
//	operations.go  its operations, and what their answers may hold
//	strict.go      an answer held against that
//	content.go     a message's content as institutions and citizens read it back
//	sandbox.go     the citizen that tests write to
//	scopes.go      the groups that it gives institutions
package contract

import "github.com/staffetta/staffetta/wire"

// Content is the contract's NewMessageContent as it is read back: defaults filled in, absent
// fields left out, never null.
type Content struct {
	Subject               string       `json:"subject"`
	Markdown              string       `json:"markdown"`
	RequireSecureChannels *bool        `json:"require_secure_channels,omitzero"`
	DueDate               string       `json:"due_date,omitempty"`
	PaymentData           *Payment     `json:"payment_data,omitzero"`
	ThirdPartyData        *ThirdParty  `json:"third_party_data,omitzero"`
	EUCovidCert           *EUCovidCert `json:"eu_covid_cert,omitzero"`
}

// Payment is the contract's PaymentDataWithRequiredPayee.
type Payment struct {
	Amount              uint64 `json:"amount"`
	NoticeNumber        string `json:"notice_number"`
	InvalidAfterDueDate bool   `json:"invalid_after_due_date"`
	Payee               Payee  `json:"payee"`
}

// Payee is who is paid.
type Payee struct {
	FiscalCode string `json:"fiscal_code"`
}

// ThirdParty is the contract's ThirdPartyData.
type ThirdParty struct {
	ID                  string `json:"id"`
	ConfigurationID     string `json:"configuration_id,omitempty"`
	HasRemoteContent    bool   `json:"has_remote_content"`
	HasAttachments      bool   `json:"has_attachments"`
	HasPrecondition     string `json:"has_precondition,omitempty"`
	OriginalSender      string `json:"original_sender,omitempty"`
	OriginalReceiptDate string `json:"original_receipt_date,omitempty"`
	Summary             string `json:"summary,omitempty"`
}

// EUCovidCert is the contract's.
type EUCovidCert struct {
	AuthCode string `json:"auth_code"`
}

// ContentOf is a content as it was submitted; nil for nil.
func ContentOf(c *wire.Content) *Content {
	if c == nil {
		return nil
	}
	m := &Content{Subject: c.Subject, Markdown: c.Markdown, DueDate: dateOf(c.DueDate)}
	if c.RequireSecureChannels != nil {
		m.RequireSecureChannels = &c.RequireSecureChannels.Set
	}
	if p := c.Payment; p != nil {
		m.PaymentData = &Payment{Amount: p.Amount, NoticeNumber: p.NoticeNumber,
			InvalidAfterDueDate: p.InvalidAfterDueDate, Payee: Payee{string(p.Payee)}}
	}
	if t := c.ThirdParty; t != nil {
		m.ThirdPartyData = &ThirdParty{ID: t.ID, ConfigurationID: t.ConfigurationID,
			HasRemoteContent: t.HasRemoteContent, HasAttachments: t.HasAttachments,
			HasPrecondition: t.HasPrecondition, OriginalSender: t.OriginalSender,
			OriginalReceiptDate: dateOf(t.OriginalReceiptDate), Summary: t.Summary}
	}
	if e := c.EUCovidCert; e != nil {
		m.EUCovidCert = &EUCovidCert{e.AuthCode}
	}
	return m
}

func dateOf(d *wire.Date) string {
	if d == nil {
		return ""
	}
	return d.At.String()
}
