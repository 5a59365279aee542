package load

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/staffetta/staffetta/internal/fiscalcode"
)

// world is a federation as its clients see it, both kinds of them, in virtual time.
type world struct {
	latency  func(key string) time.Duration // of a submission
	capacity int                            // submissions a second, 0 for all; the rest is refused
	polite   bool                           // and told when to come again
	bulk     bulkFake

	bulks atomic.Int64 // streams under way

	mu       sync.Mutex
	window   time.Time
	taken    int
	inboxes  map[string][]string // by fiscal code
	lists    int
	reads    map[string]int
	sessions int
}

func (w *world) ServeHTTP(out http.ResponseWriter, r *http.Request) {
	switch {
	case r.URL.Path == "/api/v1/messages/bulk":
		w.bulks.Add(1)
		defer w.bulks.Add(-1)
		w.bulk.ServeHTTP(out, r)
	case r.URL.Path == "/api/v1/messages":
		w.submit(out, r)
	case r.URL.Path == "/test-login":
		var c struct{ Username, Password string }
		if json.NewDecoder(r.Body).Decode(&c) != nil || c.Password != "test" {
			out.WriteHeader(401)
			return
		}
		w.mu.Lock()
		w.sessions++
		w.mu.Unlock()
		fmt.Fprintf(out, `{"token":%q}`, c.Username)
	default:
		w.read(out, r)
	}
}

func (w *world) submit(out http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	var m struct {
		Code string `json:"fiscal_code"`
	}
	if json.Unmarshal(body, &m) != nil {
		out.WriteHeader(400)
		return
	}
	if w.capacity > 0 && !w.take() {
		if w.polite {
			out.Header().Set("Retry-After", "1")
		}
		pause(r.Context(), 2*time.Millisecond)
		out.WriteHeader(503)
		return
	}
	if w.latency != nil {
		pause(r.Context(), w.latency(r.Header.Get("Ocp-Apim-Subscription-Key")))
	}
	w.mu.Lock()
	w.inboxes[m.Code] = append(w.inboxes[m.Code], fmt.Sprintf("M%s-%d", m.Code, len(w.inboxes[m.Code])))
	w.mu.Unlock()
	out.WriteHeader(201)
	io.WriteString(out, `{"id":"01","status":"PROCESSED"}`)
}

// take takes one of the capacity of a tenth of a second.
func (w *world) take() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	if now := time.Now(); now.Sub(w.window) >= 100*time.Millisecond {
		w.window, w.taken = now, 0
	}
	w.taken++
	return w.taken <= w.capacity/10
}

func (w *world) read(out http.ResponseWriter, r *http.Request) {
	code, ok := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
	id, message := strings.CutPrefix(r.URL.Path, "/api/communication/v1/messages/")
	w.mu.Lock()
	defer w.mu.Unlock()
	inbox := w.inboxes[code]
	switch {
	case !ok || len(inbox) == 0:
		out.WriteHeader(401)
	case message && !strings.HasPrefix(id, "M"+code+"-"):
		out.WriteHeader(404)
	case message:
		w.reads[id]++
		io.WriteString(out, `{"id":"01"}`)
	default:
		if r.URL.RawQuery == "enrich_result_data=true&page_size=12" {
			w.lists++
		}
		var items []map[string]string
		for _, id := range inbox[max(0, len(inbox)-100):] {
			items = append(items, map[string]string{"id": id})
		}
		json.NewEncoder(out).Encode(map[string]any{"items": items})
	}
}

func inWorld(t *testing.T, w *world, test func(t *testing.T, base Config)) {
	w.inboxes, w.reads = make(map[string][]string), make(map[string]int)
	w.bulk.keys = make(map[string]bool)
	bubble(t, w, func(t *testing.T, c Config) {
		c.Duration, c.WarmUp = 2*time.Second, 500*time.Millisecond
		test(t, c)
	})
}

// near reports whether got is want, give or take some percent.
func near(got, want, percent float64) bool { return math.Abs(got-want) <= want*percent/100 }

// The quiet institution waits three times as long while bulk is streamed, and is told so.
func TestFairness(t *testing.T) {
	w := &world{bulk: bulkFake{latency: 10 * time.Millisecond}}
	w.latency = func(key string) time.Duration {
		switch {
		case key == "Q" && w.bulks.Load() > 0:
			return 30 * time.Millisecond
		case key == "Q":
			return 10 * time.Millisecond
		}
		return 100 * time.Millisecond
	}
	inWorld(t, w, func(t *testing.T, busy Config) {
		busy.Concurrency, busy.Window = 32, 10
		quiet := busy
		quiet.Key = "Q"
		r, err := Fairness(t.Context(), quiet, busy)
		if err != nil {
			t.Fatal(err)
		}
		if !near(r.Highest.Throughput, 320, 5) || !near(r.Singles.Rate, 0.7*320, 5) ||
			!near(r.Singles.Throughput, r.Singles.Rate, 5) || !r.Bulk.Bulk || r.Bulk.Messages == 0 {
			t.Errorf("the busy one: highest %v, offers %v, gets %v; %v as bulk",
				r.Highest.Throughput, r.Singles.Rate, r.Singles.Throughput, r.Bulk.Messages)
		}
		if !near(r.Alone.Throughput, 100, 2) || !near(r.Alone.Latency.P50, 10, 1) || !near(r.BesideSingles.Latency.P99, 10, 1) ||
			!near(r.BesideBulk.Latency.P99, 30, 1) || !near(r.RatioP99, 3, 1) ||
			!near(r.RatioP50, 3, 1) {
			t.Errorf("the quiet one: %+v, %+v, %+v, ratios %v and %v", r.Alone.Latency,
				r.BesideSingles.Latency, r.BesideBulk.Latency, r.RatioP50, r.RatioP99)
		}
		wantText(t, r, "beside bulk", "p50 3.00, p99 3.00")
	})
}

func TestFairnessFails(t *testing.T) {
	inWorld(t, &world{capacity: 1}, func(t *testing.T, c Config) {
		c.Concurrency = 4
		if _, err := Fairness(t.Context(), c, c); err == nil ||
			!strings.Contains(err.Error(), "no message of the busy institution") {
			t.Errorf("got %v", err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err := Fairness(ctx, c, c); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("interrupted: got %v", err)
		}
	})
}

func TestOverload(t *testing.T) {
	for _, polite := range []bool{true, false} {
		w := &world{capacity: 500, polite: polite, latency: func(string) time.Duration {
			return 50 * time.Millisecond
		}}
		inWorld(t, w, func(t *testing.T, c Config) {
			c.Concurrency = 200
			r, err := Overload(t.Context(), c, 500)
			if err != nil {
				t.Fatal(err)
			}
			l := r.Load
			if l.Rate != 1500 || l.Unsent != 0 || !near(r.Ratio, 1, 6) || !near(r.Goodput, 500, 6) {
				t.Errorf("%+v of the load %+v", r, l)
			}
			f := l.Refused
			if !near(float64(f.Count), 2000, 5) || l.Errors["503"] != f.Count ||
				!near(f.Latency.P99, 2, 1) || !near(f.FromSending.P99, 2, 1) || !near(l.Latency.P50, 50, 1) {
				t.Errorf("refused %+v, errors %v, accepted %+v", f, l.Errors, l.Latency)
			}
			if polite != (f.WithoutRetryAfter == 0) || !polite && f.WithoutRetryAfter != f.Count {
				t.Errorf("%d refusals, %d without Retry-After", f.Count, f.WithoutRetryAfter)
			}
			wantText(t, r, "of a capacity of 500", "without Retry-After")
		})
	}
}

func TestOverloadBulk(t *testing.T) {
	inWorld(t, &world{bulk: bulkFake{latency: 10 * time.Millisecond}},
		func(t *testing.T, c Config) {
			c.Bulk, c.Window = true, 10
			r, err := Overload(t.Context(), c, 0)
			if err != nil || r.Best.Concurrency != 2 || r.Load.Concurrency != 6 ||
				!near(r.Capacity, 2000, 3) || !near(r.Ratio, 3, 3) {
				t.Errorf("%+v, %v", r, err)
			}
			wantText(t, r, "6 bulk streams; the capacity is that of 2")
		})
	for _, capacity := range []float64{0, -1, 1e9, math.NaN()} {
		if _, err := Overload(t.Context(), Config{}, capacity); err == nil ||
			!strings.Contains(err.Error(), "capacity:") {
			t.Errorf("capacity %v: got %v", capacity, err)
		}
	}
}

// A stall at half of the throughput is found, with its time.
func TestHalf(t *testing.T) {
	var stalled atomic.Bool
	var third time.Time // when the third run was measured from
	w := &world{}
	w.latency = func(string) time.Duration {
		if time.Since(third) >= 1200*time.Millisecond && stalled.CompareAndSwap(false, true) {
			return 700 * time.Millisecond
		}
		return 10 * time.Millisecond
	}
	inWorld(t, w, func(t *testing.T, c Config) {
		c.Concurrency = 10
		third = time.Now().Add(2*2500*time.Millisecond + 500*time.Millisecond)
		r, err := Half(t.Context(), c)
		if err != nil {
			t.Fatal(err)
		}
		if !near(r.One.Throughput, 100, 2) || !near(r.Highest.Throughput, 1000, 2) ||
			!near(r.Half.Rate, 500, 2) || !near(r.Half.Throughput, 500, 2) {
			t.Errorf("%v, %v, half %v of %v offered", r.One.Throughput, r.Highest.Throughput,
				r.Half.Throughput, r.Half.Rate)
		}
		if !near(r.Ratio, 1, 2) || len(r.Stalls) < 2 || !near(r.Stalls[0].Max, 700, 1) ||
			!near(r.Stalls[0].MaxAt, 1.2, 5) || r.Stalls[0].Second != 1 {
			t.Errorf("ratio %v, stalls %+v", r.Ratio, r.Stalls)
		}
		wantText(t, r, "p99 is 1.0", "700.00 ms")
	})
}

func TestReads(t *testing.T) {
	w := &world{latency: func(string) time.Duration { return 5 * time.Millisecond }}
	inWorld(t, w, func(t *testing.T, c Config) {
		c.Codes = nil
		for i := range 20 {
			c.Codes = append(c.Codes, fiscalcode.Code(fmt.Sprintf("C%02d", i)))
		}
		c.Rate = 100
		r, err := Reads(t.Context(), ReadsConfig{Config: c, Reads: 500, Readers: 4, Messages: 30})
		if err != nil {
			t.Fatal(err)
		}
		for i, code := range c.Codes {
			switch got := len(w.inboxes[string(code)]); {
			case i%5 == 0 && got < 30, i%5 != 0 && got >= 30:
				t.Errorf("citizen %d has %d messages; four of them should have 30 and more", i, got)
			}
		}
		if !near(float64(r.Lists.Messages), 100, 2) || !near(float64(r.Messages.Messages), 900, 2) ||
			!near(r.Throughput, 500, 2) || len(r.Lists.Errors)+len(r.Messages.Errors) != 0 ||
			r.Unsent > 1 {
			t.Errorf("lists %+v, messages %+v", r.Lists, r.Messages)
		}
		// The warm-up lists too.
		if w.sessions != 4 || w.lists != 125 || len(w.reads) < 110 || len(w.reads) > 160 {
			t.Errorf("%d sessions, %d lists, %d different messages", w.sessions, w.lists,
				len(w.reads))
		}
		if !near(r.Writes.Throughput, 100, 5) || !near(r.Writes.Latency.P50, 5, 1) {
			t.Errorf("writes %+v", r.Writes)
		}
		wantText(t, r, "first page", "submission")
	})
}

func TestReadsRefused(t *testing.T) {
	inWorld(t, &world{capacity: 10}, func(t *testing.T, c Config) {
		reads := ReadsConfig{Config: c, Reads: 10, Readers: 1, Messages: 20}
		for want, change := range map[string]func(*ReadsConfig){
			"reads: 0 a second": func(c *ReadsConfig) { c.Reads = 0 },
			"readers: 0 with":   func(c *ReadsConfig) { c.Readers = 0 },
			"1 with -1 messages": func(c *ReadsConfig) {
				c.Messages = -1
			},
			"gateway: want a URL":             func(c *ReadsConfig) { c.Gateways = []string{"x"} },
			"fill inboxes: 1 of 20 messages":  func(*ReadsConfig) {},
			"list an inbox: 401 Unauthorized": func(c *ReadsConfig) { c.Messages = 0; c.Codes = []fiscalcode.Code{"X"} },
		} {
			config := reads
			change(&config)
			_, err := Reads(t.Context(), config)
			if err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("got %v, want %q", err, want)
			}
		}
	})
}

// wantText checks what a report tells people, and that machines can read it.
func wantText(t *testing.T, r interface{ Write(io.Writer) error }, want ...string) {
	t.Helper()
	var text strings.Builder
	if err := r.Write(&text); err != nil {
		t.Fatal(err)
	}
	for _, w := range want {
		if !strings.Contains(text.String(), w) {
			t.Errorf("no %q in\n%s", w, text.String())
		}
	}
	if b, err := json.Marshal(r); err != nil || len(b) < 100 {
		t.Errorf("as JSON: %s, %v", b, err)
	}
}
