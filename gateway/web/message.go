package web

import (
	"html/template"
	"net/http"
	"strings"

	"github.com/staffetta/staffetta/gateway/remote"
	"github.com/staffetta/staffetta/internal/asof"
	"github.com/staffetta/staffetta/wire"
)

// messagePage is one message.
type messagePage struct {
	*page
	Item    wire.InboxItem
	Subject string
	Sender  sender
	Body    template.HTML
	Buttons []button
	Due     wire.Time // 0: none
	Payment *wire.Payment
	List    string // where the list goes on
	Query   string // the place in it
	Text    string // the language of subject and body
	// Documents are the attachments; Trouble and TroubleDo say why what the institution keeps is not
	// there, Here is where to try again.
	Documents          []document
	Trouble, TroubleDo string
	Here               string
}

// bodyLang is the language of what institutions write: no field says it, and Italian it is.
const bodyLang = "it"

func (c *call) messageID() (wire.MessageID, error) {
	id, err := wire.ParseMessageID(c.R.PathValue("id"))
	if err != nil {
		return id, errAbsent
	}
	return id, nil
}

func (c *call) getMessage() (*wire.InboxMessage, error) {
	id, err := c.messageID()
	if err != nil {
		return nil, err
	}
	got := new(wire.InboxMessage)
	return got, c.ask(wire.MethodGetInbox, &wire.GetInbox{Token: c.token, ID: id}, got)
}

// message shows a message, and marks it as read. Of one that an institution keeps a part of, the
// precondition comes first; a part that is not to be had leaves the message unread.
func (c *call) message() error {
	got, err := c.getMessage()
	if err != nil {
		return err
	}
	kept := new(remote.Content)
	var trouble remoteTrouble
	if third := got.Content.ThirdParty; third != nil {
		if !isOpened(c.R.Header) { // the institution is not to hear of what nobody opened
			return errAhead
		}
		from, asks, err := c.remoteOf(got)
		if asks {
			return c.askFirst(got, from)
		}
		if err == nil && (third.HasAttachments || third.HasRemoteContent) {
			kept, err = from.Content(c.R.Context())
		}
		if err != nil {
			var ok bool
			if trouble, _, ok = troubleOf(err); !ok || from == nil {
				return err
			}
		}
	}
	if trouble.what == "" {
		c.markRead(&got.Item)
	}
	return c.showMessage(got, kept, trouble)
}

// showMessage shows a message with what its institution keeps of it, or says why it is not there.
func (c *call) showMessage(got *wire.InboxMessage, kept *remote.Content,
	trouble remoteTrouble) error {
	at := placeOf(c.R.URL.Query())
	p := messagePage{page: c.page("message.title"), Item: got.Item, Text: bodyLang,
		List: pathInbox + at.query(), Query: at.query()}
	subject, text := got.Content.Subject, got.Content.Markdown
	if kept != nil {
		p.Documents = c.documentsOf(got.Item.ID, kept.Attachments)
		if kept.Details != nil {
			subject, text = kept.Details.Subject, kept.Details.Markdown
		}
	}
	if p.Trouble, p.TroubleDo = trouble.what, trouble.do; trouble.status > 500 {
		p.Here = c.R.URL.RequestURI()
	}
	p.Subject = plain(subject)
	senders := c.web.cfg.Citizens.Senders(c.R.Context(), []wire.InboxItem{got.Item})
	p.Sender = c.senderOf(got.Item.Service, senders[got.Item.Service])
	markdown, buttons := cutButtons(text, c.lang.Code)
	p.Body, p.Buttons = renderMarkdown(markdown), buttons
	if got.Content.DueDate != nil {
		p.Due = got.Content.DueDate.At
	}
	p.Payment = got.Content.Payment
	return c.show("message", p)
}

// markRead marks a message that somebody opened. It happens with the GET: a page that works without
// JavaScript has no other moment, and what a script marks is lost when a page is closed fast. A
// browser that only looks ahead says so, and so do pages in frames and images; they mark nothing.
// What cannot be marked now is shown all the same, and stays unread; a region that answers as of an
// earlier time is not asked.
func (c *call) markRead(item *wire.InboxItem) {
	if item.Read || !isOpened(c.R.Header) || !asof.From(c.R.Context()).Time().IsZero() {
		return
	}
	var got wire.MessageStatus
	req := &wire.SetMessageStatus{Token: c.token, ID: item.ID, Read: true}
	if c.ask(wire.MethodSetMessageStatus, req, &got) == nil {
		item.Read = true
	}
}

// isOpened reports whether a person opened the page, by what browsers say of a request; those that
// say nothing are believed.
func isOpened(h http.Header) bool {
	dest := strings.ToLower(h.Get("Sec-Fetch-Dest"))
	return !isAhead(h) && (dest == "" || dest == "document")
}

// isAhead reports whether a browser only looks ahead.
func isAhead(h http.Header) bool {
	for _, name := range []string{"Sec-Purpose", "Purpose", "X-Moz"} {
		if strings.Contains(strings.ToLower(strings.Join(h.Values(name), ",")), "prefetch") {
			return true
		}
	}
	return false
}

// deleteMessage deletes a message for ever, for who has said so twice: the page asks first.
func (c *call) deleteMessage() error {
	id, err := c.messageID()
	if err != nil {
		return err
	}
	req := &wire.DeleteMessage{Token: c.token, ID: id}
	if err := c.ask(wire.MethodDeleteMessage, req, nil); err != nil {
		return err
	}
	return redirect(pathInbox + "?done=deleted")
}

// archive takes a message into the archive or out of it.
func (c *call) archive() error {
	id, err := c.messageID()
	if err != nil {
		return err
	}
	form, err := c.form()
	if err != nil {
		return err
	}
	archived, done := wire.Yes, "archived"
	if form.Get("archived") == "no" {
		archived, done = wire.No, "unarchived"
	}
	var got wire.MessageStatus
	req := &wire.SetMessageStatus{Token: c.token, ID: id, Archived: archived}
	if err := c.ask(wire.MethodSetMessageStatus, req, &got); err != nil {
		return err
	}
	query := placeOf(c.R.URL.Query()).query()
	if query == "" {
		return redirect(pathInbox + "?done=" + done)
	}
	return redirect(pathInbox + query + "&done=" + done)
}
