package citizen

import (
	"context"

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
	head, body := headOf(&got.Item, got.FiscalCode), contract.ContentOf(&got.Content)
	if !public {
		return messageWithContent{head, body}, nil
	}
	from := a.senders(ctx, []wire.InboxItem{got.Item})[got.Item.Service]
	return publicMessage{head, enrichmentOf(&got.Item, from), body}, nil
}
