package load

import (
	"context"
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
	r := &runner{config: &config, corpus: newCorpus(&config)}
	for i := range config.Concurrency {
		c, err := newConn(config.Gateways[i%len(config.Gateways)], config.Dial)
		if err != nil {
			return nil, err
		}
		defer c.close()
		r.conns = append(r.conns, c)
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
	start := time.Now()
	t, interrupted := r.phase(ctx, config.Duration, config.Count)
	elapsed := time.Since(start)
	peaks := watch.stop()
	// What it cost is asked for even after an interruption, within a bound.
	sampling, cancel := context.WithTimeout(context.WithoutCancel(ctx), answerTimeout)
	defer cancel()
	after, err := takeSample(sampling, config.Federation)
	if err != nil {
		return nil, err
	}
	return newReport(&config, t, elapsed, before, after, peaks), interrupted
}

// runner offers load over its connections.
type runner struct {
	config *Config
	corpus *corpus
	conns  []*conn
}

// phase offers load for a time, or a number of messages when count is not zero. It returns
// after the last answer, with ctx's error when that ended it.
func (r *runner) phase(ctx context.Context, d time.Duration, count int64) (*tally, error) {
	p := &phase{runner: r, outer: ctx, start: time.Now(), count: count}
	cancel := func() {}
	if p.ctx = ctx; d > 0 {
		p.end = p.start.Add(d)
		p.ctx, cancel = context.WithDeadline(ctx, p.end)
	}
	defer cancel()
	tallies := make([]*tally, len(r.conns))
	var workers sync.WaitGroup
	for i, c := range r.conns {
		tallies[i] = newTally()
		workers.Go(func() { p.work(c, tallies[i]) })
	}
	workers.Wait()
	total := newTally()
	for _, t := range tallies {
		total.merge(t)
	}
	return total, ctx.Err()
}

// phase is one stretch of load.
type phase struct {
	*runner
	outer context.Context // ends by an interruption
	ctx   context.Context // ends with the phase too
	start time.Time
	end   time.Time
	count int64

	next atomic.Int64 // messages begun
}

// work sends messages over one connection until the phase ends.
func (p *phase) work(c *conn, t *tally) {
	var request []byte
	for p.ctx.Err() == nil {
		number := p.next.Add(1) - 1
		if p.count > 0 && number >= p.count {
			return
		}
		due, ok := p.due(number)
		if !ok {
			return
		}
		var size int
		request, size = p.corpus.next(append(request[:0], c.line...))
		if !p.sleepUntil(due) {
			return
		}
		if err := c.dial(p.ctx, p.outer); err != nil {
			if p.ctx.Err() != nil {
				return
			}
			t.failed(reason(err))
			p.sleepUntil(time.Now().Add(redialWait))
			continue
		}
		begun := time.Now()
		if due.IsZero() {
			due = begun
		}
		t.late = max(t.late, begun.Sub(due))
		status, body, err := c.post(request)
		if err != nil {
			t.failed(reason(err))
			continue
		}
		t.bodies += int64(size)
		t.answered(status, body, time.Since(due))
	}
}

// due is when message number is to be sent: zero, at once, without a rate.
func (p *phase) due(number int64) (time.Time, bool) {
	if p.config.Rate == 0 {
		return time.Time{}, true
	}
	at := p.start.Add(time.Duration(float64(number) / p.config.Rate * float64(time.Second)))
	return at, p.end.IsZero() || at.Before(p.end)
}

// sleepUntil reports whether the moment came before the phase's end.
func (p *phase) sleepUntil(at time.Time) bool {
	d := time.Until(at)
	if at.IsZero() || d <= 0 {
		return true
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-p.ctx.Done():
		return false
	}
}
