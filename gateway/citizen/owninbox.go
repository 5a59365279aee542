package citizen

import (
	"net/http"
	"strings"

	"github.com/staffetta/staffetta/internal/strictjson"
	"github.com/staffetta/staffetta/wire"
)

// What the contract's inbox does not have.

// deleteMessage deletes a message. Of a message that was deleted before there is nothing to say.
func (c *call) deleteMessage() error {
	id, ok := parseID(c.R.PathValue("id"))
	if !ok {
		return badParameter("id", "MessageId")
	}
	req := &wire.DeleteMessage{Token: c.token, ID: id}
	if err := c.ask(wire.MethodDeleteMessage, req, nil); err != nil {
		return err
	}
	c.W.WriteHeader(http.StatusNoContent)
	return nil
}

// counts are how many messages there are.
type counts struct {
	Inbox    uint32 `json:"inbox"`
	Unread   uint32 `json:"unread"`
	Archived uint32 `json:"archived"`
	More     bool   `json:"more"`
}

// countMessages counts the messages of the citizen.
func (c *call) countMessages() error {
	var n wire.MessageCounts
	err := c.ask(wire.MethodCountMessages, &wire.SessionRef{Token: c.token}, &n)
	if err != nil {
		return err
	}
	return c.Answer(counts{n.Inbox, n.Unread, n.Archived, n.More})
}

// results are what a search found, newest first. Next is the maximum_id to search on with, there
// unless everything was looked at.
type results struct {
	Items []enrichedMessage `json:"items"`
	Next  string            `json:"next,omitzero"`
}

// searchMessages searches titles, texts and senders. The query is in the body: an address is in
// logs and histories.
func (c *call) searchMessages() error {
	o, err := c.object()
	if err != nil {
		return err
	}
	req, err := parseSearch(o)
	if err != nil {
		return err
	}
	req.Token = c.token
	var got wire.InboxPage
	if err := c.ask(wire.MethodSearchInbox, req, &got); err != nil {
		return err
	}
	out := results{Items: make([]enrichedMessage, 0, len(got.Items))}
	senders := c.api.senders(c.R.Context(), got.Items)
	for i := range got.Items {
		item := &got.Items[i]
		out.Items = append(out.Items, enrichedMessage{headOf(item, got.FiscalCode),
			enrichmentOf(item, senders[item.Service])})
	}
	if next := got.Next(); !next.IsZero() {
		out.Next = next.String()
	}
	return c.Answer(out)
}

func parseSearch(o *strictjson.Object) (*wire.SearchInbox, error) {
	const size = "integer >= 1 and <= 100"
	m := &wire.SearchInbox{Size: pageDefault}
	if _, given := o.Get("page_size", size, false, "0"); given {
		if m.Size = uint32(o.Integer("page_size", wire.PageMax)); m.Size == 0 {
			o.Fault("page_size", size)
		}
	}
	m.Query = o.Text("query", "1 to 8 words", true, func(s string) bool {
		words := len(strings.Fields(s))
		return words > 0 && words <= 8 && len(s) <= wire.SearchBytesMax
	})
	o.Text("maximum_id", "MessageId", false, func(s string) (ok bool) {
		m.Before, ok = parseID(s)
		return ok && !m.Before.IsZero()
	})
	return m, bodyProblem(o.Err())
}
