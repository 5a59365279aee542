package citizen

import (
	"context"
	"errors"
	"io"
	"net/http"
	"strconv"
	"strings"

	"github.com/staffetta/staffetta/gateway/remote"
	"github.com/staffetta/staffetta/internal/contract"
	"github.com/staffetta/staffetta/internal/problem"
	"github.com/staffetta/staffetta/wire"
)

// thirdPartyMessage is the contract's ThirdPartyMessageWithContent.
type thirdPartyMessage struct {
	messageWithContent
	Remote *remote.Content `json:"third_party_message"`
}

// Remote is a message whose content its institution keeps, and where.
type Remote struct {
	api          *API
	got          *wire.InboxMessage
	target       *remote.Target
	precondition string
}

// openRemote reads the citizen's message and finds the server that keeps the rest of it.
func (c *call) openRemote() (*Remote, error) {
	id, ok := parseID(c.R.PathValue("id"))
	if !ok {
		return nil, badParameter("id", "MessageId")
	}
	got := new(wire.InboxMessage)
	if err := c.ask(wire.MethodGetInbox, &wire.GetInbox{Token: c.token, ID: id}, got); err != nil {
		return nil, err
	}
	if got.Content.ThirdParty == nil {
		return nil, refuse(problemParameter, "The message has no third_party_data.")
	}
	return c.api.Remote(c.R.Context(), got, c.R.Header)
}

// Remote finds the server that keeps the rest of a message that has third-party data. Of h, the
// headers of the citizen's request, it is passed the signatures if it wants them; nil: none are.
// A problem of status 410 says that the institution names no server any more.
func (a *API) Remote(ctx context.Context, got *wire.InboxMessage, h http.Header) (*Remote, error) {
	third := got.Content.ThirdParty
	conf, err := a.relay.RemoteContent(ctx, wire.RemoteContentIDOf(third.ConfigurationID))
	switch {
	case errors.Is(err, wire.NotFound):
		return nil, problemRemoteGone
	case err != nil:
		return nil, err
	}
	// Only a citizen whom the directory key names is one of a list of the configuration's.
	hasher := a.relay.Hasher()
	who := hasher.Recipient(got.FiscalCode)
	server := conf.Of(who)
	if server == nil {
		return nil, problemRemoteGone
	}
	key, err := wire.OpenRemoteKey(hasher.Key(), conf.ID, server.Key)
	if err != nil {
		return nil, err
	}
	r := &Remote{api: a, got: got, precondition: third.HasPrecondition, target: &remote.Target{
		Content: conf, Server: server, Key: key, ID: third.ID, Code: got.FiscalCode}}
	if conf.PassesSignatures(who) {
		r.target.Signatures = signatures(h, string(got.FiscalCode))
	}
	if r.precondition == "" {
		r.precondition = conf.Precondition
	}
	return r, nil
}

// Asks reports whether the citizen has to accept something before the message opens.
func (r *Remote) Asks() bool {
	return r.precondition == "ALWAYS" || r.precondition == "ONCE" && !r.got.Item.Read
}

// Precondition fetches what the citizen has to accept. What the institution's server is to blame
// for is a *remote.Fault, of Content and Attachment too.
func (r *Remote) Precondition(ctx context.Context) (*remote.Precondition, error) {
	p, err := r.api.remote.Precondition(ctx, r.target)
	return p, r.api.counted(err)
}

// Content fetches what the message says that the institution keeps of it.
func (r *Remote) Content(ctx context.Context) (*remote.Content, error) {
	third := r.got.Content.ThirdParty
	content, err := r.api.remote.Read(ctx, r.target, remote.Promise{
		Attachments: third.HasAttachments, Details: third.HasRemoteContent})
	return content, r.api.counted(err)
}

// Attachment hands an attachment on, see remote.Client.
func (r *Remote) Attachment(ctx context.Context, path string,
	begin func(size int64) io.Writer) error {
	return r.api.counted(r.api.remote.Attachment(ctx, r.target, path, begin))
}

// counted counts what an institution's server is to blame for.
func (a *API) counted(err error) error {
	var fault *remote.Fault
	if errors.As(err, &fault) {
		a.remoteFaults.WithLabelValues(string(remoteProblems[fault.Kind].Type)).Inc()
	}
	return err
}

// signedBy are the headers of a request by which an institution can tell that the citizen's own
// device made it.
var signedBy = []string{"Signature", "Signature-Input", "Content-Digest",
	"X-Pagopa-Lollipop-Original-Method", "X-Pagopa-Lollipop-Original-Url"}

// signatures are the request's, as far as there are any, and whose they are.
func signatures(h http.Header, code string) http.Header {
	passed := http.Header{}
	for _, name := range signedBy {
		if v := h[name]; len(v) == 1 {
			passed[name] = v
		}
	}
	if len(passed) == 0 {
		return nil
	}
	passed["X-Pagopa-Lollipop-User-Id"] = []string{code}
	return passed
}

// getPrecondition shows what the citizen has to accept before the message opens; 204: nothing.
func (c *call) getPrecondition() error {
	o, err := c.openRemote()
	if err != nil {
		return err
	}
	if !o.Asks() {
		c.W.WriteHeader(http.StatusNoContent)
		return nil
	}
	p, err := o.Precondition(c.R.Context())
	if err != nil {
		return c.remoteProblem(err)
	}
	return c.Answer(p)
}

// getThirdParty shows a message with what its institution keeps of it.
func (c *call) getThirdParty() error {
	o, err := c.openRemote()
	if err != nil {
		return err
	}
	content, err := o.Content(c.R.Context())
	if err != nil {
		return c.remoteProblem(err)
	}
	if content.Details == nil { // what the message itself says
		content.Details = &remote.Details{Subject: o.got.Content.Subject,
			Markdown: o.got.Content.Markdown}
	}
	return c.Answer(thirdPartyMessage{messageWithContent{headOf(&o.got.Item, o.got.FiscalCode),
		contract.ContentOf(&o.got.Content)}, content})
}

// getAttachment hands an attachment on as it comes.
func (c *call) getAttachment() error {
	o, err := c.openRemote()
	if err != nil {
		return err
	}
	if !o.got.Content.ThirdParty.HasAttachments {
		return refuse(problemMissing, "The message has no attachments.")
	}
	begun := false
	err = o.Attachment(c.R.Context(),
		strings.TrimPrefix(c.R.PathValue("attachment_url"), "/"), func(size int64) io.Writer {
			begun = true
			h := c.W.Header()
			h.Set("Content-Type", "application/octet-stream")
			h.Set("Cache-Control", "no-store")
			if size >= 0 {
				h.Set("Content-Length", strconv.FormatInt(size, 10))
			}
			c.W.WriteHeader(http.StatusOK)
			return c.W
		})
	switch {
	case err == nil:
		return nil
	case begun: // the client must not take a part for the whole
		panic(http.ErrAbortHandler)
	}
	return c.remoteProblem(err)
}

// remoteProblems say what became of a call to an institution's server.
var remoteProblems = map[remote.Kind]problem.Problem{
	remote.Failed:        problemRemoteFailed,
	remote.Late:          problemRemoteLate,
	remote.Forbidden:     problemRemoteForbidden,
	remote.Missing:       problemRemoteMissing,
	remote.Busy:          problemRemoteBusy,
	remote.NotReady:      problemRemoteNotReady,
	remote.NoPDF:         problemNoPDF,
	remote.NoAttachments: problemNoAttachments,
	remote.NoContent:     problemNoContent,
	remote.BadMarkdown:   problemBadMarkdown,
	remote.BadSubject:    problemBadSubject,
}

// remoteProblem turns what became of a call into a problem that the operation may answer.
func (c *call) remoteProblem(err error) error {
	var fault *remote.Fault
	if !errors.As(err, &fault) {
		return err
	}
	p := remoteProblems[fault.Kind]
	if !c.Op.Has(p.Status) { // a server that is away for now, where the contract has no 503
		p = problemRemoteFailed
	}
	if fault.RetryAfter > 0 {
		p.RetryAfter = fault.RetryAfter
	}
	if p.Detail == "" {
		p.Detail = "Of the institution: " + fault.Cause + "."
	}
	return p
}
