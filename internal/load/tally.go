package load

import (
	"bytes"
	"errors"
	"io"
	"net"
	"strconv"
	"sync"
	"syscall"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
)

// Latencies are kept in microseconds, from one to two minutes, with three digits; those of single
// seconds with two, in 20 KB each.
const (
	latencyMax    = 2 * time.Minute
	latencyDigits = 3
	secondDigits  = 2
	// timelineMax bounds the seconds that are told apart, from the beginning.
	timelineMax = 600
)

// tally counts answers. It is safe for concurrent use.
type tally struct {
	start time.Time

	// Guarded by mu.
	mu      sync.Mutex
	latency *hdrhistogram.Histogram // of answers that are wanted
	refused *hdrhistogram.Histogram // of those that are not
	// The same, from the moment of sending.
	latencySent, refusedSent *hdrhistogram.Histogram
	verdicts                 map[string]int64
	errors                   map[string]int64
	unknown                  int64 // sent, and never answered
	noRetry                  int64 // refused for now, and not told when to come again
	bodies                   int64 // bytes of the bodies with a verdict
	late                     time.Duration
	timeline                 []*second
}

// second is what was due in one second of a phase.
type second struct {
	latency *hdrhistogram.Histogram
	worst   time.Duration
	worstAt time.Duration // when the message of the worst latency was due
}

// moment is when a message was due and when it was sent.
type moment struct{ due, begun time.Time }

func newTally(start time.Time) *tally {
	return &tally{start: start, latency: newHistogram(latencyDigits),
		refused: newHistogram(latencyDigits), latencySent: newHistogram(latencyDigits),
		refusedSent: newHistogram(latencyDigits), verdicts: make(map[string]int64),
		errors: make(map[string]int64)}
}

func newHistogram(digits int) *hdrhistogram.Histogram {
	return hdrhistogram.New(1, latencyMax.Microseconds(), digits)
}

func record(h *hdrhistogram.Histogram, latency time.Duration) {
	h.RecordValue(max(min(latency, latencyMax).Microseconds(), 1))
}

// kindsMax bounds the different errors that are told apart.
const kindsMax = 32

// answered counts the answer to a message of size bytes, come now. Refusals have latencies too,
// kept apart: a fast 429 must not better the figures.
func (t *tally) answered(a answer, m moment, size int) {
	now := time.Now()
	latency, sent := now.Sub(m.due), now.Sub(m.begun)
	t.mu.Lock()
	defer t.mu.Unlock()
	t.late = max(t.late, m.begun.Sub(m.due))
	if a.status != 201 && a.status != 200 {
		record(t.refused, latency)
		record(t.refusedSent, sent)
		if !a.retryAfter && (a.status == 429 || a.status == 503) {
			t.noRetry++
		}
		t.count(strconv.Itoa(a.status))
		return
	}
	record(t.latency, latency)
	record(t.latencySent, sent)
	t.note(m.due.Sub(t.start), latency)
	t.verdicts[verdict(a)]++
	t.bodies += int64(size)
}

func verdict(a answer) string {
	switch {
	case a.status == 200:
		return "read"
	case bytes.Contains(a.body, []byte(`"PROCESSED"`)):
		return "PROCESSED"
	case bytes.Contains(a.body, []byte(`"USER_NOT_FOUND"`)):
		return "REJECTED USER_NOT_FOUND"
	case bytes.Contains(a.body, []byte(`"SERVICE_NOT_ALLOWED"`)):
		return "REJECTED SERVICE_NOT_ALLOWED"
	case bytes.Contains(a.body, []byte(`"THROTTLED"`)):
		return "THROTTLED"
	}
	return "other"
}

// note enters a latency into its second.
func (t *tally) note(at, latency time.Duration) {
	n := int(max(at, 0) / time.Second)
	if n >= timelineMax {
		return
	}
	for len(t.timeline) <= n {
		t.timeline = append(t.timeline, &second{latency: newHistogram(secondDigits)})
	}
	s := t.timeline[n]
	record(s.latency, latency)
	if latency > s.worst {
		s.worst, s.worstAt = latency, at
	}
}

// lost counts a message that was sent, and of which nobody knows what became of it.
func (t *tally) lost(why string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.unknown++
	t.count(why)
}

// failed counts a message that was not sent.
func (t *tally) failed(why string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.count(why)
}

func (t *tally) count(kind string) {
	if _, ok := t.errors[kind]; !ok && len(t.errors) >= kindsMax {
		kind = "other"
	}
	t.errors[kind]++
}

// reason names the failure of a request that had no answer.
func reason(err error) string {
	var timeout net.Error
	switch {
	case errors.Is(err, syscall.ECONNREFUSED):
		return "connection refused"
	case errors.Is(err, syscall.ECONNRESET), errors.Is(err, syscall.EPIPE),
		errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return "connection broken"
	case errors.Is(err, net.ErrClosed), errors.Is(err, io.ErrClosedPipe):
		return "interrupted"
	case errors.As(err, &timeout) && timeout.Timeout():
		return "timeout"
	case errors.Is(err, errAnswer):
		return "no HTTP answer"
	case errors.Is(err, errVerdict):
		return "no verdict in a line"
	}
	return "no connection"
}
