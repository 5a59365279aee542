package sender

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"
)

// fault is what a fake gateway does to one attempt. They come in pairs: what fails before the
// message is kept, and what fails after.
type fault string

const (
	fine        fault = ""
	refuse      fault = "no connection"        // not applied
	unavailable fault = "503"                  // not applied
	limited     fault = "429, Retry-After"     // not applied
	unknown     fault = "503, applied"         // applied
	broken      fault = "reset, applied"       // applied
	mute        fault = "no answer, applied"   // applied
	garbled     fault = "201 of a stranger"    // not applied
	halved      fault = "201 cut off, applied" // applied
)

var everyFault = []fault{refuse, unavailable, limited, unknown, broken, mute, garbled, halved}

// gatewayFake keeps messages by idempotency key, as a gateway does.
type gatewayFake struct {
	key     string        // that it accepts
	latency time.Duration // of a request without a fault

	mu       sync.Mutex
	plan     func(key string, attempt int) fault
	attempts map[string]int
	messages map[string]string // key to body
	stored   int               // messages kept, copies included
	requests int
}

func newGateway(plan func(key string, attempt int) fault) *gatewayFake {
	if plan == nil {
		plan = func(string, int) fault { return fine }
	}
	return &gatewayFake{key: "K", plan: plan, attempts: make(map[string]int),
		messages: make(map[string]string)}
}

// ServeHTTP is a gateway without faults. The recipient's code decides: it is no code at all,
// but names the outcome.
func (g *gatewayFake) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	key := r.Header.Get("Idempotency-Key")
	problem := func(status int, title, detail string) {
		w.Header().Set("Content-Type", "application/problem+json")
		w.WriteHeader(status)
		json.NewEncoder(w).Encode(map[string]any{"status": status, "title": title,
			"detail": detail})
	}
	var m struct {
		FiscalCode string `json:"fiscal_code"`
	}
	switch {
	case err != nil || r.Method != http.MethodPost || r.URL.Path != "/api/v1/messages":
		problem(404, "Not found", "")
	case r.Header.Get("Ocp-Apim-Subscription-Key") != g.key:
		w.WriteHeader(401)
		io.WriteString(w, `{"statusCode":401,"message":"Access denied"}`)
	case len(key) != 64:
		problem(400, "Bad idempotency key", "")
	case json.Unmarshal(body, &m) != nil:
		problem(400, "Invalid message structure", "")
	case m.FiscalCode == "INVALID":
		problem(400, "Invalid message structure", "value at root.content is not a valid [x]")
	case m.FiscalCode == "BROKEN":
		problem(500, "Internal server error", "")
	default:
		g.mu.Lock()
		first, known := g.messages[key]
		if !known {
			g.messages[key] = string(body)
			g.stored++
		}
		g.mu.Unlock()
		if known && first != string(body) {
			problem(409, "Conflict", "")
			return
		}
		verdict := `"status":"PROCESSED"`
		if m.FiscalCode == "UNKNOWN" {
			verdict = `"status":"REJECTED","rejection_reason":"USER_NOT_FOUND"`
		}
		w.WriteHeader(201)
		fmt.Fprintf(w, `{"id":%q,%s}`, idOf(key), verdict)
	}
}

func idOf(key string) string {
	sum := sha256.Sum256([]byte(key))
	return hex.EncodeToString(sum[:13])
}

// RoundTrip is the gateway behind a network that fails as planned.
func (g *gatewayFake) RoundTrip(r *http.Request) (*http.Response, error) {
	key := r.Header.Get("Idempotency-Key")
	g.mu.Lock()
	f := g.plan(key, g.attempts[key])
	g.attempts[key]++
	g.requests++
	g.mu.Unlock()
	answer := httptest.NewRecorder()
	switch f {
	case refuse:
		return nil, errors.New("dial: connection refused")
	case unavailable, unknown:
		if f == unknown {
			g.ServeHTTP(httptest.NewRecorder(), r)
		}
		answer.Header().Set("Retry-After", "2")
		answer.WriteHeader(503)
	case limited:
		answer.Header().Set("Retry-After", "3")
		answer.WriteHeader(429)
		io.WriteString(answer, `{"statusCode":429,"message":"Rate limit is exceeded."}`)
	case broken:
		g.ServeHTTP(httptest.NewRecorder(), r)
		return nil, io.ErrUnexpectedEOF
	case mute:
		g.ServeHTTP(httptest.NewRecorder(), r)
		<-r.Context().Done()
		return nil, r.Context().Err()
	case garbled:
		answer.WriteHeader(201)
		io.WriteString(answer, "<html>")
	case halved:
		whole := httptest.NewRecorder()
		g.ServeHTTP(whole, r)
		answer.WriteHeader(whole.Code)
		answer.Write(whole.Body.Bytes()[:whole.Body.Len()/2])
	default:
		time.Sleep(g.latency)
		g.ServeHTTP(answer, r)
	}
	return answer.Result(), nil
}

// message is a line of an input file.
func message(recipient string, number int) string {
	return fmt.Sprintf(`{"fiscal_code":%q,"content":{"subject":"message %d"}}`, recipient, number)
}

// checkAll holds gateway and results to the promise: every line of input has its result, in
// order, and each accepted line is one message, kept once, with the line's text.
func checkAll(t *testing.T, g *gatewayFake, input string, results []byte) {
	t.Helper()
	texts := strings.Split(strings.TrimSuffix(input, "\n"), "\n")
	rows := bytes.Split(bytes.TrimSuffix(results, []byte("\n")), []byte("\n"))
	if len(rows) != len(texts) {
		t.Fatalf("%d results for %d lines", len(rows), len(texts))
	}
	accepted := 0
	ids := make(map[string]bool)
	for i, row := range rows {
		var r Result
		if err := json.Unmarshal(row, &r); err != nil || r.Line != int64(i+1) {
			t.Fatalf("result %d is %s (%v)", i+1, row, err)
		}
		if r.HTTPStatus != 201 {
			continue
		}
		accepted++
		if r.ID != idOf(r.Key) || ids[r.ID] {
			t.Errorf("line %d: id %s is not its own", r.Line, r.ID)
		}
		ids[r.ID] = true
		if got := g.messages[r.Key]; got != strings.TrimSpace(texts[i]) {
			t.Errorf("line %d: the gateway keeps %q, want %q", r.Line, got, texts[i])
		}
	}
	if g.stored != len(g.messages) || g.stored != accepted {
		t.Errorf("%d messages kept under %d keys for %d accepted lines", g.stored,
			len(g.messages), accepted)
	}
}
