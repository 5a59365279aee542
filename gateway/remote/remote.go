package remote

import (
	"bytes"
	"context"
	"io"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/go-json-experiment/json"

	"github.com/staffetta/staffetta/internal/fiscalcode"
	"github.com/staffetta/staffetta/wire"
)

const (
	// answerWait is the contract's bound of a call; of an attachment it bounds what comes before its
	// first byte, and attachmentWait the whole, within what a gateway's answer may take.
	answerWait     = 10 * time.Second
	attachmentWait = 50 * time.Second
	// contentBytesMax bounds an answer that is read whole: ten thousand characters, attachments.
	contentBytesMax = 1 << 20
	// AttachmentBytesMax bounds an attachment.
	AttachmentBytesMax = 100 << 20
	// callsMax bounds the calls for one configuration at a time: an institution that is slow holds up
	// its own citizens only.
	callsMax = 64
	// idleWait ends connections that nobody uses, idleMax bounds them.
	idleWait = 30 * time.Second
	idleMax  = 256
)

// Config says where a Client may go.
type Config struct {
	// Allow are addresses that connections may go to although they are not public, or without TLS.
	Allow []netip.Prefix
	// Resolve looks names up; nil: as the system does.
	Resolve Resolve
}

// Client fetches. It is safe for concurrent use.
type Client struct {
	// Set at construction.
	secure, plain *http.Client

	// Guarded by mu.
	mu    sync.Mutex
	calls map[wire.RemoteContentID]int // under way
}

// New makes a client. It starts nothing.
func New(cfg Config) *Client {
	if cfg.Resolve == nil {
		cfg.Resolve = lookup
	}
	return &Client{secure: newHTTP(cfg, false), plain: newHTTP(cfg, true),
		calls: make(map[wire.RemoteContentID]int)}
}

func newHTTP(cfg Config, plain bool) *http.Client {
	g := &guard{resolve: cfg.Resolve, allow: cfg.Allow, plain: plain,
		dial: (&net.Dialer{Timeout: dialWait}).DialContext}
	return &http.Client{
		Transport: &http.Transport{DialContext: g.DialContext, ForceAttemptHTTP2: !plain,
			TLSHandshakeTimeout: dialWait, ResponseHeaderTimeout: answerWait,
			MaxConnsPerHost: callsMax, MaxIdleConns: idleMax, IdleConnTimeout: idleWait,
			MaxResponseHeaderBytes: 64 << 10, DisableCompression: true},
		// What a server names instead is not what the operator configured.
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

// Close ends the connections that nobody uses.
func (c *Client) Close() {
	c.secure.CloseIdleConnections()
	c.plain.CloseIdleConnections()
}

// Target is a message of which an institution keeps something, and who opens it.
type Target struct {
	Content *wire.RemoteContent
	Server  *wire.RemoteServer
	// Key is the server's, in clear.
	Key string
	// ID is the institution's name for the message.
	ID   string
	Code fiscalcode.Code
	// Signatures are the headers of the citizen's request that are passed on; nil: none are.
	Signatures http.Header
}

// Precondition fetches what is to be accepted before the message opens.
func (c *Client) Precondition(ctx context.Context, to *Target) (*Precondition, error) {
	p := new(Precondition)
	if err := c.read(ctx, to, p, "precondition"); err != nil {
		return nil, err
	}
	if p.Title == "" || p.Markdown == "" {
		return nil, faultf(Failed, "the precondition has no title or no text")
	}
	return p, nil
}

// Read fetches what the institution keeps of the message, as far as the message promised it.
func (c *Client) Read(ctx context.Context, to *Target, promised Promise) (*Content, error) {
	content := new(Content)
	if err := c.read(ctx, to, content); err != nil {
		return nil, err
	}
	if fault := content.Keep(promised); fault != nil {
		return nil, fault
	}
	return content, nil
}

// read fetches JSON into v.
func (c *Client) read(ctx context.Context, to *Target, v any, path ...string) error {
	ctx, cancel := context.WithTimeout(ctx, answerWait)
	defer cancel()
	body, _, end, err := c.get(ctx, to, path...)
	if err != nil {
		return err
	}
	defer end()
	b, err := io.ReadAll(io.LimitReader(body, contentBytesMax+1))
	switch {
	case err != nil:
		return broken(ctx, err)
	case len(b) > contentBytesMax:
		return faultf(Failed, "the answer is too large")
	}
	if err := json.Unmarshal(b, v); err != nil {
		return faultf(Failed, "the answer is not the JSON that the contract has")
	}
	return nil
}

// get asks the server. end must be called when body was read.
func (c *Client) get(ctx context.Context, to *Target, path ...string) (body io.ReadCloser,
	size int64, end func(), err error) {
	if !c.enter(to.Content.ID) {
		return nil, 0, nil, faultf(Busy, "too many citizens open messages of this institution now")
	}
	leave := func() { c.leave(to.Content.ID) }
	req, client, err := c.request(ctx, to, path)
	if err != nil {
		leave()
		return nil, 0, nil, err
	}
	resp, err := client.Do(req)
	if err != nil {
		leave()
		return nil, 0, nil, broken(ctx, err)
	}
	end = func() {
		resp.Body.Close()
		leave()
	}
	if fault := refusal(resp); fault != nil {
		end()
		return nil, 0, nil, fault
	}
	return resp.Body, resp.ContentLength, end, nil
}

func (c *Client) request(ctx context.Context, to *Target, path []string) (*http.Request,
	*http.Client, error) {
	u, err := url.Parse(to.Server.BaseURL)
	if err != nil || u.Host == "" {
		return nil, nil, faultf(Failed, "the configuration's base_url is none")
	}
	for _, part := range append([]string{"messages", to.ID}, path...) {
		if part == "" || part == "." || part == ".." || strings.ContainsAny(part, "\\\x00\r\n") {
			return nil, nil, faultf(Missing, "what is asked for has no path")
		}
		u.RawPath = u.EscapedPath() + "/" + url.PathEscape(part)
		if u.Path, err = url.PathUnescape(u.RawPath); err != nil {
			return nil, nil, faultf(Missing, "what is asked for has no path")
		}
	}
	client := c.secure
	if u.Scheme != "https" {
		client = c.plain
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, u.String(), nil)
	if err != nil {
		return nil, nil, faultf(Failed, "the configuration's base_url is none")
	}
	for name, values := range to.Signatures {
		req.Header[name] = values
	}
	req.Header["fiscal_code"] = []string{string(to.Code)} // as the contract spells it
	req.Header[to.Server.Header] = []string{to.Key}
	req.Header.Set("User-Agent", "staffetta")
	return req, client, nil
}

func (c *Client) enter(id wire.RemoteContentID) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.calls[id] >= callsMax {
		return false
	}
	c.calls[id]++
	return true
}

func (c *Client) leave(id wire.RemoteContentID) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.calls[id]--; c.calls[id] == 0 {
		delete(c.calls, id)
	}
}

// pdf is what every PDF begins with.
var pdf = []byte("%PDF-")

// Attachment fetches an attachment and hands it on: begin is called once it is known to be one,
// with its size or -1, and returns where it goes. An error after that is io's, and the attachment
// is cut off; before it is a *Fault.
func (c *Client) Attachment(ctx context.Context, to *Target, path string,
	begin func(size int64) io.Writer) error {
	ctx, cancel := context.WithTimeout(ctx, attachmentWait)
	defer cancel()
	late := time.AfterFunc(answerWait, cancel) // until its first bytes
	defer late.Stop()
	body, size, end, err := c.get(ctx, to, strings.Split(path, "/")...)
	if err != nil {
		return err
	}
	defer end()
	if size > AttachmentBytesMax {
		return faultf(Failed, "the attachment is too large")
	}
	head := make([]byte, len(pdf))
	switch _, err := io.ReadFull(body, head); {
	case err == io.EOF || err == io.ErrUnexpectedEOF || err == nil && !bytes.Equal(head, pdf):
		return faultf(NoPDF, "the attachment is no PDF")
	case err != nil:
		return broken(ctx, err)
	}
	late.Stop()
	out := begin(size)
	if _, err := out.Write(head); err != nil {
		return err
	}
	n, err := io.Copy(out, io.LimitReader(body, AttachmentBytesMax-int64(len(head))+1))
	if err == nil && n+int64(len(head)) > AttachmentBytesMax {
		return io.ErrShortWrite
	}
	return err
}
