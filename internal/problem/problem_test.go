package problem_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"github.com/staffetta/staffetta/internal/openapitest"
	"github.com/staffetta/staffetta/internal/problem"
	"github.com/staffetta/staffetta/wire"
)

func TestWrite(t *testing.T) {
	w := httptest.NewRecorder()
	problem.Write(w, problem.Problem{Type: "x-y", Title: "T", Status: 503, Detail: `a "b" <c>`,
		RetryAfter: 1500 * time.Millisecond})
	want := `{"detail":"a \"b\" <c>","status":503,"title":"T",` +
		`"type":"urn:staffetta:problem:x-y"}`
	if got := w.Body.String(); w.Code != 503 || got != want {
		t.Errorf("got %d %s, want %s", w.Code, got, want)
	}
	for name, want := range map[string]string{"Content-Type": "application/problem+json",
		"Retry-After": "2", "Cache-Control": "no-store"} {
		if got := w.Header().Get(name); got != want {
			t.Errorf("%s: %q, want %q", name, got, want)
		}
	}
	w = httptest.NewRecorder()
	problem.Write(w, problem.Problem{Type: "x", Title: "T", Status: 400, Detail: "\xff"})
	if w.Code != 500 || !strings.Contains(w.Body.String(), "problem:internal") {
		t.Errorf("a detail that is no text: %d %s", w.Code, w.Body)
	}
}

func TestFromWire(t *testing.T) {
	for _, c := range []struct {
		err    error
		status int
		kind   problem.Type
		detail string // "" stands for any
		retry  time.Duration
	}{
		{wire.Errorf(wire.Conflict, "version 3"), 409, "conflict", "version 3", 0},
		{fmt.Errorf("call: %w", wire.Errorf(wire.NotFound, "")), 404, "not-found", "", 0},
		{wire.Errorf(wire.Internal, "stack"), 500, "internal", problem.Unexpected.Detail, 0},
		{errors.New("secret"), 500, "internal", problem.Unexpected.Detail, 0},
		{wire.Code(999), 500, "internal", problem.Unexpected.Detail, 0},
		{wire.NotLeader, 503, "not-leader", "", 5 * time.Second},
		{wire.Overloaded, 503, "overloaded", "", time.Second},
		{context.DeadlineExceeded, 503, "unavailable", "", 5 * time.Second},
		{fmt.Errorf("x: %w", context.Canceled), 503, "unavailable", "", 5 * time.Second},
	} {
		p := problem.FromWire(c.err)
		if p.Status != c.status || p.Type != c.kind || p.RetryAfter != c.retry ||
			c.detail != "" && p.Detail != c.detail {
			t.Errorf("%v: got %d %s %q after %s", c.err, p.Status, p.Type, p.Detail, p.RetryAfter)
		}
		if p.Status >= 500 && (strings.Contains(p.Detail, "secret") || p.Detail == "") {
			t.Errorf("%v: detail %q", c.err, p.Detail)
		}
	}
	mine := problem.BodyUnreadable.With("mine")
	if got := problem.From(fmt.Errorf("reading: %w", mine)); got != mine {
		t.Errorf("a wrapped problem became %v", got)
	}
	if got := problem.From(wire.NotFound); got.Status != 404 {
		t.Errorf("a wire error became %v", got)
	}
}

func TestReadBody(t *testing.T) {
	read := func(body io.Reader, announced int64, buf []byte) (string, http.Header, error) {
		r, w := httptest.NewRequest("POST", "/", io.NopCloser(body)), httptest.NewRecorder()
		r.ContentLength = announced
		b, err := problem.ReadBody(w, r, buf, 10)
		return string(b), w.Header(), err
	}
	for _, buf := range [][]byte{nil, make([]byte, 3), make([]byte, 0, 100)} {
		for _, n := range []int64{10, -1} {
			got, _, err := read(iotest.OneByteReader(strings.NewReader("0123456789")), n, buf)
			if err != nil || got != "0123456789" {
				t.Errorf("announced %d: %q, %v", n, got, err)
			}
		}
		if got, _, err := read(strings.NewReader(""), -1, buf); err != nil || got != "" {
			t.Errorf("empty: %q, %v", got, err)
		}
	}
	for _, n := range []int64{11, -1} {
		_, _, err := read(strings.NewReader("01234567890"), n, nil)
		if p := problem.From(err); p.Type != problem.BodyTooLarge.Type ||
			p.Detail != "The request body may have up to 10 bytes." {
			t.Errorf("announced %d: %v", n, err)
		}
	}
	_, _, err := read(iotest.ErrReader(errors.New("gone")), 5, nil)
	if !errors.Is(err, problem.BodyUnreadable) {
		t.Errorf("a broken body: %v", err)
	}
}

// roomReader records how much room it was offered, and fills none of it beyond limit.
type roomReader struct {
	sent, limit int
	offered     []int
}

func (r *roomReader) Read(b []byte) (int, error) {
	r.offered = append(r.offered, len(b))
	n := min(len(b), r.limit-r.sent)
	if r.sent += n; n == 0 {
		return 0, io.EOF
	}
	return n, nil
}

// What a body costs in memory is what came of it, not what was announced.
func TestReadBodyGrows(t *testing.T) {
	const large = problem.BodyBytesMax
	for _, announced := range []int64{large, -1} {
		body := &roomReader{limit: large}
		r := httptest.NewRequest("POST", "/", io.NopCloser(body))
		r.ContentLength = announced
		b, err := problem.ReadBody(httptest.NewRecorder(), r, nil, large)
		if err != nil || len(b) != large {
			t.Fatalf("announced %d: %d bytes, %v", announced, len(b), err)
		}
		came := 0
		for i, n := range body.offered {
			if n > max(16<<10, 2*came) {
				t.Errorf("announced %d: read %d had room for %d bytes when %d had come",
					announced, i, n, came)
			}
			came += min(n, large-came)
		}
	}
	body := &roomReader{limit: 1400}
	r := httptest.NewRequest("POST", "/", io.NopCloser(body))
	r.ContentLength = 1400
	if _, err := problem.ReadBody(httptest.NewRecorder(), r, nil, large); err != nil ||
		body.offered[0] > 1536 {
		t.Errorf("a body of 1,400 bytes got room for %d, %v", body.offered[0], err)
	}
}

func TestWriteJSON(t *testing.T) {
	w := httptest.NewRecorder()
	problem.WriteJSON(w, http.StatusCreated, map[string]int{"a": 1})
	if got := w.Body.String(); w.Code != 201 || got != `{"a":1}` ||
		w.Header().Get("Content-Type") != "application/json" {
		t.Errorf("got %d %s %v", w.Code, got, w.Header())
	}
	w = httptest.NewRecorder()
	problem.WriteJSON(w, http.StatusOK, "\xff")
	if w.Code != 500 {
		t.Errorf("text that is not UTF-8: %d, want 500", w.Code)
	}
}

func TestDocumented(t *testing.T) {
	openapitest.CheckProblems(t, "../../docs/problems.md", "Every API", problem.Common())
}
