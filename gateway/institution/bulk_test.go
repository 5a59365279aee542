package institution

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/staffetta/staffetta/internal/problem"
	"github.com/staffetta/staffetta/wire"
)

// answerLine is a line of an answer.
type answerLine struct {
	Line            int64
	StatusCode      int `json:"status_code"`
	ID, Status      string
	RejectionReason string `json:"rejection_reason"`
	Type            string
	Title, Detail   string
	RetryAfter      int `json:"retry_after"`
}

func (a *answerLine) kind() string { return strings.TrimPrefix(a.Type, problem.TypePrefix) }

func readLine(t testing.TB, line []byte) (a answerLine) {
	t.Helper()
	d := json.NewDecoder(strings.NewReader(string(line)))
	d.DisallowUnknownFields()
	if err := d.Decode(&a); err != nil {
		t.Fatalf("answer %q: %v", line, err)
	}
	return a
}

// readLines reads a whole answer, whose lines must be numbered from 1.
func readLines(t testing.TB, body []byte) (all []answerLine) {
	t.Helper()
	for line := range strings.Lines(string(body)) {
		all = append(all, readLine(t, []byte(line)))
		if n := int64(len(all)); all[n-1].Line != n {
			t.Fatalf("answer %d is %s", n, line)
		}
	}
	return all
}

// bulkRequest is a bulk request under the key of the named service.
func bulkRequest(service, body string) *http.Request {
	r := request(service, "POST", "/messages/bulk", body)
	r.Header.Set("Content-Type", bulkType)
	return r
}

// withKey is a line with an idempotency key.
func withKey(key, message string) string {
	return `{"idempotency_key":"` + key + `",` + message[1:]
}

func TestBulk(t *testing.T) {
	b := newBench(t)
	a := b.doc.Do(t, b.mux, bulkRequest("full", message(active, "")+"\n"+
		withKey("k1", message(unknown, ""))+"\r\n"+message(unwilling, "")))
	if a.Status != http.StatusOK || a.Header.Get("Content-Type") != bulkType {
		t.Fatalf("got %d %s", a.Status, a.Header.Get("Content-Type"))
	}
	got := readLines(t, a.Body)
	for i, want := range []string{"PROCESSED ", "REJECTED USER_NOT_FOUND",
		"REJECTED SERVICE_NOT_ALLOWED"} {
		if g := got[i].Status + " " + got[i].RejectionReason; g != want ||
			got[i].StatusCode != http.StatusCreated {
			t.Errorf("line %d: got %d %s, want %s", i+1, got[i].StatusCode, g, want)
		}
		id, err := wire.ParseMessageID(got[i].ID)
		if err != nil || b.relay.messages[id] == nil {
			t.Errorf("line %d: no message %s was submitted, %v", i+1, got[i].ID, err)
		}
	}
	first := strings.SplitAfter(string(a.Body), "\n")[0]
	if want := `{"line":1,"status_code":201,"id":"` + got[0].ID + `","status":"PROCESSED"}` +
		"\n"; first != want {
		t.Errorf("got %s, want %s", first, want)
	}
	if a := b.doc.Do(t, b.mux, bulkRequest("full", "\n")); len(readLines(t, a.Body)) != 1 {
		t.Errorf("an empty line: %s", a.Body)
	}
	r := request("full", "POST", "/messages/bulk", "")
	r.Header.Set("Content-Type", bulkType)
	if a := b.doc.DoAny(t, b.mux, r); a.Status != http.StatusOK || len(a.Body) != 0 {
		t.Errorf("no line at all: %d %s", a.Status, a.Body)
	}
	rec := httptest.NewRecorder()
	r = bulkRequest("full", message(active, ""))
	r.URL.Path += "/"
	if b.mux.ServeHTTP(rec, r); rec.Code != http.StatusOK || rec.Body.Len() == 0 {
		t.Errorf("with a slash: %d %s", rec.Code, rec.Body)
	}
}

// Every refusal of POST /messages is a line's, in the same order of checks and the same words.
func TestBulkLineRefused(t *testing.T) {
	b := newBench(t)
	b.service("plain", "ApiMessageWrite", "ApiNoRateLimit")
	b.service("limited", "ApiMessageWrite", "ApiLimitedMessageWrite", "ApiNoRateLimit")
	b.service("elsewhere", everyScope...).Service.AuthorizedCIDRs = []string{"10.0.0.0/8"}
	b.service("poor", everyScope...).Service.MaxAllowedPaymentAmount = 0
	tried := 0
	for name, c := range refusals {
		if c.path != "" || c.service == "rateonly" || c.service == "reader" {
			continue // of whole requests
		}
		tried++
		a := b.doc.DoAny(t, b.mux, bulkRequest(c.service, c.body))
		got := readLines(t, a.Body)
		want := strings.Replace(c.about, "The request body", "The line", 1)
		if len(got) != 1 || got[0].StatusCode != c.status || got[0].kind() != c.wantType ||
			got[0].Title != c.wantTitle || got[0].Detail != want {
			t.Errorf("%s: got %+v, want %d %s %q %q", name, got, c.status, c.wantType, c.wantTitle,
				want)
		}
	}
	if tried < 10 || b.relay.asked != 0 {
		t.Errorf("%d refusals, %d submissions", tried, b.relay.asked)
	}
}

// What is wrong with a line is said of that line, and the others go on.
func TestBulkLines(t *testing.T) {
	b := newBench(t)
	long := strings.Repeat("x", lineBytesMax+1)
	lines := []struct{ line, want, detail string }{
		{withKey("k", message(active, "")), "201 ", ""},
		{"", "400 malformed-json", "The line is empty."},
		{"\t ", "400 malformed-json", "The line is empty."},
		{"{", "400 malformed-json", "The line ends within its JSON value, at byte 1."},
		{"\xff", "400 malformed-json", "The line is not UTF-8."},
		{message(active, "") + "{}", "400 malformed-json",
			"The line goes on after its JSON value."},
		{withKey("k", withKey("k", message(active, ""))), "400 malformed-json",
			"The line has two members of the same name in one object, at byte 23."},
		{long, "413 body-too-large", "A line may have up to 262656 bytes."},
		{message("", ""), "400 bad-parameters", detailNoPlace},
		{withKey("", message(active, "")), "400 invalid-idempotency-key", detailMemberKey},
		{withKey("à", message(active, "")), "400 invalid-idempotency-key", detailMemberKey},
		{withKey(strings.Repeat("k", 256), message(active, "")), "400 invalid-idempotency-key",
			detailMemberKey},
		{`{"idempotency_key":1,` + message(active, "")[1:], "400 invalid-message",
			`value "..." at root.idempotency_key is not a valid [string]`},
		{withKey("k", message(active, `,"due_date":"2026-01-01T00:00:00Z"`)),
			"409 idempotency-conflict", keyConflict.Detail},
		{withKey("k", message(active, "")), "201 ", ""}, // the first one's
		{withKey("k", message(authorized, "")), "201 ", ""},
		{message(active, payFor(100_001, "")), "400 payment-amount-exceeded", "The requested " +
			"amount (100001 cents) exceeds the maximum allowed for this service (100000 cents)"},
		{message(active, ""), "201 ", ""},
	}
	var body strings.Builder
	for _, l := range lines {
		body.WriteString(l.line + "\n")
	}
	a := b.doc.DoAny(t, b.mux, bulkRequest("full", body.String()))
	got := readLines(t, a.Body)
	if len(got) != len(lines) {
		t.Fatalf("%d answers for %d lines", len(got), len(lines))
	}
	for i, l := range lines {
		if g := fmt.Sprint(got[i].StatusCode, " ", got[i].kind()); g != l.want ||
			got[i].Detail != l.detail {
			t.Errorf("line %d: got %s %q, want %s %q", i+1, g, got[i].Detail, l.want, l.detail)
		}
	}
	if got[0].ID != got[14].ID || got[0].ID == got[15].ID {
		t.Errorf("under one key: %s, again %s, for another recipient %s", got[0].ID, got[14].ID,
			got[15].ID)
	}
	// The header and the member are one key.
	r := request("full", "POST", "/messages", message(active, ""))
	r.Header.Set("Idempotency-Key", "k")
	if a := b.doc.Do(t, b.mux, r); !strings.Contains(string(a.Body), got[0].ID) {
		t.Errorf("the same message under the header: %s, want id %s", a.Body, got[0].ID)
	}
	if b.log.Len() > 0 {
		t.Errorf("clients' faults are logged: %s", b.log)
	}
}

// TestBulkFault: a fault of ours is told for every line, and logged once a stream.
func TestBulkFault(t *testing.T) {
	b := newBench(t)
	b.service("full", "ApiMessageWrite", "ApiNoRateLimit")
	b.relay.fail = wire.Errorf(wire.Internal, "x")
	body := strings.Repeat(message(active, "")+"\n", 5)
	a := b.doc.DoAny(t, b.mux, bulkRequest("full", body))
	for i, l := range readLines(t, a.Body) {
		if l.StatusCode != http.StatusInternalServerError {
			t.Errorf("line %d: got %d, want 500", i+1, l.StatusCode)
		}
	}
	if n := strings.Count(b.log.String(), "\n"); n != 1 {
		t.Errorf("%d lines in the log, want one:\n%s", n, b.log)
	}
}

func TestBulkRefused(t *testing.T) {
	b := newBench(t)
	b.service("reader", "ApiMessageRead", "ApiNoRateLimit")
	b.service("slow", "ApiMessageWrite")
	for name, c := range map[string]struct {
		service string
		change  func(*http.Request)
		want    string
	}{
		"no key":        {"", nil, "401"},
		"unknown key":   {"nobody", nil, "401"},
		"scope":         {"reader", nil, "403 scope-missing"},
		"no type":       {"full", func(r *http.Request) { r.Header.Del("Content-Type") }, "415 unsupported-media-type"},
		"JSON":          {"full", func(r *http.Request) { r.Header.Set("Content-Type", "application/json") }, "415 unsupported-media-type"},
		"compressed":    {"full", func(r *http.Request) { r.Header.Set("Content-Encoding", "gzip") }, "415 unsupported-media-type"},
		"key in header": {"full", func(r *http.Request) { r.Header.Set("Idempotency-Key", "k") }, "400 invalid-idempotency-key"},
	} {
		r := bulkRequest(c.service, message(active, ""))
		if c.change != nil {
			c.change(r)
		}
		a := b.doc.DoAny(t, b.mux, r)
		got := fmt.Sprint(a.Status)
		if a.Status != http.StatusUnauthorized {
			kind, _, _ := problemOf(t, a)
			got += " " + kind
		}
		if got != c.want {
			t.Errorf("%s: got %s, want %s", name, got, c.want)
		}
	}
	// A bulk request is one call, however many lines it has.
	for i := range rateCalls + 1 {
		a := b.doc.DoAny(t, b.mux, bulkRequest("slow", strings.Repeat(message(active, "")+"\n", 2)))
		if want := i < rateCalls; (a.Status == http.StatusOK) != want ||
			want && len(readLines(t, a.Body)) != 2 {
			t.Fatalf("call %d: %d %s", i+1, a.Status, a.Body)
		}
	}
}

// memory is a listener without a network, so that servers and clients live in a bubble.
type memory struct {
	conns  chan net.Conn
	closed chan struct{}
	once   sync.Once
}

func (m *memory) Accept() (net.Conn, error) {
	select {
	case c := <-m.conns:
		return c, nil
	case <-m.closed:
		return nil, net.ErrClosed
	}
}

func (m *memory) Close() error   { m.once.Do(func() { close(m.closed) }); return nil }
func (m *memory) Addr() net.Addr { return memoryAddr{} }

type memoryAddr struct{}

func (memoryAddr) Network() string { return "memory" }
func (memoryAddr) String() string  { return "192.0.2.7:1234" }

type memoryConn struct{ net.Conn }

func (memoryConn) RemoteAddr() net.Addr { return memoryAddr{} }

func (m *memory) dial() net.Conn {
	client, server := net.Pipe() // nothing is buffered
	m.conns <- memoryConn{server}
	return client
}

// serve serves the API as a gateway does, with its bounds on ordinary requests.
func (b *bench) serve(t *testing.T) (m *memory, server *http.Server) {
	t.Helper()
	m = &memory{conns: make(chan net.Conn), closed: make(chan struct{})}
	var protocols http.Protocols
	protocols.SetHTTP1(true)
	protocols.SetUnencryptedHTTP2(true)
	server = &http.Server{Handler: b.mux, Protocols: &protocols, ReadTimeout: 30 * time.Second,
		WriteTimeout: 60 * time.Second, IdleTimeout: time.Minute}
	done := make(chan struct{})
	go func() { defer close(done); server.Serve(m) }()
	t.Cleanup(func() { server.Close(); <-done })
	return m, server
}

// conversation is a client that reads while it writes.
type conversation struct {
	t    *testing.T
	conn net.Conn
	in   *bufio.Reader
	body *bufio.Reader // of the answer
}

// converse begins a bulk request of unknown length over HTTP/1.1.
func (m *memory) converse(t *testing.T, service string) *conversation {
	t.Helper()
	conn := m.dial()
	c := &conversation{t: t, conn: conn, in: bufio.NewReader(conn)}
	t.Cleanup(func() { conn.Close() })
	fmt.Fprintf(conn, "POST /api/v1/messages/bulk HTTP/1.1\r\nHost: x\r\n%s: key-%s\r\n"+
		"Content-Type: %s\r\nTransfer-Encoding: chunked\r\n\r\n", KeyHeader, service, bulkType)
	resp, err := http.ReadResponse(c.in, nil)
	if err != nil || resp.StatusCode != http.StatusOK {
		t.Fatalf("got %v, %v", resp, err)
	}
	c.body = bufio.NewReader(resp.Body)
	return c
}

// send sends a chunk.
func (c *conversation) send(text string) error {
	_, err := fmt.Fprintf(c.conn, "%x\r\n%s\r\n", len(text), text)
	return err
}

// end ends the request.
func (c *conversation) end() { io.WriteString(c.conn, "0\r\n\r\n") }

// next reads an answer.
func (c *conversation) next() answerLine {
	c.t.Helper()
	line, err := c.body.ReadBytes('\n')
	if err != nil {
		c.t.Fatalf("no answer: %v", err)
	}
	return readLine(c.t, line)
}

// ended checks that the answer ends here, and the way its connection goes.
func (c *conversation) ended(want error) {
	c.t.Helper()
	if rest, err := io.ReadAll(c.body); err != want || len(rest) != 0 {
		c.t.Errorf("after the last answer: %q, %v, want %v", rest, err, want)
	}
}

// ends checks in which ways streams ended.
func (b *bench) ends(t *testing.T, want ...bulkEnd) {
	t.Helper()
	synctest.Wait()
	metrics, err := b.reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	got := []bulkEnd{}
	for _, f := range metrics {
		if f.GetName() == "staffetta_institution_bulk_streams_total" {
			for _, m := range f.Metric {
				got = append(got, bulkEnd(m.Label[0].GetValue()))
			}
		}
	}
	if !slices.Equal(got, want) {
		t.Errorf("streams ended: %v, want %v", got, want)
	}
	if n := len(b.api.streams.under) + len(b.api.streams.of); n != 0 {
		t.Errorf("%d streams have places", n)
	}
}

// inBubble runs a test in virtual time.
func inBubble(t *testing.T, f func(t *testing.T, b *bench, m *memory)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t)
		m, _ := b.serve(t)
		f(t, b, m)
	})
}
