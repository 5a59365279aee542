package sender

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/iotest"
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

// lane is the way that a run's lines take.
type lane string

const (
	inBulk     lane = "bulk"
	oldGateway lane = "to a gateway without bulk requests"
	oneByOne   lane = "one by one"
)

// eachLane runs a test over every lane.
func eachLane(t *testing.T, test func(t *testing.T, way lane)) {
	t.Helper()
	for _, way := range []lane{inBulk, oldGateway, oneByOne} {
		t.Run(string(way), func(t *testing.T) { test(t, way) })
	}
}

// gatewayFake keeps messages by idempotency key, as a gateway does.
type gatewayFake struct {
	lane    lane
	key     string        // that it accepts
	latency time.Duration // of a single request without a fault

	mu       sync.Mutex
	plan     func(key string, attempt int) fault
	attempts map[string]int
	messages map[string]string // key to body
	stored   int               // messages kept, copies included
	requests int
	sent     int // lines, each as often as it came
}

func newGateway(way lane, plan func(key string, attempt int) fault) *gatewayFake {
	if plan == nil {
		plan = func(string, int) fault { return fine }
	}
	return &gatewayFake{lane: way, key: "K", plan: plan, attempts: make(map[string]int),
		messages: make(map[string]string)}
}

// reply is what becomes of one message.
type reply struct {
	status     int
	body       map[string]any
	retryAfter int
}

func problemOf(status int, title, detail string) reply {
	return reply{status: status, body: map[string]any{"title": title, "detail": detail}}
}

// submit is a gateway without faults. The recipient's code decides: it is no code at all, but
// names the outcome.
func (g *gatewayFake) submit(key, text string) reply {
	var m struct {
		FiscalCode string `json:"fiscal_code"`
	}
	switch {
	case len(key) != 64:
		return problemOf(400, "Bad idempotency key", "")
	case json.Unmarshal([]byte(text), &m) != nil:
		return problemOf(400, "Malformed", "")
	case m.FiscalCode == "INVALID":
		return problemOf(400, "Invalid message structure",
			"value at root.content is not a valid [x]")
	case m.FiscalCode == "BROKEN":
		return problemOf(500, "Internal server error", "")
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	first, known := g.messages[key]
	if !known {
		g.messages[key] = text
		g.stored++
	}
	if known && first != text {
		return problemOf(409, "Conflict", "")
	}
	body := map[string]any{"id": idOf(key), "status": "PROCESSED"}
	if m.FiscalCode == "UNKNOWN" {
		body["status"], body["rejection_reason"] = "REJECTED", "USER_NOT_FOUND"
	}
	return reply{status: 201, body: body}
}

// ServeHTTP is a gateway without faults over HTTP.
func (g *gatewayFake) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	switch {
	case r.Header.Get("Ocp-Apim-Subscription-Key") != g.key:
		w.WriteHeader(401)
		io.WriteString(w, `{"statusCode":401,"message":"Access denied"}`)
	case r.URL.Path == "/api/v1/messages":
		text, err := io.ReadAll(r.Body)
		if err == nil {
			a := g.submit(r.Header.Get("Idempotency-Key"), string(text))
			if a.status == 201 && r.Header.Get("Prefer") != "return=representation" {
				a.body = map[string]any{"id": a.body["id"]} // the contract's
			}
			write(w, a)
		}
	case r.URL.Path == "/api/v1/messages/bulk" && g.lane == inBulk:
		http.NewResponseController(w).EnableFullDuplex()
		w.Header().Set("Content-Type", bulkType)
		in := bufio.NewReader(r.Body)
		for n := 1; ; n++ {
			line, err := in.ReadString('\n')
			if err != nil {
				return
			}
			w.Write(answerTo(n, g.submit(cutKey(line))))
			http.NewResponseController(w).Flush()
		}
	default: // "bulk" is no fiscal code
		write(w, problemOf(400, "Invalid string", ""))
	}
}

// write answers a request.
func write(w http.ResponseWriter, a reply) {
	if a.status != 201 {
		w.Header().Set("Content-Type", "application/problem+json")
		a.body["status"] = a.status
	}
	if a.retryAfter > 0 {
		w.Header().Set("Retry-After", strconv.Itoa(a.retryAfter))
	}
	w.WriteHeader(a.status)
	json.NewEncoder(w).Encode(a.body)
}

// answerTo is the answer to a line.
func answerTo(number int, a reply) []byte {
	line := map[string]any{"line": number, "status_code": a.status}
	maps.Copy(line, a.body)
	if a.retryAfter > 0 {
		line["retry_after"] = a.retryAfter
	}
	b, err := json.Marshal(line)
	if err != nil {
		panic(err)
	}
	return append(b, '\n')
}

// cutKey takes a line apart into its key and what the input had.
func cutKey(line string) (key, text string) {
	line, ok := strings.CutPrefix(strings.TrimSuffix(line, "\n"), `{"idempotency_key":"`)
	key, text, found := strings.Cut(line, `"`)
	if !ok || !found {
		return "", line
	}
	return key, "{" + strings.TrimPrefix(text, ",")
}

func idOf(key string) string {
	sum := sha256.Sum256([]byte(key))
	return hex.EncodeToString(sum[:13])
}

// next is what the network does to the next attempt of a key.
func (g *gatewayFake) next(key string) fault {
	g.mu.Lock()
	defer g.mu.Unlock()
	f := g.plan(key, g.attempts[key])
	g.attempts[key]++
	g.sent++
	return f
}

// RoundTrip is the gateway behind a network that fails as planned.
func (g *gatewayFake) RoundTrip(r *http.Request) (*http.Response, error) {
	g.mu.Lock()
	g.requests++
	g.mu.Unlock()
	text, err := io.ReadAll(r.Body)
	if err != nil || int64(len(text)) != r.ContentLength {
		return nil, fmt.Errorf("a body of %d bytes, announced as %d: %w", len(text),
			r.ContentLength, err)
	}
	answer := httptest.NewRecorder()
	if r.URL.Path == "/api/v1/messages" {
		key := r.Header.Get("Idempotency-Key")
		f := g.next(key)
		if f == fine {
			time.Sleep(g.latency)
		}
		body, err := g.pass(r.Context(), f, key, string(text), func(a reply) []byte {
			write(answer, a)
			return answer.Body.Bytes()
		})
		resp := answer.Result()
		resp.Body = io.NopCloser(bytes.NewReader(body))
		if r.Header.Get("Ocp-Apim-Subscription-Key") != g.key {
			answer = httptest.NewRecorder()
			g.ServeHTTP(answer, r)
			return answer.Result(), nil
		}
		if err != nil && len(body) == 0 {
			return nil, err
		}
		return resp, nil
	}
	if g.lane != inBulk || r.Header.Get("Ocp-Apim-Subscription-Key") != g.key {
		g.ServeHTTP(answer, r)
		return answer.Result(), nil
	}
	answer.Header().Set("Content-Type", bulkType)
	for i, line := range strings.SplitAfter(string(text), "\n") {
		if line == "" {
			break
		}
		key, message := cutKey(line)
		f := g.next(key)
		if f == refuse && i == 0 {
			return nil, errors.New("dial: connection refused")
		}
		part, err := g.pass(r.Context(), f, key, message, func(a reply) []byte {
			return answerTo(i+1, a)
		})
		answer.Write(part)
		if err != nil {
			resp := answer.Result()
			resp.Body = io.NopCloser(io.MultiReader(resp.Body, iotest.ErrReader(err)))
			return resp, nil
		}
	}
	return answer.Result(), nil
}

// pass lets a message meet a fault, and returns what comes back and how the connection ends.
func (g *gatewayFake) pass(ctx context.Context, f fault, key, text string,
	tell func(reply) []byte) ([]byte, error) {
	switch f {
	case refuse:
		return nil, errors.New("dial: connection refused")
	case unavailable, unknown:
		if f == unknown {
			g.submit(key, text)
		}
		a := problemOf(503, "Service unavailable", "")
		a.retryAfter = 2
		return tell(a), nil
	case limited:
		a := problemOf(429, "Rate limit is exceeded.", "")
		a.retryAfter = 3
		return tell(a), nil
	case broken:
		g.submit(key, text)
		return nil, io.ErrUnexpectedEOF
	case mute:
		g.submit(key, text)
		<-ctx.Done()
		return nil, ctx.Err()
	case garbled:
		tell(reply{status: 201})
		return []byte("<html>\n"), nil
	case halved:
		whole := tell(g.submit(key, text))
		return whole[:len(whole)/2], io.ErrUnexpectedEOF
	}
	return tell(g.submit(key, text)), nil
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
