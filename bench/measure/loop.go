package measure

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
)

// Latencies are kept in microseconds, from one to two minutes, with three digits.
const (
	latencyMax    = 2 * time.Minute
	latencyDigits = 3
)

// Loop is a closed loop of Workers, each with Window requests of Batch messages under way.
type Loop struct {
	Workers, Window, Batch int
	// Duration and Count end it, whichever comes first; a Count of 0 does not.
	Duration time.Duration
	Count    int64
	Bodies   *Bodies
}

// Begin sends one request for a worker. It returns once the request is on its way or done; wait,
// when it is not nil, returns once everything is acknowledged. The bodies are the callee's.
type Begin func(ctx context.Context, worker int, bodies [][]byte) (wait func() error, err error)

// Tally is what a loop saw. Latency is that of requests: of one message, or of a whole batch.
type Tally struct {
	Messages  int64 // acknowledged
	BodyBytes int64
	Elapsed   time.Duration // to the last acknowledgement
	P50, P99  time.Duration
}

// Run runs the loop until its end, and waits for every acknowledgement. The error is the first
// request's that failed, or ctx's.
func (l *Loop) Run(ctx context.Context, begin Begin) (*Tally, error) {
	if l.Workers < 1 || l.Window < 1 || l.Batch < 1 || l.Duration <= 0 && l.Count <= 0 {
		return nil, errors.New("loop: without workers, window, batch or end")
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	start := time.Now()
	workers := make([]worker, l.Workers)
	var begun atomic.Int64
	var running sync.WaitGroup
	for i := range workers {
		w := &workers[i]
		*w = worker{loop: l, number: i, begin: begin, begun: &begun,
			latency: hdrhistogram.New(1, latencyMax.Microseconds(), latencyDigits)}
		if l.Duration > 0 {
			w.end = start.Add(l.Duration)
		}
		running.Go(func() {
			if err := w.run(ctx); err != nil {
				cancel(err)
			}
		})
	}
	running.Wait()
	t := &Tally{Elapsed: time.Since(start)}
	if err := context.Cause(ctx); err != nil {
		return nil, err
	}
	total := workers[0].latency
	for i := range workers {
		t.Messages += workers[i].messages
		t.BodyBytes += workers[i].bodyBytes
		if i > 0 {
			total.Merge(workers[i].latency)
		}
	}
	t.P50 = time.Duration(total.ValueAtPercentile(50)) * time.Microsecond
	t.P99 = time.Duration(total.ValueAtPercentile(99)) * time.Microsecond
	return t, nil
}

// worker is one of a loop's. Owned by its goroutine, then by the loop.
type worker struct {
	loop   *Loop
	number int
	begin  Begin
	begun  *atomic.Int64 // messages, of all workers
	end    time.Time

	latency   *hdrhistogram.Histogram
	messages  int64
	bodyBytes int64
	underWay  []request // oldest first
}

type request struct {
	wait  func() error
	begun time.Time
	size  int
}

func (w *worker) run(ctx context.Context) error {
	for ctx.Err() == nil && (w.end.IsZero() || time.Now().Before(w.end)) {
		n := w.loop.Batch
		if count := w.loop.Count; count > 0 {
			if n = int(min(int64(n), count-w.begun.Add(int64(n))+int64(n))); n <= 0 {
				break
			}
		}
		bodies := w.loop.Bodies.Next(n)
		for _, b := range bodies {
			w.bodyBytes += int64(len(b))
		}
		start := time.Now()
		wait, err := w.begin(ctx, w.number, bodies)
		if err != nil {
			return err
		}
		w.underWay = append(w.underWay, request{wait, start, n})
		if len(w.underWay) == w.loop.Window {
			if err := w.oldest(); err != nil {
				return err
			}
		}
	}
	for len(w.underWay) > 0 {
		if err := w.oldest(); err != nil {
			return err
		}
	}
	return nil
}

// oldest waits for the oldest request under way.
func (w *worker) oldest() error {
	r := w.underWay[0]
	w.underWay = w.underWay[1:]
	if r.wait != nil {
		if err := r.wait(); err != nil {
			return err
		}
	}
	w.messages += int64(r.size)
	latency := min(time.Since(r.begun), latencyMax)
	return w.latency.RecordValue(max(latency.Microseconds(), 1))
}
