package load

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/staffetta/staffetta/internal/fiscalcode"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// gatewayFake answers submissions inside a bubble, after latency.
type gatewayFake struct {
	latency func(request int) time.Duration
	status  func(request int) int

	mu       sync.Mutex
	requests int
	codes    map[string]int
	keys     map[string]bool
	bytes    int64
}

func (g *gatewayFake) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	var m struct {
		FiscalCode string `json:"fiscal_code"`
	}
	if err := json.Unmarshal(body, &m); err != nil || r.URL.Path != "/api/v1/messages" ||
		r.Header.Get("Ocp-Apim-Subscription-Key") != "K" {
		w.WriteHeader(400)
		return
	}
	g.mu.Lock()
	number := g.requests
	g.requests++
	g.codes[m.FiscalCode]++
	g.keys[r.Header.Get("Idempotency-Key")] = true
	g.bytes += int64(len(body))
	g.mu.Unlock()
	if g.latency != nil {
		select {
		case <-time.After(g.latency(number)):
		case <-r.Context().Done():
			return
		}
	}
	if g.status != nil && g.status(number) != 201 {
		w.WriteHeader(g.status(number))
		return
	}
	w.WriteHeader(201)
	if m.FiscalCode == "AAAAAA00A00A000A" {
		fmt.Fprint(w, `{"id":"01","status":"PROCESSED"}`)
	} else {
		fmt.Fprint(w, `{"id":"01","status":"REJECTED","rejection_reason":"USER_NOT_FOUND"}`)
	}
}

// pipes is a listener whose connections need no network, and so live in virtual time.
type pipes struct {
	conns chan net.Conn
	once  sync.Once
	quit  chan struct{}
}

func (p *pipes) Accept() (net.Conn, error) {
	select {
	case c := <-p.conns:
		return c, nil
	case <-p.quit:
		return nil, net.ErrClosed
	}
}

func (p *pipes) Close() error   { p.once.Do(func() { close(p.quit) }); return nil }
func (p *pipes) Addr() net.Addr { return &net.UnixAddr{Name: "pipe"} }

func (p *pipes) dial(context.Context, string, string) (net.Conn, error) {
	client, server := net.Pipe()
	select {
	case p.conns <- server:
		return client, nil
	case <-p.quit:
		return nil, errors.New("no listener")
	}
}

// bubble runs test against g in virtual time.
func bubble(t *testing.T, g http.Handler, test func(t *testing.T, base Config)) {
	synctest.Test(t, func(t *testing.T) {
		if g, ok := g.(*gatewayFake); ok {
			g.codes, g.keys = make(map[string]int), make(map[string]bool)
		}
		p := &pipes{conns: make(chan net.Conn), quit: make(chan struct{})}
		server := &http.Server{Handler: g}
		served := make(chan struct{})
		go func() { server.Serve(p); close(served) }()
		defer func() { server.Close(); <-served }()
		test(t, Config{Gateways: []string{"http://gateway.example"}, Key: "K", Dial: p.dial,
			Codes: []fiscalcode.Code{"AAAAAA00A00A000A"}})
	})
}

func constant(d time.Duration) func(int) time.Duration {
	return func(int) time.Duration { return d }
}

func TestClosedLoop(t *testing.T) {
	bubble(t, &gatewayFake{latency: constant(10 * time.Millisecond)},
		func(t *testing.T, c Config) {
			c.Concurrency, c.Duration, c.WarmUp = 8, 2*time.Second, time.Second
			r, err := Run(t.Context(), c)
			if err != nil {
				t.Fatal(err)
			}
			if r.Throughput < 790 || r.Throughput > 810 {
				t.Errorf("%v a second, want 8 every 10 ms", r.Throughput)
			}
			if l := r.Latency; l.P50 < 9.9 || l.P999 > 10.1 || l.Max > 10.1 {
				t.Errorf("latencies %+v, want 10 ms", l)
			}
			if r.Verdicts["PROCESSED"] != r.Messages || len(r.Errors) != 0 {
				t.Errorf("verdicts %v, errors %v", r.Verdicts, r.Errors)
			}
			if r.BodyBytes < 500 || r.BodyBytes > 3000 {
				t.Errorf("%v bytes a message", r.BodyBytes)
			}
		})
}

func TestCount(t *testing.T) {
	g := &gatewayFake{}
	bubble(t, g, func(t *testing.T, c Config) {
		c.Concurrency, c.Count, c.Keys = 8, 1000, true
		r, err := Run(t.Context(), c)
		if err != nil || r.Messages != 1000 || g.requests != 1000 || len(g.keys) != 1000 {
			t.Errorf("%d messages, %d requests, %d keys, %v", r.Messages, g.requests, len(g.keys),
				err)
		}
	})
}

// A stall of one second delays every message due in it; an answer that says ten milliseconds for
// all but one would be a lie.
func TestOpenLoop(t *testing.T) {
	g := &gatewayFake{latency: func(request int) time.Duration {
		if request == 500 {
			return time.Second
		}
		return time.Millisecond
	}}
	bubble(t, g, func(t *testing.T, c Config) {
		c.Concurrency, c.Rate, c.Duration = 1, 500, 10*time.Second
		r, err := Run(t.Context(), c)
		if err != nil || r.Messages != 5000 {
			t.Fatalf("%+v, %v", r, err)
		}
		// Half of the stall's 500 messages are more than half a second late, and again as
		// many while the queue is worked off at twice the rate.
		if l := r.Latency; l.Max < 990 || l.P50 > 1.1 || l.P90 < 100 || l.Late < 990 {
			t.Errorf("latencies %+v", l)
		}
		if s := r.FromSending; s.P90 > 1.1 || s.Max < 990 {
			t.Errorf("from sending %+v, want all but one within 1 ms", s)
		}
	})
}

func TestErrors(t *testing.T) {
	g := &gatewayFake{latency: constant(time.Millisecond), status: func(request int) int {
		return []int{201, 201, 429, 503}[request%4]
	}}
	bubble(t, g, func(t *testing.T, c Config) {
		c.Count, c.Concurrency, c.UnknownPercent = 400, 4, 100
		r, err := Run(t.Context(), c)
		if err != nil {
			t.Fatal(err)
		}
		if r.Errors["429"] != 100 || r.Errors["503"] != 100 || r.Messages != 200 ||
			r.Verdicts["REJECTED USER_NOT_FOUND"] != 200 {
			t.Errorf("verdicts %v, errors %v", r.Verdicts, r.Errors)
		}
		for code, n := range g.codes {
			if n != 1 || !fiscalcode.Code(code).Valid() {
				t.Errorf("code %q came %d times", code, n)
			}
		}
	})
}

// The same seed offers the same messages to the same citizens.
func TestSeed(t *testing.T) {
	run := func(seed uint64) (total int64) {
		g := &gatewayFake{}
		bubble(t, g, func(t *testing.T, c Config) {
			c.Count, c.Concurrency, c.Seed = 100, 1, seed
			if _, err := Run(t.Context(), c); err != nil {
				t.Fatal(err)
			}
		})
		return g.bytes
	}
	if a, b, c := run(1), run(1), run(2); a != b || a == c {
		t.Errorf("bytes sent: %d, %d with one seed, %d with another", a, b, c)
	}
}

func TestInterrupted(t *testing.T) {
	g := &gatewayFake{latency: func(request int) time.Duration {
		if request == 100 {
			return time.Hour
		}
		return 10 * time.Millisecond
	}}
	bubble(t, g, func(t *testing.T, c Config) {
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		defer cancel()
		c.Concurrency, c.Duration = 2, time.Hour
		start := time.Now()
		r, err := Run(ctx, c)
		if !errors.Is(err, context.DeadlineExceeded) || r == nil {
			t.Fatalf("got %v, %v", r, err)
		}
		if d := time.Since(start); d > 5*time.Second+drainTimeout {
			t.Errorf("ended after %v", d)
		}
		if r.Messages < 400 || r.Errors["timeout"] != 0 && r.Errors["timeout"] != 1 {
			t.Errorf("%d messages, errors %v", r.Messages, r.Errors)
		}
	})
}

func TestGatewayGone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, err := Run(t.Context(), Config{Gateways: []string{"http://g"}, Key: "K", Concurrency: 2,
			Duration: time.Second, Codes: []fiscalcode.Code{"AAAAAA00A00A000A"},
			Dial: func(context.Context, string, string) (net.Conn, error) {
				return nil, errors.New("gone")
			}})
		// Five tries each, and one more where the last wait and the phase end together.
		n := r.Errors["no connection"]
		if err != nil || r.Messages != 0 || n < 10 || n > 12 {
			t.Errorf("errors %v, %v", r.Errors, err)
		}
	})
}

func TestBadConfig(t *testing.T) {
	_, err := Run(t.Context(), Config{Gateways: []string{"x"}, Key: "a\r\nb", Concurrency: -1,
		Rate: -1, Count: -1, UnknownPercent: 101, Window: -1})
	for _, want := range []string{"gateway:", "key:", "unknown recipients:", "concurrency:",
		"rate:", "window:", "negative"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want all problems, %q too", err, want)
		}
	}
}

// Numbers decide recipients: all alike, few preferred, by turns.
func TestRecipients(t *testing.T) {
	config := Config{Seed: 3, Count: 1}
	for i := range 100 {
		config.Codes = append(config.Codes, fiscalcode.Code(fmt.Sprint(i)))
	}
	draw := func(c Config) (first, last int) {
		corpus := newCorpus(&c)
		for n := range uint64(100_000) {
			switch corpus.recipient(n) {
			case "0":
				first++
			case "99":
				last++
			}
		}
		return first, last
	}
	if a, b := draw(config); a < 900 || a > 1100 || b < 900 || b > 1100 {
		t.Errorf("all alike: %d and %d of 100,000, want 1,000", a, b)
	}
	config.Zipf = true // log 2 / log 101 and log (101/100) / log 101
	if a, b := draw(config); a < 14_500 || a > 15_500 || b < 150 || b > 280 {
		t.Errorf("Zipf: %d and %d of 100,000, want 15,019 and 216", a, b)
	}
	config.Zipf, config.inTurn = false, true
	if a, b := draw(config); a != 1000 || b != 1000 {
		t.Errorf("by turns: %d and %d of 100,000, want 1,000", a, b)
	}
}

// What was due and found no connection is told of.
func TestUnsent(t *testing.T) {
	bubble(t, &gatewayFake{latency: constant(100 * time.Millisecond)},
		func(t *testing.T, c Config) {
			c.Concurrency, c.Rate, c.Duration = 1, 100, time.Second
			r, err := Run(t.Context(), c)
			if err != nil || r.Messages > 11 || r.Messages < 10 || r.Messages+r.Unsent != 100 {
				t.Errorf("%d messages, %d unsent, %v; want 10 and 90", r.Messages, r.Unsent, err)
			}
		})
}

// A request without an answer is unknown, one that had no connection is not.
func TestUnknown(t *testing.T) {
	g := &gatewayFake{latency: func(request int) time.Duration {
		if request%10 == 9 {
			return time.Hour
		}
		return time.Millisecond
	}}
	bubble(t, g, func(t *testing.T, c Config) {
		c.Count, c.Concurrency = 100, 10
		r, err := Run(t.Context(), c)
		if err != nil || r.Messages != 90 || r.Unknown != 10 || r.Errors["timeout"] != 10 {
			t.Errorf("%d messages, %d unknown, errors %v, %v", r.Messages, r.Unknown, r.Errors, err)
		}
	})
}
