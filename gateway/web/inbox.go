package web

import (
	"net/url"
	"strconv"

	"github.com/staffetta/staffetta/gateway/citizen"
	"github.com/staffetta/staffetta/wire"
)

// inboxPage is a page of the list.
type inboxPage struct {
	*page
	View   string // which part of the list: all, unread or archived
	Items  []inboxItem
	First  bool   // the newest messages are on this page
	Newest string // addresses
	Older  string // "": none
	// Unread is how many messages are unread, as a number and as it is written; 0: nobody knows, or
	// none.
	Unread      int
	UnreadShown string
}

// inboxItem is a message of the list.
type inboxItem struct {
	wire.InboxItem
	sender
	Path string
}

// sender is who a message is from, as it is shown.
type sender struct {
	Service      wire.ServiceID
	Name         string // of the service
	Organization string
}

func (c *call) senderOf(id wire.ServiceID, s citizen.Sender) sender {
	if !s.Known {
		return sender{id, c.lang.text("sender.service.unknown"), c.lang.text("sender.unknown")}
	}
	return sender{id, plain(s.Service), plain(s.Organization)}
}

// place is where somebody is in the list: which part of it, and from which message on. It goes
// along with the links, so that who comes back from a message is where they were.
type place struct {
	view   string         // "": all
	before wire.MessageID // zero: the newest
}

// The parts of the list, besides all that is not archived.
const (
	viewUnread   = "unread"
	viewArchived = "archived"
)

var viewTitles = map[string]string{"": "inbox.title", viewUnread: "inbox.unread.title",
	viewArchived: "inbox.archive.title"}

func placeOf(q url.Values) place {
	p := place{}
	if view := q.Get("view"); view == viewUnread || view == viewArchived {
		p.view = view
	}
	if id, err := wire.ParseMessageID(q.Get("before")); err == nil {
		p.before = id
	}
	return p
}

// query is the place as the query of an address.
func (p place) query() string {
	q := url.Values{}
	if p.view != "" {
		q.Set("view", p.view)
	}
	if !p.before.IsZero() {
		q.Set("before", p.before.String())
	}
	if len(q) == 0 {
		return ""
	}
	return "?" + q.Encode()
}

// inbox lists the messages, newest first.
func (c *call) inbox() error {
	q := c.R.URL.Query()
	at := placeOf(q)
	var got wire.InboxPage
	req := &wire.ListInbox{Token: c.token, Size: pageSize, Before: at.before,
		Archived: at.view == viewArchived, Unread: at.view == viewUnread}
	if err := c.ask(wire.MethodListInbox, req, &got); err != nil {
		return err
	}
	p := inboxPage{page: c.page(viewTitles[at.view]), View: at.view, First: at.before.IsZero(),
		Newest: pathInbox + place{view: at.view}.query()}
	p.Items = c.itemsOf(got.Items, at.query())
	// The list is what was asked for; without the number it is as good.
	var n wire.MessageCounts
	if c.ask(wire.MethodCountMessages, &wire.SessionRef{Token: c.token}, &n) == nil && n.Unread > 0 {
		p.Unread, p.UnreadShown = int(n.Unread), c.lang.format.number(strconv.Itoa(int(n.Unread)))
		if n.More {
			p.UnreadShown += "+"
		}
	}
	if next := got.Next(); !next.IsZero() {
		p.Older = pathInbox + place{at.view, next}.query()
	}
	switch {
	case q.Has("welcome"):
		p.Notice = c.lang.text("inbox.welcome")
	case q.Get("done") == "archived":
		p.Notice = c.lang.text("inbox.archived")
	case q.Get("done") == "deleted":
		p.Notice = c.lang.text("inbox.deleted")
	case q.Get("done") == "unarchived":
		p.Notice = c.lang.text("inbox.unarchived")
	}
	return c.show("inbox", p)
}

// itemsOf are messages as a list shows them; query goes along with their links.
func (c *call) itemsOf(list []wire.InboxItem, query string) (items []inboxItem) {
	senders := c.web.cfg.Citizens.Senders(c.R.Context(), list)
	for i := range list {
		item := &list[i]
		item.Subject = plain(item.Subject)
		items = append(items, inboxItem{*item, c.senderOf(item.Service, senders[item.Service]),
			pathInbox + "/" + item.ID.String() + query})
	}
	return items
}

// At is when the message was made.
func (i *inboxItem) At() wire.Time { return i.ID.Time() }
