package load

import (
	"context"
	"fmt"
	"io"
	"sync"
)

// fairnessShare is how much of the highest throughput the busy institution offers beside the
// quiet one: as much as a federation should carry every day.
const fairnessShare = 0.7

// FairnessReport tells what one institution's load does to another one's latency.
type FairnessReport struct {
	// Highest is what the busy institution gets alone, one message a request.
	Highest *Report `json:"highest"`
	// Alone, BesideSingles and BesideBulk are what the quiet institution sees, which sends one
	// message at a time: first alone, then beside the other ones.
	Alone         *Report `json:"alone"`
	BesideSingles *Report `json:"beside_singles"`
	BesideBulk    *Report `json:"beside_bulk"`
	// Singles and Bulk are the busy institution's reports meanwhile.
	Singles *Report `json:"singles"`
	Bulk    *Report `json:"bulk"`
	// RatioP50 and RatioP99 are the quiet institution's latencies beside bulk, divided by those
	// beside single messages.
	RatioP50 float64 `json:"ratio_p50"`
	RatioP99 float64 `json:"ratio_p99"`
}

// Fairness has institution quiet send one message at a time: alone, while busy offers 70 % of the
// highest throughput one message a request, and while busy streams bulk as fast as it is let.
// Duration, warm-up and connections are busy's; its streams are StreamsDefault.
func Fairness(ctx context.Context, quiet, busy Config) (_ *FairnessReport, err error) {
	busy.Bulk, busy.Rate, busy.Count = false, 0, 0
	quiet.Bulk, quiet.Rate, quiet.Count = false, 0, 0
	quiet.Concurrency, quiet.Federation = 1, nil
	quiet.Duration, quiet.WarmUp = busy.Duration, busy.WarmUp
	r := new(FairnessReport)
	if r.Highest, err = Run(ctx, busy); err != nil {
		return nil, fmt.Errorf("highest throughput: %w", err)
	}
	if r.Alone, err = Run(ctx, quiet); err != nil {
		return nil, fmt.Errorf("one at a time: %w", err)
	}
	busy.Rate = fairnessShare * r.Highest.Throughput
	if busy.Rate == 0 {
		return nil, fmt.Errorf("no message of the busy institution was delivered: %v",
			r.Highest.Errors)
	}
	if r.BesideSingles, r.Singles, err = together(ctx, quiet, busy); err != nil {
		return nil, fmt.Errorf("beside single messages: %w", err)
	}
	busy.Rate, busy.Bulk, busy.Concurrency = 0, true, 0
	if r.BesideBulk, r.Bulk, err = together(ctx, quiet, busy); err != nil {
		return nil, fmt.Errorf("beside bulk: %w", err)
	}
	r.RatioP50 = ratio(r.BesideBulk.Latency.P50, r.BesideSingles.Latency.P50)
	r.RatioP99 = ratio(r.BesideBulk.Latency.P99, r.BesideSingles.Latency.P99)
	return r, nil
}

// together makes two runs at once. When one fails, the other one ends.
func together(ctx context.Context, a, b Config) (ra, rb *Report, err error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	run := func(c Config) *Report {
		r, err := Run(ctx, c)
		if err != nil {
			cancel(err)
		}
		return r
	}
	var runs sync.WaitGroup
	runs.Go(func() { ra = run(a) })
	runs.Go(func() { rb = run(b) })
	runs.Wait()
	return ra, rb, context.Cause(ctx)
}

// ratio is 0 when it cannot be told.
func ratio(a, b float64) float64 {
	if b == 0 {
		return 0
	}
	return a / b
}

// Write writes the report for people.
func (r *FairnessReport) Write(w io.Writer) error {
	t := newTable("institution that sends one at a time", "a second", "p50 ms", "p99 ms", "p99.9",
		"other one, a second")
	row := func(name string, a, other *Report) {
		t.row(name, a.Throughput, a.Latency.P50, a.Latency.P99, a.Latency.P999, other.Throughput)
	}
	row("alone", r.Alone, new(Report))
	row("beside single messages", r.BesideSingles, r.Singles)
	row("beside bulk", r.BesideBulk, r.Bulk)
	t.text("\nBeside bulk, divided by beside single messages: p50 %.2f, p99 %.2f.\n", r.RatioP50,
		r.RatioP99)
	t.text("The highest throughput of single messages, over %d connections: %.0f a second.\n",
		r.Highest.Concurrency, r.Highest.Throughput)
	t.doubts("alone", r.Alone)
	t.doubts("beside single messages", r.BesideSingles, r.Singles)
	t.doubts("beside bulk", r.BesideBulk, r.Bulk)
	return t.write(w)
}
