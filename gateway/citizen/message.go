package citizen

import (
	"context"

	"github.com/staffetta/staffetta/wire"
)

// messageWithContent is the contract's CreatedMessageWithContent.
type messageWithContent struct {
	messageHead
	Content content `json:"content"`
}

// publicMessage is the contract's CreatedMessageWithContentAndEnrichedData.
type publicMessage struct {
	messageHead
	enrichment
	Content content `json:"content"`
}

// content is the contract's NewMessageContent, as far as institutions can fill it.
type content struct {
	Subject       string       `json:"subject"`
	Markdown      string       `json:"markdown"`
	SecureOnly    *bool        `json:"require_secure_channels,omitzero"`
	DueDate       string       `json:"due_date,omitzero"`
	Payment       *payment     `json:"payment_data,omitzero"`
	ThirdParty    *thirdParty  `json:"third_party_data,omitzero"`
	Certification *certificate `json:"eu_covid_cert,omitzero"`
}

// payment is the contract's PaymentDataWithRequiredPayee.
type payment struct {
	Amount              uint64 `json:"amount"`
	NoticeNumber        string `json:"notice_number"`
	InvalidAfterDueDate bool   `json:"invalid_after_due_date"`
	Payee               payee  `json:"payee"`
}

type payee struct {
	Code wire.InstitutionID `json:"fiscal_code"`
}

// thirdParty is the contract's ThirdPartyData.
type thirdParty struct {
	ID                  string `json:"id"`
	OriginalSender      string `json:"original_sender,omitzero"`
	OriginalReceiptDate string `json:"original_receipt_date,omitzero"`
	HasAttachments      bool   `json:"has_attachments"`
	HasRemoteContent    bool   `json:"has_remote_content"`
	HasPrecondition     string `json:"has_precondition,omitzero"`
	Summary             string `json:"summary,omitzero"`
	ConfigurationID     string `json:"configuration_id,omitzero"`
}

// certificate is the contract's EUCovidCert.
type certificate struct {
	AuthCode string `json:"auth_code"`
}

// getMessage reads one message of the citizen's; reading it this way does not mark it as read.
func (a *API) getMessage(ctx context.Context, c *call) (any, error) {
	id, ok := parseID(c.r.PathValue("id"))
	if !ok {
		return nil, badParameter("id", "MessageId")
	}
	q, err := query(c.r)
	if err != nil {
		return nil, err
	}
	public, err := q.boolean("public_message")
	if err != nil {
		return nil, err
	}
	var got wire.InboxMessage
	req := &wire.GetInbox{Token: c.token, ID: id}
	if err := c.ask(ctx, wire.MethodGetInbox, req, &got); err != nil {
		return nil, err
	}
	head, body := headOf(&got.Item, got.FiscalCode), contentOf(&got.Content)
	if !public {
		return messageWithContent{head, body}, nil
	}
	from := a.senders(ctx, []wire.InboxItem{got.Item})[got.Item.Service]
	return publicMessage{head, enrichmentOf(&got.Item, from), body}, nil
}

func contentOf(m *wire.Content) content {
	out := content{Subject: m.Subject, Markdown: m.Markdown}
	if m.RequireSecureChannels != nil {
		out.SecureOnly = &m.RequireSecureChannels.Set
	}
	if m.DueDate != nil {
		out.DueDate = m.DueDate.At.String()
	}
	if p := m.Payment; p != nil {
		out.Payment = &payment{Amount: p.Amount, NoticeNumber: p.NoticeNumber,
			InvalidAfterDueDate: p.InvalidAfterDueDate, Payee: payee{p.Payee}}
	}
	if t := m.ThirdParty; t != nil {
		out.ThirdParty = &thirdParty{ID: t.ID, OriginalSender: t.OriginalSender,
			HasAttachments: t.HasAttachments, HasRemoteContent: t.HasRemoteContent,
			HasPrecondition: t.HasPrecondition, Summary: t.Summary,
			ConfigurationID: t.ConfigurationID}
		if t.OriginalReceiptDate != nil {
			out.ThirdParty.OriginalReceiptDate = t.OriginalReceiptDate.At.String()
		}
	}
	if e := m.EUCovidCert; e != nil {
		out.Certification = &certificate{e.AuthCode}
	}
	return out
}
