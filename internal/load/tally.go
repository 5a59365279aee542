package load

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"syscall"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
)

// Latencies are kept in microseconds, from one to two minutes, with three digits.
const (
	latencyMax    = 2 * time.Minute
	latencyDigits = 3
)

// tally counts what one worker saw. Owned by the worker, then by the run.
type tally struct {
	latency  *hdrhistogram.Histogram
	verdicts map[string]int64
	errors   map[string]int64
	bodies   int64 // bytes of the bodies sent
	late     time.Duration
}

func newTally() *tally {
	return &tally{latency: hdrhistogram.New(1, latencyMax.Microseconds(), latencyDigits),
		verdicts: make(map[string]int64), errors: make(map[string]int64)}
}

// kindsMax bounds the different errors that are told apart.
const kindsMax = 32

// answered counts an answer with its latency. Refusals have latencies too, kept apart from
// the histogram: a fast 429 must not better the figures.
func (t *tally) answered(status int, body []byte, latency time.Duration) {
	if status != 201 {
		t.failed(fmt.Sprintf("%d", status))
		return
	}
	t.latency.RecordValue(max(min(latency, latencyMax).Microseconds(), 1))
	switch {
	case bytes.Contains(body, []byte(`"PROCESSED"`)):
		t.verdicts["PROCESSED"]++
	case bytes.Contains(body, []byte(`"USER_NOT_FOUND"`)):
		t.verdicts["REJECTED USER_NOT_FOUND"]++
	case bytes.Contains(body, []byte(`"SERVICE_NOT_ALLOWED"`)):
		t.verdicts["REJECTED SERVICE_NOT_ALLOWED"]++
	case bytes.Contains(body, []byte(`"THROTTLED"`)):
		t.verdicts["THROTTLED"]++
	default:
		t.verdicts["other"]++
	}
}

func (t *tally) failed(kind string) {
	if _, ok := t.errors[kind]; !ok && len(t.errors) >= kindsMax {
		kind = "other"
	}
	t.errors[kind]++
}

// merge adds o to t.
func (t *tally) merge(o *tally) {
	t.latency.Merge(o.latency)
	for k, n := range o.verdicts {
		t.verdicts[k] += n
	}
	for k, n := range o.errors {
		t.errors[k] += n
	}
	t.bodies += o.bodies
	t.late = max(t.late, o.late)
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
	case errors.Is(err, net.ErrClosed):
		return "interrupted"
	case errors.As(err, &timeout) && timeout.Timeout():
		return "timeout"
	case errors.Is(err, errAnswer):
		return "no HTTP answer"
	}
	return "no connection"
}
