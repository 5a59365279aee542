package citizen

import (
	"github.com/staffetta/staffetta/internal/fiscalcode"
	"github.com/staffetta/staffetta/internal/strictjson"
	"github.com/staffetta/staffetta/wire"
)

// page is the contract's PaginatedPublicMessagesCollection. Prev is the place to ask behind for
// what arrives after the page, or the first item's id where there is none; Next the last item's,
// there only when older ones remain. Where a page passed over more messages than it may, Next is
// the last of those.
type page struct {
	Items []any  `json:"items"`
	Next  string `json:"next,omitzero"`
	Prev  string `json:"prev,omitzero"`
}

// messageHead is the contract's CreatedMessageWithoutContent.
type messageHead struct {
	ID         string          `json:"id"`
	FiscalCode fiscalcode.Code `json:"fiscal_code"`
	CreatedAt  string          `json:"created_at"`
	Service    wire.ServiceID  `json:"sender_service_id"`
	TimeToLive uint32          `json:"time_to_live,omitzero"`
}

// enrichment is what the contract's EnrichedMessage has besides.
type enrichment struct {
	ServiceName      string             `json:"service_name"`
	OrganizationName string             `json:"organization_name"`
	OrganizationCode wire.InstitutionID `json:"organization_fiscal_code"`
	Title            string             `json:"message_title"`
	Category         category           `json:"category"`
	Attachments      bool               `json:"has_attachments"`
	Precondition     bool               `json:"has_precondition"`
	Read             bool               `json:"is_read"`
	Archived         bool               `json:"is_archived"`
}

// enrichedMessage is the contract's EnrichedMessage.
type enrichedMessage struct {
	messageHead
	enrichment
}

// category is the contract's MessageCategory.
type category struct {
	Tag   string `json:"tag"`
	RptID string `json:"rptId,omitzero"` // with PAYMENT
}

// listMessages lists the inbox, newest first. With an id as minimum_id the page holds the newest
// ids above it; when there are more than fit, next leads to the others. With an arrival it holds
// what came behind it, and prev leads to the others.
func (c *call) listMessages() error {
	req, enrich, err := listOf(c)
	if err != nil {
		return err
	}
	var got wire.InboxPage
	if err := c.ask(wire.MethodListInbox, req, &got); err != nil {
		return err
	}
	out := page{Items: make([]any, 0, len(got.Items))}
	var senders map[wire.ServiceID]sender
	if enrich {
		senders = c.api.senders(c.R.Context(), got.Items)
	}
	for i := range got.Items {
		item := &got.Items[i]
		head := headOf(item, got.FiscalCode)
		if enrich {
			out.Items = append(out.Items, enrichedMessage{head,
				enrichmentOf(item, senders[item.Service])})
		} else {
			out.Items = append(out.Items, head)
		}
	}
	if !got.Arrived.IsZero() {
		out.Prev = got.Arrived.String()
	} else if len(got.Items) > 0 {
		out.Prev = got.Items[0].ID.String()
	}
	if next := got.Next(); !next.IsZero() {
		out.Next = next.String()
	}
	return c.Answer(out)
}

// listOf reads the query of a list.
func listOf(c *call) (req *wire.ListInbox, enrich bool, err error) {
	q, err := query(c.R)
	if err != nil {
		return nil, false, err
	}
	req = &wire.ListInbox{Token: c.token}
	if req.Size, err = q.pageSize(); err != nil {
		return nil, false, err
	}
	if enrich, err = q.boolean("enrich_result_data"); err != nil {
		return nil, false, err
	}
	if req.Archived, err = q.boolean("archived"); err != nil {
		return nil, false, err
	}
	var given bool
	if req.Before, given, err = q.messageID("maximum_id"); err != nil {
		return nil, false, err
	}
	if given && req.Before.IsZero() { // zero would mean no bound; nothing is below the first id
		req.Before = firstID
	}
	if req.Unread, err = q.boolean("unread"); err != nil {
		return nil, false, err
	}
	req.After, req.Arrived, err = q.since("minimum_id")
	return req, enrich, err
}

func headOf(item *wire.InboxItem, code fiscalcode.Code) messageHead {
	return messageHead{ID: item.ID.String(), FiscalCode: code,
		CreatedAt: item.ID.Time().String(), Service: item.Service, TimeToLive: item.TimeToLive}
}

func enrichmentOf(item *wire.InboxItem, from sender) enrichment {
	return enrichment{
		ServiceName: from.service, OrganizationName: from.organization,
		OrganizationCode: from.code, Title: item.Subject, Category: categoryOf(item, from),
		Attachments: item.Attachments,
		// ONCE asks until the message was opened.
		Precondition: item.Precondition == "ALWAYS" || item.Precondition == "ONCE" && !item.Read,
		Read:         item.Read, Archived: item.Archived,
	}
}

func categoryOf(item *wire.InboxItem, from sender) category {
	switch item.Category {
	case wire.PaymentCategory:
		payee := item.Payee
		if payee == "" {
			payee = from.code
		}
		return category{Tag: "PAYMENT", RptID: string(payee) + item.Notice}
	case wire.EUCovidCertCategory:
		return category{Tag: "EU_COVID_CERT"}
	}
	return category{Tag: "GENERIC"}
}

// messageStatus is the contract's MessageStatusAttributes.
type messageStatus struct {
	Read     bool `json:"is_read"`
	Archived bool `json:"is_archived"`
}

// setStatus marks a message as read, or moves it into the archive or out of it.
func (c *call) setStatus() error {
	id, ok := parseID(c.R.PathValue("id"))
	if !ok {
		return badParameter("id", "MessageId")
	}
	o, err := c.object()
	if err != nil {
		return err
	}
	req, err := parseStatus(o)
	if err != nil {
		return err
	}
	req.Token, req.ID = c.token, id
	var got wire.MessageStatus
	if err := c.ask(wire.MethodSetMessageStatus, req, &got); err != nil {
		return err
	}
	return c.Answer(messageStatus{got.Read, got.Archived})
}

// parseStatus reads the contract's MessageStatusChange. What a kind of change does not name is left
// alone; what was read stays read.
func parseStatus(o *strictjson.Object) (*wire.SetMessageStatus, error) {
	const reading, archiving, bulk = "reading", "archiving", "bulk"
	m := &wire.SetMessageStatus{}
	kind := o.Text("change_type", "reading, archiving or bulk", true, oneOf(reading, archiving, bulk))
	if kind == reading || kind == bulk {
		var given bool
		if m.Read, given = o.Bool("is_read", kind == reading); given && !m.Read {
			o.Fault("is_read", "true")
		}
	}
	if kind == archiving || kind == bulk {
		m.Archived = tri(o.Bool("is_archived", true))
	}
	return m, bodyProblem(o.Err())
}
