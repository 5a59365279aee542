package load

import (
	"context"
	"math"
	"sync"
	"sync/atomic"
	"time"
)

// Run offers load until the configured end, or until ctx ends. The report tells what was
// measured up to then; the error is why a run could not be made or ended early.
func Run(ctx context.Context, config Config) (*Report, error) {
	if err := config.complete(); err != nil {
		return nil, err
	}
	corpus := newCorpus(&config)
	r := &runner{config: &config, corpus: corpus, kinds: 1, next: func(dst []byte, c *conn) request {
		dst, size := corpus.request(c.appendStart(dst, "POST", "/api/v1/messages"))
		return request{bytes: dst, size: size}
	}}
	defer r.close()
	if err := r.connect(); err != nil {
		return nil, err
	}
	if config.WarmUp > 0 {
		if _, err := r.phase(ctx, config.WarmUp, 0); err != nil {
			return nil, err
		}
	}
	before, err := takeSample(ctx, config.Federation)
	if err != nil {
		return nil, err
	}
	watch := watchMemory(config.Federation)
	p, interrupted := r.phase(ctx, config.Duration, config.Count)
	memory := watch.stop()
	// What it cost is asked for even after an interruption, within a bound.
	sampling, cancel := context.WithTimeout(context.WithoutCancel(ctx), answerTimeout)
	defer cancel()
	after, err := takeSample(sampling, config.Federation)
	if err != nil {
		return nil, err
	}
	report := newReport(p, p.tallies[0])
	report.addCosts(before, after, memory)
	return report, interrupted
}

// runner offers load over its connections.
type runner struct {
	config *Config
	corpus *corpus
	conns  []*conn
	kinds  int                               // of requests
	next   func(dst []byte, c *conn) request // makes one, to be sent over c
}

// request is what a connection sends. Answers of different kinds are counted apart.
type request struct {
	bytes []byte
	size  int // of the body
	kind  int
}

func (r *runner) connect() error {
	for i := range r.config.Concurrency {
		c, err := newConn(r.config.Gateways[i%len(r.config.Gateways)], r.config.Dial)
		if err != nil {
			return err
		}
		r.conns = append(r.conns, c)
	}
	return nil
}

func (r *runner) close() {
	for _, c := range r.conns {
		c.close()
	}
}

// phase offers load for a time, or a number of messages when count is not zero. It returns
// after the last answer, with ctx's error when that ended it.
func (r *runner) phase(ctx context.Context, d time.Duration, count int64) (*phase, error) {
	p := &phase{runner: r, outer: ctx, start: time.Now(), count: count}
	for range r.kinds {
		p.tallies = append(p.tallies, newTally(p.start))
	}
	cancel := func() {}
	if p.ctx = ctx; d > 0 {
		p.end = p.start.Add(d)
		p.ctx, cancel = context.WithDeadline(ctx, p.end)
	}
	defer cancel()
	var workers sync.WaitGroup
	for _, c := range r.conns {
		if r.config.Bulk {
			workers.Go(func() { p.stream(c) })
		} else {
			workers.Go(func() { p.work(c) })
		}
	}
	workers.Wait()
	p.elapsed = time.Since(p.start)
	return p, ctx.Err()
}

// phase is one stretch of load.
type phase struct {
	*runner
	tallies []*tally        // by kind
	outer   context.Context // ends by an interruption
	ctx     context.Context // ends with the phase too
	start   time.Time
	end     time.Time
	elapsed time.Duration
	count   int64

	claimed atomic.Int64 // messages whose turn came
	begun   atomic.Int64 // those that were sent, or whose connection could not be made
}

// claim returns when the next message is to be sent: zero, at once, without a rate. It reports
// false when there is no next one in this phase.
func (p *phase) claim() (due time.Time, ok bool) {
	if p.ctx.Err() != nil {
		return due, false
	}
	number := p.claimed.Add(1) - 1
	if p.count > 0 && number >= p.count {
		return due, false
	}
	if p.config.Rate == 0 {
		return due, true
	}
	due = p.start.Add(time.Duration(float64(number) / p.config.Rate * float64(time.Second)))
	return due, p.end.IsZero() || due.Before(p.end)
}

// unsent is how many messages were due in the phase and had no connection free before its end:
// the system was offered less than the rate says.
func (p *phase) unsent() int64 {
	if p.config.Rate == 0 || p.end.IsZero() || p.outer.Err() != nil {
		return 0
	}
	due := int64(math.Ceil(p.config.Rate * p.end.Sub(p.start).Seconds()))
	if p.count > 0 {
		due = min(due, p.count)
	}
	return max(due-p.begun.Load(), 0)
}

// work sends requests over one connection, one at a time, until the phase ends.
func (p *phase) work(c *conn) {
	var r request
	for {
		due, ok := p.claim()
		if !ok {
			return
		}
		r = p.next(r.bytes[:0], c)
		// What is due just before the end is sent even if its timer is late.
		if !sleepUntil(p.ctx, due) && (p.outer.Err() != nil || time.Until(due) > 0) {
			return
		}
		t := p.tallies[r.kind]
		if err := c.dial(p.ctx, p.outer); err != nil {
			if p.ctx.Err() != nil {
				return
			}
			p.begun.Add(1)
			t.failed(reason(err))
			sleepUntil(p.ctx, time.Now().Add(redialWait))
			continue
		}
		p.begun.Add(1)
		begun := time.Now()
		if due.IsZero() {
			due = begun
		}
		a, err := c.exchange(r.bytes)
		if err != nil {
			t.lost(reason(err))
			continue
		}
		t.answered(a, moment{due, begun}, r.size)
	}
}

// sleepUntil reports whether the moment came before ctx's end.
func sleepUntil(ctx context.Context, at time.Time) bool {
	d := time.Until(at)
	if at.IsZero() || d <= 0 {
		return true
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}
