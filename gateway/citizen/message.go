package citizen

import (
	"github.com/staffetta/staffetta/internal/contract"
	"github.com/staffetta/staffetta/wire"
)

// messageWithContent is the contract's CreatedMessageWithContent.
type messageWithContent struct {
	messageHead
	Content *contract.Content `json:"content"`
}

// publicMessage is the contract's CreatedMessageWithContentAndEnrichedData.
type publicMessage struct {
	messageHead
	enrichment
	Content *contract.Content `json:"content"`
}

// getMessage reads one message of the citizen's; reading it this way does not mark it as read.
func (c *call) getMessage() error {
	id, ok := parseID(c.R.PathValue("id"))
	if !ok {
		return badParameter("id", "MessageId")
	}
	q, err := query(c.R)
	if err != nil {
		return err
	}
	public, err := q.boolean("public_message")
	if err != nil {
		return err
	}
	var got wire.InboxMessage
	req := &wire.GetInbox{Token: c.token, ID: id}
	if err := c.ask(wire.MethodGetInbox, req, &got); err != nil {
		return err
	}
	head, body := headOf(&got.Item, got.FiscalCode), contract.ContentOf(&got.Content)
	if !public {
		return c.Answer(messageWithContent{head, body})
	}
	from := c.api.senders(c.R.Context(), []wire.InboxItem{got.Item})[got.Item.Service]
	return c.Answer(publicMessage{head, enrichmentOf(&got.Item, from), body})
}
