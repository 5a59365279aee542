package institution

import (
	"errors"
	"net/http"

	"github.com/staffetta/staffetta/internal/problem"
	"github.com/staffetta/staffetta/wire"
)

// messageAnswer is the contract's ExternalMessageResponse, with a rejection_reason of ours.
type messageAnswer struct {
	Message         createdMessage `json:"message"`
	Status          string         `json:"status"`
	RejectionReason string         `json:"rejection_reason,omitempty"`
	ReadStatus      string         `json:"read_status,omitempty"`
}

type createdMessage struct {
	ID               string          `json:"id"`
	FiscalCode       string          `json:"fiscal_code"`
	CreatedAt        string          `json:"created_at"`
	SenderServiceID  string          `json:"sender_service_id"`
	TimeToLive       uint32          `json:"time_to_live"`
	FeatureLevelType string          `json:"feature_level_type"`
	Content          *messageContent `json:"content,omitzero"`
}

type messageContent struct {
	Subject               string      `json:"subject"`
	Markdown              string      `json:"markdown"`
	RequireSecureChannels *bool       `json:"require_secure_channels,omitzero"`
	DueDate               string      `json:"due_date,omitempty"`
	PaymentData           *payment    `json:"payment_data,omitzero"`
	ThirdPartyData        *thirdParty `json:"third_party_data,omitzero"`
	EUCovidCert           *covidCert  `json:"eu_covid_cert,omitzero"`
}

type payment struct {
	Amount              uint64 `json:"amount"`
	NoticeNumber        string `json:"notice_number"`
	InvalidAfterDueDate bool   `json:"invalid_after_due_date"`
	Payee               payee  `json:"payee"`
}

type payee struct {
	FiscalCode string `json:"fiscal_code"`
}

type thirdParty struct {
	ID                  string `json:"id"`
	ConfigurationID     string `json:"configuration_id,omitempty"`
	HasRemoteContent    bool   `json:"has_remote_content"`
	HasAttachments      bool   `json:"has_attachments"`
	HasPrecondition     string `json:"has_precondition,omitempty"`
	OriginalSender      string `json:"original_sender,omitempty"`
	OriginalReceiptDate string `json:"original_receipt_date,omitempty"`
	Summary             string `json:"summary,omitempty"`
}

type covidCert struct {
	AuthCode string `json:"auth_code"`
}

func (a *API) readMessage(c *call) error {
	if err := c.needScope(scopeMessageRead); err != nil {
		return err
	}
	code, err := c.pathCode()
	if err != nil {
		return err
	}
	if err := a.checkSource(c); err != nil {
		return err
	}
	// The contract takes any text for an id: one that never was an id is not found.
	id, err := wire.ParseMessageID(c.r.PathValue("id"))
	if err != nil {
		return messageNotFound
	}
	view, err := a.relay.FindMessage(c.r.Context(), code, id)
	if errors.Is(err, wire.NotFound) {
		return messageNotFound
	}
	if err != nil {
		return relayFault(err)
	}
	if view.Service != c.service.ID {
		return notSender
	}
	answer := messageAnswer{Status: view.Verdict.Status.String(), Message: createdMessage{
		ID: view.ID.String(), FiscalCode: string(code), CreatedAt: view.ID.Time().String(),
		SenderServiceID: string(view.Service), TimeToLive: view.TimeToLive,
		FeatureLevelType: view.FeatureLevel.String(), Content: contentOf(view.Content)}}
	if view.Verdict.Status == wire.Rejected {
		answer.RejectionReason = reason(view.Verdict)
	}
	if view.Verdict.Status == wire.Processed && view.FeatureLevel == wire.Advanced &&
		c.institution.HasScope(scopeMessageReadAdvanced) {
		answer.ReadStatus = readStatus(view)
	}
	problem.WriteJSON(c.w, http.StatusOK, answer)
	return nil
}

func readStatus(v *wire.MessageView) string {
	switch {
	case v.ReadHidden:
		return "UNAVAILABLE"
	case v.Read:
		return "READ"
	}
	return "UNREAD"
}

// contentOf is a content as it was submitted, defaults filled in.
func contentOf(c *wire.Content) *messageContent {
	if c == nil {
		return nil
	}
	m := &messageContent{Subject: c.Subject, Markdown: c.Markdown, DueDate: dateOf(c.DueDate)}
	if c.RequireSecureChannels != nil {
		m.RequireSecureChannels = &c.RequireSecureChannels.Set
	}
	if p := c.Payment; p != nil {
		m.PaymentData = &payment{Amount: p.Amount, NoticeNumber: p.NoticeNumber,
			InvalidAfterDueDate: p.InvalidAfterDueDate, Payee: payee{string(p.Payee)}}
	}
	if t := c.ThirdParty; t != nil {
		m.ThirdPartyData = &thirdParty{ID: t.ID, ConfigurationID: t.ConfigurationID,
			HasRemoteContent: t.HasRemoteContent, HasAttachments: t.HasAttachments,
			HasPrecondition: t.HasPrecondition, OriginalSender: t.OriginalSender,
			OriginalReceiptDate: dateOf(t.OriginalReceiptDate), Summary: t.Summary}
	}
	if e := c.EUCovidCert; e != nil {
		m.EUCovidCert = &covidCert{e.AuthCode}
	}
	return m
}

func dateOf(d *wire.Date) string {
	if d == nil {
		return ""
	}
	return d.At.String()
}
