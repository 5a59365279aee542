package remote

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"reflect"
	"strings"
	"testing"

	"github.com/staffetta/staffetta/internal/fiscalcode"
	"github.com/staffetta/staffetta/wire"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const code = fiscalcode.Code("RSSMRA85T10A562S")

// institution is a server that answers what it is told, and keeps what it was asked.
type institution struct {
	*httptest.Server
	answer func(w http.ResponseWriter, r *http.Request)
	asked  *http.Request
}

func newInstitution(t *testing.T) (*institution, *Client) {
	i := new(institution)
	i.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		i.asked = r
		i.answer(w, r)
	}))
	c := New(Config{Allow: prefixes("127.0.0.0/8")})
	t.Cleanup(func() {
		c.Close()
		i.Close()
	})
	return i, c
}

func (i *institution) says(status int, header map[string]string, body string) {
	i.answer = func(w http.ResponseWriter, _ *http.Request) {
		for name, v := range header {
			w.Header().Set(name, v)
		}
		w.WriteHeader(status)
		io.WriteString(w, body)
	}
}

func (i *institution) target(id string) *Target {
	return &Target{Content: &wire.RemoteContent{ID: "01ARZ3NDEKTSV4RRFFQ69G5FAV"},
		Server: &wire.RemoteServer{BaseURL: i.URL + "/v1", Header: "X-Api-Key"}, Key: "secret",
		ID: id, Code: code}
}

func kindOf(err error) any {
	var fault *Fault
	if !errors.As(err, &fault) {
		return err
	}
	return fault.Kind
}

// TestCall: the request is what the contract says, and nothing more goes with it.
func TestCall(t *testing.T) {
	i, c := newInstitution(t)
	i.says(200, nil, `{"title":"A","markdown":"B"}`)
	to := i.target("an id/with ?parts")
	to.Signatures = http.Header{"Signature": {"sig1=:AA==:"},
		"X-Pagopa-Lollipop-User-Id": {string(code)}}
	got, err := c.Precondition(t.Context(), to)
	if err != nil || *got != (Precondition{"A", "B"}) {
		t.Fatalf("got %+v, %v", got, err)
	}
	if p := i.asked.URL.EscapedPath(); i.asked.Method != "GET" || i.asked.URL.RawQuery != "" ||
		p != "/v1/messages/an%20id%2Fwith%20%3Fparts/precondition" {
		t.Errorf("asked %s %s", i.asked.Method, i.asked.URL)
	}
	want := http.Header{"Fiscal_code": {string(code)}, "X-Api-Key": {"secret"},
		"Signature": {"sig1=:AA==:"}, "X-Pagopa-Lollipop-User-Id": {string(code)},
		"User-Agent": {"staffetta"}}
	if !reflect.DeepEqual(i.asked.Header, want) {
		t.Errorf("got headers %v, want %v", i.asked.Header, want)
	}
}

// TestRead: what the message promised is held against what there is, and the rest left out.
func TestRead(t *testing.T) {
	i, c := newInstitution(t)
	subject, text := "Un oggetto remoto", strings.Repeat("testo ", 20)
	attachment := `{"id":"1","url":"a/1.pdf","name":"Atto","category":"x"}`
	details := func(subject, markdown string) string {
		return `"details":{"subject":"` + subject + `","markdown":"` + markdown + `","other":1}`
	}
	whole := `{"attachments":[` + attachment + `],` + details(subject, text) + `,"more":true}`
	for _, test := range []struct {
		body     string
		promised Promise
		want     any
	}{
		{whole, Promise{true, true}, Content{[]Attachment{{ID: "1", URL: "a/1.pdf", Name: "Atto",
			Category: "DOCUMENT"}}, &Details{subject, text}}},
		{whole, Promise{}, Content{}},
		{`{}`, Promise{}, Content{}},
		{`{}`, Promise{Attachments: true}, NoAttachments},
		{`{"attachments":[]}`, Promise{Attachments: true}, NoAttachments},
		{`{"attachments":[{"id":"1"}]}`, Promise{Attachments: true}, Failed},
		{`{"attachments":[` + strings.Repeat(attachment+",", attachmentsMax) + attachment + `]}`,
			Promise{Attachments: true}, Failed},
		{`{}`, Promise{Details: true}, NoContent},
		{`{` + details("Corto", text) + `}`, Promise{Details: true}, BadSubject},
		{`{` + details(strings.Repeat("o", 121), text) + `}`, Promise{Details: true}, BadSubject},
		{`{` + details(subject, "Corto.") + `}`, Promise{Details: true}, BadMarkdown},
		{`{` + details(subject, strings.Repeat("o", 10001)) + `}`, Promise{Details: true},
			BadMarkdown},
		{`[]`, Promise{}, Failed},
		{`{"attachments":1}`, Promise{Attachments: true}, Failed},
		{`{"details":{"subject":"` + strings.Repeat("o", contentBytesMax) + `"}}`, Promise{}, Failed},
	} {
		i.says(200, nil, test.body)
		got, err := c.Read(t.Context(), i.target("1"), test.promised)
		if err != nil {
			if kindOf(err) != test.want {
				t.Errorf("%.80s: got %v, want %v", test.body, err, test.want)
			}
		} else if !reflect.DeepEqual(*got, test.want) {
			t.Errorf("%.80s: got %+v, want %+v", test.body, *got, test.want)
		}
	}
	i.says(200, nil, `{"title":"","markdown":"x"}`)
	if _, err := c.Precondition(t.Context(), i.target("1")); kindOf(err) != Failed {
		t.Errorf("a precondition without title: %v", err)
	}
}

// TestRefusals: every status is one of the contract's, a redirect is not followed, and no word of
// the server passes.
func TestRefusals(t *testing.T) {
	i, c := newInstitution(t)
	for status, want := range map[int]Kind{400: Failed, 401: Failed, 403: Forbidden, 404: Missing,
		429: Busy, 500: Failed, 502: Failed, 503: NotReady, 204: Failed, 301: Failed, 302: Failed,
		307: Failed} {
		i.says(status, map[string]string{"Retry-After": "7", "Location": "/elsewhere"}, "")
		_, err := c.Read(t.Context(), i.target("1"), Promise{})
		var fault *Fault
		if !errors.As(err, &fault) || fault.Kind != want || fault.RetryAfter.Seconds() != 7 {
			t.Errorf("%d: got %v", status, err)
		}
		if i.asked.URL.Path != "/v1/messages/1" {
			t.Errorf("%d: asked %s", status, i.asked.URL)
		}
	}
	for header, want := range map[string]float64{"-1": 0, "x": 0, "1000000": 3600} {
		i.says(503, map[string]string{"Retry-After": header}, "")
		_, err := c.Read(t.Context(), i.target("1"), Promise{})
		var fault *Fault
		if !errors.As(err, &fault) || fault.RetryAfter.Seconds() != want {
			t.Errorf("Retry-After %s: got %v", header, fault)
		}
	}
	// Paths that lead out of the message's own.
	for _, path := range []string{"", "..", ".", "a/../b", "a//b", "../../precondition", "a\\b",
		"a\nb", "/a", "a/"} {
		i.asked = nil
		err := c.Attachment(t.Context(), i.target("1"), path, nil)
		if kindOf(err) != Missing || i.asked != nil {
			t.Errorf("%q: got %v", path, err)
		}
	}
	// A server that is not there, or may not be asked, and what is said of it.
	i.Close()
	refusedHere := New(Config{})
	defer refusedHere.Close()
	for _, c := range []*Client{c, refusedHere} {
		_, err := c.Read(t.Context(), i.target("1"), Promise{})
		if kindOf(err) != Failed || strings.Contains(err.Error(), "127.0.0.1") {
			t.Errorf("got %v", err)
		}
	}
}

// TestAttachment: only what begins as a PDF passes, whole or not at all.
func TestAttachment(t *testing.T) {
	i, c := newInstitution(t)
	document := "%PDF-1.7\n" + strings.Repeat("0123456789", 50_000)
	var out bytes.Buffer
	var size int64
	begin := func(n int64) io.Writer { size = n; return &out }
	i.says(200, map[string]string{"Content-Length": fmt.Sprint(len(document))}, document)
	if err := c.Attachment(t.Context(), i.target("1"), "a b/1.pdf", begin); err != nil ||
		out.String() != document || size != int64(len(document)) {
		t.Fatalf("got %d bytes of %d, %v", out.Len(), size, err)
	}
	if p := i.asked.URL.EscapedPath(); p != "/v1/messages/1/a%20b/1.pdf" {
		t.Errorf("asked %s", p)
	}
	for _, body := range []string{"", "%PD", "<html>%PDF-", "PK\x03\x04", " %PDF-1.7"} {
		i.says(200, map[string]string{"Content-Type": "application/pdf"}, body)
		err := c.Attachment(t.Context(), i.target("1"), "a", func(int64) io.Writer {
			t.Error("begun")
			return io.Discard
		})
		if kindOf(err) != NoPDF {
			t.Errorf("%q: got %v", body, err)
		}
	}
	i.says(503, map[string]string{"Retry-After": "3"}, "")
	if err := c.Attachment(t.Context(), i.target("1"), "a", begin); kindOf(err) != NotReady {
		t.Errorf("got %v", err)
	}
	// One that is too large is refused by its length, or cut off where it has none.
	i.says(200, map[string]string{"Content-Length": fmt.Sprint(AttachmentBytesMax + 1)}, "%PDF-")
	if err := c.Attachment(t.Context(), i.target("1"), "a", begin); kindOf(err) != Failed {
		t.Errorf("got %v", err)
	}
	i.answer = func(w http.ResponseWriter, _ *http.Request) {
		io.WriteString(w, "%PDF-1.7\n")
		w.(http.Flusher).Flush()
		for n := 0; n < AttachmentBytesMax; n += len(document) {
			if _, err := io.WriteString(w, document); err != nil {
				return
			}
		}
	}
	counted := new(counter)
	err := c.Attachment(t.Context(), i.target("1"), "a", func(int64) io.Writer { return counted })
	if err != io.ErrShortWrite || counted.n > AttachmentBytesMax+1 {
		t.Errorf("got %v after %d bytes", err, counted.n)
	}
	// Nothing is held whole: with a reader that stops, the server stops, too.
	stopped := errors.New("the citizen left")
	err = c.Attachment(t.Context(), i.target("1"), "a",
		func(int64) io.Writer { return &counter{left: 64 << 10, err: stopped} })
	if !errors.Is(err, stopped) {
		t.Errorf("got %v", err)
	}
}

// counter is a client that counts, and leaves after some bytes.
type counter struct {
	n, left int
	err     error
}

func (c *counter) Write(b []byte) (int, error) {
	if c.n += len(b); c.err != nil && c.n > c.left {
		return 0, c.err
	}
	return len(b), nil
}

// TestPlaces: one configuration has a bounded part of the calls, and gives it back.
func TestPlaces(t *testing.T) {
	i, c := newInstitution(t)
	to := i.target("1")
	for range callsMax {
		if !c.enter(to.Content.ID) {
			t.Fatal("no place")
		}
	}
	if _, err := c.Read(t.Context(), to, Promise{}); kindOf(err) != Busy {
		t.Errorf("got %v, want busy", err)
	}
	for range callsMax {
		c.leave(to.Content.ID)
	}
	for _, status := range []int{200, 404} {
		i.says(status, nil, "{}")
		for range 2 * callsMax {
			c.Read(t.Context(), to, Promise{})
			c.Attachment(t.Context(), to, "..", nil)
		}
	}
	if len(c.calls) != 0 {
		t.Errorf("%v are under way", c.calls)
	}
}
