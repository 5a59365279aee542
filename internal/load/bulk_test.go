package load

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/staffetta/staffetta/internal/fiscalcode"
)

// bulkFake answers streams, each line after latency, several lines at once.
type bulkFake struct {
	refuse   func(stream int64) int // status; 0 takes the stream
	verdict  func(line int) string  // behind the line's number; "" ends the stream
	stall    int                    // the line before which nothing comes for stallFor
	stallFor time.Duration
	latency  time.Duration

	streams, lines, inFlight, inFlightMax atomic.Int64
	mu                                    sync.Mutex
	keys                                  map[string]bool
}

const delivered = `"status_code":201,"id":"01","status":"PROCESSED"`

func (g *bulkFake) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	number := g.streams.Add(1) - 1
	// Without it, even a refusal would wait for the request's end.
	http.NewResponseController(w).EnableFullDuplex()
	if g.refuse != nil && g.refuse(number) != 0 {
		w.Header().Set("Retry-After", "1")
		w.WriteHeader(g.refuse(number))
		return
	}
	if r.URL.Path != "/api/v1/messages/bulk" || r.Header.Get("Ocp-Apim-Subscription-Key") != "K" ||
		r.ContentLength != -1 {
		w.WriteHeader(400)
		return
	}
	due := make(chan time.Time, WindowMax)
	go g.take(r.Body, due)
	n := 0
	for at := range due {
		if d := time.Until(at); d > 0 {
			pause(r.Context(), d)
		}
		if n++; n == g.stall {
			w.(http.Flusher).Flush()
			pause(r.Context(), g.stallFor)
		}
		text := delivered
		if g.verdict != nil {
			if text = g.verdict(n); text == "" {
				break
			}
		}
		g.inFlight.Add(-1)
		fmt.Fprintf(w, "{\"line\":%d,%s}\n", n, text)
		if len(due) == 0 {
			w.(http.Flusher).Flush()
		}
	}
	for range due {
	}
}

func pause(ctx context.Context, d time.Duration) {
	select {
	case <-time.After(d):
	case <-ctx.Done():
	}
}

func (g *bulkFake) take(body io.Reader, due chan<- time.Time) {
	defer close(due)
	in := bufio.NewReaderSize(body, 1<<20)
	for {
		line, err := in.ReadSlice('\n')
		if err != nil {
			return
		}
		var m struct {
			Code string `json:"fiscal_code"`
			Key  string `json:"idempotency_key"`
		}
		if json.Unmarshal(line, &m) != nil || m.Code != "AAAAAA00A00A000A" {
			return
		}
		g.lines.Add(1)
		n := g.inFlight.Add(1)
		for old := g.inFlightMax.Load(); n > old && !g.inFlightMax.CompareAndSwap(old, n); {
			old = g.inFlightMax.Load()
		}
		g.mu.Lock()
		g.keys[m.Key] = true
		g.mu.Unlock()
		due <- time.Now().Add(g.latency)
	}
}

func bulkBubble(t *testing.T, g *bulkFake, test func(t *testing.T, base Config)) {
	g.keys = make(map[string]bool)
	bubble(t, g, func(t *testing.T, c Config) {
		c.Bulk = true
		test(t, c)
	})
}

func TestBulk(t *testing.T) {
	g := &bulkFake{latency: 10 * time.Millisecond}
	bulkBubble(t, g, func(t *testing.T, c Config) {
		c.Window, c.Duration, c.WarmUp, c.Keys = 64, 2*time.Second, time.Second, true
		r, err := Run(t.Context(), c)
		if err != nil {
			t.Fatal(err)
		}
		if r.Throughput < 2*64*98 || r.Throughput > 2*64*102 || r.Window != 64 || !r.Bulk {
			t.Errorf("%v a second, want two times 64 every 10 ms", r.Throughput)
		}
		if l := r.Latency; l.P50 < 9.9 || l.Max > 10.1 {
			t.Errorf("latencies %+v, want 10 ms", l)
		}
		if r.Verdicts["PROCESSED"] != r.Messages || len(r.Errors) != 0 || r.Unknown != 0 {
			t.Errorf("verdicts %v, errors %v", r.Verdicts, r.Errors)
		}
		if n := g.inFlightMax.Load(); n != 128 {
			t.Errorf("%d lines in flight, want 128", n)
		}
		if len(g.keys) != int(g.lines.Load()) {
			t.Errorf("%d keys in %d lines", len(g.keys), g.lines.Load())
		}
		if r.BodyBytes < 500 || r.BodyBytes > 3000 {
			t.Errorf("%v bytes a message", r.BodyBytes)
		}
		var sum int64
		for _, s := range r.Timeline { // the last one begins when the phase ends
			sum += s.Messages
		}
		if n := len(r.Timeline); n < 2 || n > 3 || sum != r.Messages {
			t.Errorf("timeline %+v", r.Timeline)
		}
	})
}

func TestBulkOneInFlight(t *testing.T) {
	g := &bulkFake{latency: 10 * time.Millisecond}
	bulkBubble(t, g, func(t *testing.T, c Config) {
		c.Window, c.Concurrency, c.Count = 1, 1, 100
		r, err := Run(t.Context(), c)
		if err != nil || r.Messages != 100 || g.inFlightMax.Load() != 1 || r.Seconds > 1.01 {
			t.Errorf("%d messages in %v s, %d in flight, %v", r.Messages, r.Seconds,
				g.inFlightMax.Load(), err)
		}
	})
}

// At a rate, lines wait for nobody, and a stall is on the account of all that were due in it.
func TestBulkOpenLoop(t *testing.T) {
	g := &bulkFake{latency: time.Millisecond, stall: 500, stallFor: time.Second}
	bulkBubble(t, g, func(t *testing.T, c Config) {
		c.Window, c.Concurrency, c.Rate, c.Duration = 100, 1, 500, 5*time.Second
		r, err := Run(t.Context(), c)
		if err != nil || r.Messages != 2500 || r.Unsent != 0 {
			t.Fatalf("%+v, %v", r, err)
		}
		if l := r.Latency; l.Max < 990 || l.P50 > 1.1 || l.P90 < 300 || l.Late < 700 {
			t.Errorf("latencies %+v", l)
		}
		if s := r.Timeline[0]; s.Max < 990 || s.MaxAt < .99 || s.MaxAt >= 1 {
			t.Errorf("the first second: %+v, want its last messages to wait a second", s)
		}
	})
}

// A verdict of its own for each line; refusals among them.
func TestBulkVerdicts(t *testing.T) {
	g := &bulkFake{verdict: func(line int) string {
		return []string{delivered, `"status_code":503,"title":"x","retry_after":1`,
			`"status_code":429`, `"status_code": 201, "rejection_reason":"USER_NOT_FOUND"`}[line%4]
	}}
	bulkBubble(t, g, func(t *testing.T, c Config) {
		c.Count, c.Concurrency = 400, 1
		r, err := Run(t.Context(), c)
		if err != nil || r.Messages != 200 || r.Errors["503"] != 100 || r.Errors["429"] != 100 ||
			r.Verdicts["REJECTED USER_NOT_FOUND"] != 100 {
			t.Fatalf("%+v, %v", r, err)
		}
		if f := r.Refused; f.Count != 200 || f.WithoutRetryAfter != 100 || r.Unknown != 0 {
			t.Errorf("refusals %+v, unknown %d", f, r.Unknown)
		}
	})
}

// What a broken stream leaves without a verdict is unknown, nothing of it is forgotten, and
// another stream goes on.
func TestBulkBroken(t *testing.T) {
	for name, g := range map[string]*bulkFake{
		"ends":         {verdict: func(line int) string { return upTo(line, 150, "") }},
		"no verdict":   {verdict: func(line int) string { return upTo(line, 150, `"x":1`) }},
		"out of order": {verdict: func(line int) string { return upTo(line, 150, delivered+"}\n{\"line\":99,"+delivered) }},
		"long line":    {verdict: func(line int) string { return upTo(line, 150, strings.Repeat(" ", 20<<10)) }},
	} {
		t.Run(name, func(t *testing.T) {
			g.latency = time.Millisecond
			bulkBubble(t, g, func(t *testing.T, c Config) {
				c.Window, c.Concurrency, c.Count = 40, 1, 1000
				r, err := Run(t.Context(), c)
				if err != nil || r.Messages+r.Unknown != 1000 || r.Unknown == 0 || r.Messages < 700 {
					t.Errorf("%d messages, %d unknown, %v", r.Messages, r.Unknown, err)
				}
				var sum int64
				for _, n := range r.Errors {
					sum += n
				}
				if sum != r.Unknown || g.streams.Load() < 5 {
					t.Errorf("errors %v of %d unknown, %d streams", r.Errors, r.Unknown,
						g.streams.Load())
				}
			})
		})
	}
}

func upTo(line, last int, then string) string {
	if line <= last {
		return delivered
	}
	return then
}

func TestBulkRefused(t *testing.T) {
	g := &bulkFake{latency: time.Millisecond, refuse: func(stream int64) int {
		if stream < 2 {
			return 429
		}
		return 0
	}}
	bulkBubble(t, g, func(t *testing.T, c Config) {
		c.Window, c.Concurrency, c.Count = 10, 1, 100
		r, err := Run(t.Context(), c)
		if err != nil || r.Errors["429"]+r.Messages != 100 || r.Errors["429"] == 0 ||
			r.Unknown != 0 || r.Refused.WithoutRetryAfter != 0 {
			t.Errorf("%+v, %v", r, err)
		}
	})
}

// A gateway that goes silent ends a stream after a bounded time.
func TestBulkSilence(t *testing.T) {
	g := &bulkFake{stall: 50, stallFor: time.Hour}
	bulkBubble(t, g, func(t *testing.T, c Config) {
		c.Window, c.Concurrency, c.Duration = 10, 1, 2*time.Second
		r, err := Run(t.Context(), c)
		if err != nil || r.Messages != 49 || r.Unknown != 10 || r.Errors["timeout"] != 10 ||
			r.Seconds > 16 {
			t.Errorf("%d messages in %v s, errors %v, %v", r.Messages, r.Seconds, r.Errors, err)
		}
	})
}

func TestBulkInterrupted(t *testing.T) {
	g := &bulkFake{latency: time.Hour}
	bulkBubble(t, g, func(t *testing.T, c Config) {
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		c.Window = 10
		start := time.Now()
		r, err := Run(ctx, c)
		if !errors.Is(err, context.DeadlineExceeded) || r == nil || r.Unknown != 20 ||
			time.Since(start) > time.Second+drainTimeout {
			t.Errorf("%+v, %v after %v", r, err, time.Since(start))
		}
	})
}

// Over TCP, where a socket is full at times.
func TestBulkTCP(t *testing.T) {
	g := &bulkFake{keys: make(map[string]bool)}
	server := httptest.NewServer(g)
	defer server.Close()
	r, err := Run(t.Context(), Config{Gateways: []string{server.URL + "/"}, Key: "K", Bulk: true,
		Count: 20_000, Codes: []fiscalcode.Code{"AAAAAA00A00A000A"}})
	if err != nil || r.Messages != 20_000 || r.Unknown != 0 || g.lines.Load() != 20_000 {
		t.Errorf("%d messages, errors %v, %v", r.Messages, r.Errors, err)
	}
}

func TestParseVerdict(t *testing.T) {
	for in, want := range map[string]string{
		`{"line":7,"status_code":201,"id":"x"}`:      "7 201 true",
		`{"line": 0, "status_code": 503}`:            "0 503 true",
		`{"line":-1,"status_code":201}`:              "0 201 false",
		`{"line":1}`:                                 "1 0 false",
		`{"line":9999999999999999,"status_code":20}`: "999999999999999 20 true",
		``: "0 0 false",
	} {
		a, n, ok := parseVerdict([]byte(in))
		if got := fmt.Sprint(n, a.status, ok); got != want {
			t.Errorf("%s: got %s, want %s", in, got, want)
		}
	}
}

func BenchmarkBulk(b *testing.B) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		http.NewResponseController(w).EnableFullDuplex()
		in, n := bufio.NewReaderSize(r.Body, 64<<10), 0
		var out []byte
		for {
			line, err := in.ReadSlice('\n')
			if err == nil || len(line) > 0 && err == io.EOF {
				n++
				out = fmt.Appendf(out, "{\"line\":%d,%s}\n", n, delivered)
			}
			if err != nil || in.Buffered() < 8<<10 {
				w.Write(out)
				w.(http.Flusher).Flush()
				out = out[:0]
			}
			if err != nil {
				return
			}
		}
	}))
	defer server.Close()
	config := benchConfig(server.URL)
	config.Bulk, config.Count = true, int64(b.N)
	b.ReportAllocs()
	cpu := processor(b)
	r, err := Run(b.Context(), config)
	if err != nil || r.Messages != int64(b.N) {
		b.Fatal(r, err)
	}
	b.ReportMetric(float64((processor(b)-cpu).Microseconds())/float64(b.N), "cpu-us/op")
}

func BenchmarkLine(b *testing.B) {
	config := benchConfig("http://x")
	config.Keys = true
	corpus := newCorpus(&config)
	corpus.body(bodiesMax - 1)
	var line []byte
	b.ReportAllocs()
	for b.Loop() {
		line, _ = corpus.line(line[:0])
	}
}
