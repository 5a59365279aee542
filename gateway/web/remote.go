package web

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"html/template"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/staffetta/staffetta/gateway/citizen"
	"github.com/staffetta/staffetta/gateway/remote"
	"github.com/staffetta/staffetta/wire"
)

// preconditionPage is what a citizen accepts before a message opens. It is the institution's text.
type preconditionPage struct {
	*page
	Item   wire.InboxItem
	Sender sender
	Head   string
	Body   template.HTML
	List   string // where the list goes on
	Query  string // the place in it
	Text   string // the language of title and text
}

// openParam carries the proof that a message was gone on to.
const openParam = "open"

// openFor is how long a message that was gone on to stays open at its address: for its documents,
// and for another language. Who comes back from the list is asked again.
const openFor = 15 * time.Minute

// proofOf says in an address, until a time, that the session's citizen went on to a message. Nobody
// else can make one, so no link of another leads past the question; and nothing is kept of it.
func (c *call) proofOf(id wire.MessageID, until time.Time) string {
	stamp := strconv.FormatInt(until.Unix(), 10)
	mac := hmac.New(sha256.New, c.token[:])
	mac.Write([]byte("staffetta: open a message\x00" + id.String() + "\x00" + stamp))
	return stamp + "-" + hex.EncodeToString(mac.Sum(nil)[:16])
}

// isOpen reports whether the request proves that the citizen went on to the message.
func (c *call) isOpen(id wire.MessageID) bool {
	proof := c.R.URL.Query().Get(openParam)
	stamp, _, _ := strings.Cut(proof, "-")
	seconds, err := strconv.ParseInt(stamp, 10, 64)
	until := time.Unix(seconds, 0)
	return err == nil && time.Now().Before(until) &&
		hmac.Equal([]byte(proof), []byte(c.proofOf(id, until)))
}

// openMessage goes on to a message whose precondition the citizen has seen.
func (c *call) openMessage() error {
	id, err := c.messageID()
	if err != nil {
		return err
	}
	query := placeOf(c.R.URL.Query()).query()
	if query == "" {
		query = "?"
	} else {
		query += "&"
	}
	return redirect(pathInbox + "/" + id.String() + query + openParam + "=" +
		c.proofOf(id, time.Now().Add(openFor)))
}

// remoteOf finds what an institution keeps of a message. asks: its precondition comes first.
func (c *call) remoteOf(got *wire.InboxMessage) (r *citizen.Remote, asks bool, err error) {
	r, err = c.web.cfg.Citizens.Remote(c.R.Context(), got, nil)
	if err != nil {
		return nil, false, err
	}
	return r, r.Asks() && !c.isOpen(got.Item.ID), nil
}

// askFirst shows the precondition of a message instead of it. Nothing is marked as read.
func (c *call) askFirst(got *wire.InboxMessage, r *citizen.Remote) error {
	pre, err := r.Precondition(c.R.Context())
	if err != nil {
		return err
	}
	at := placeOf(c.R.URL.Query())
	p := preconditionPage{page: c.page("message.title"), Item: got.Item, Head: plain(pre.Title),
		Body: renderMarkdown(pre.Markdown), Text: bodyLang, List: pathInbox + at.query(),
		Query: at.query()}
	senders := c.web.cfg.Citizens.Senders(c.R.Context(), []wire.InboxItem{got.Item})
	p.Sender = c.senderOf(got.Item.Service, senders[got.Item.Service])
	return c.show("precondition", p)
}

// document is an attachment as the page lists it.
type document struct{ Name, Type, Path string }

// documentsOf lists attachments. A link has the institution's id of one and not its place there:
// only what is in its list is ever asked for.
func (c *call) documentsOf(id wire.MessageID, list []remote.Attachment) (docs []document) {
	for i, a := range list {
		q := url.Values{"id": {a.ID}}
		if proof := c.R.URL.Query().Get(openParam); proof != "" && c.isOpen(id) {
			q.Set(openParam, proof)
		}
		d := document{Name: plain(strings.ToValidUTF8(a.Name, "\ufffd")), Type: "PDF",
			Path: pathInbox + "/" + id.String() + "/attachment?" + q.Encode()}
		if strings.TrimSpace(d.Name) == "" {
			d.Name = c.lang.text("message.document", "number", i+1)
		}
		if t := plain(strings.ToValidUTF8(a.ContentType, "\ufffd")); t != "" &&
			!strings.EqualFold(t, "application/pdf") {
			d.Type = t
		}
		docs = append(docs, d)
	}
	return docs
}

// remoteTrouble is what became of a call to an institution's server: a page's status and texts.
type remoteTrouble struct {
	status   int
	what, do string
}

var remoteTroubles = map[remote.Kind]remoteTrouble{
	remote.Failed:        {http.StatusBadGateway, "remote.failed", "remote.failed.do"},
	remote.NoAttachments: {http.StatusBadGateway, "remote.failed", "remote.failed.do"},
	remote.NoContent:     {http.StatusBadGateway, "remote.failed", "remote.failed.do"},
	remote.BadMarkdown:   {http.StatusBadGateway, "remote.failed", "remote.failed.do"},
	remote.BadSubject:    {http.StatusBadGateway, "remote.failed", "remote.failed.do"},
	remote.Late:          {http.StatusGatewayTimeout, "remote.late", "remote.late.do"},
	remote.Busy:          {http.StatusServiceUnavailable, "remote.wait", "remote.wait.do"},
	remote.NotReady:      {http.StatusServiceUnavailable, "remote.wait", "remote.wait.do"},
	remote.Forbidden:     {http.StatusForbidden, "remote.forbidden", "remote.forbidden.do"},
	remote.Missing:       {http.StatusNotFound, "remote.gone", "remote.gone.do"},
	remote.NoPDF:         {http.StatusUnsupportedMediaType, "remote.pdf", "remote.pdf.do"},
}

// remoteGone is of a message whose institution names no server any more.
var remoteGone = remoteTrouble{http.StatusGone, "remote.gone", "remote.gone.do"}

// remoteRetry is when an institution may be asked again that does not say when.
const remoteRetry = 10 * time.Second

// troubleOf says what an institution's server is to blame for; ok is false of any other error.
func troubleOf(err error) (t remoteTrouble, retry time.Duration, ok bool) {
	var fault *remote.Fault
	switch {
	case errors.As(err, &fault):
		t = remoteTroubles[fault.Kind]
		if retry = fault.RetryAfter; retry == 0 {
			retry = remoteRetry
		}
		return t, retry, true
	case statusOf(err) == http.StatusGone:
		return remoteGone, 0, true
	}
	return t, 0, false
}

// failRemote writes the page of a trouble. What will not be otherwise is not to be tried again.
func (c *call) failRemote(t remoteTrouble, wait time.Duration, retry string) {
	f := failure{page: c.page("error.title"), Status: t.status, What: t.what, Do: t.do}
	f.Title = c.lang.text(t.what)
	if t.status > http.StatusInternalServerError {
		f.Retry = retry
	}
	if t.status == http.StatusServiceUnavailable {
		c.W.Header().Set("Retry-After", strconv.Itoa(int(wait.Seconds())))
	}
	c.write(t.status, "error", f)
}
