package load

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"slices"
)

const (
	// halfConnections find the highest throughput, and carry half of it.
	halfConnections = 512
	// stallsMax is how many of the worst seconds are named.
	stallsMax = 5
)

// HalfReport tells how much slower messages are when a federation does half of what it can.
type HalfReport struct {
	One     *Report `json:"one"`     // one message at a time
	Highest *Report `json:"highest"` // closed loop over many connections
	Half    *Report `json:"half"`    // half of that offered at its rate
	// Ratio is p99 at half of the highest throughput, divided by p50 of one at a time.
	Ratio float64 `json:"ratio"`
	// Stalls are the worst seconds of Half, worst first.
	Stalls []Second `json:"stalls"`
}

// Half measures the latency of one message at a time, the highest throughput one message a
// request, and the latency at half of it.
func Half(ctx context.Context, c Config) (_ *HalfReport, err error) {
	r := new(HalfReport)
	c.Bulk, c.Rate, c.Count = false, 0, 0
	one := c
	one.Concurrency = 1
	if r.One, err = Run(ctx, one); err != nil {
		return nil, fmt.Errorf("one at a time: %w", err)
	}
	if c.Concurrency == 0 {
		c.Concurrency = halfConnections
	}
	if r.Highest, err = Run(ctx, c); err != nil {
		return nil, fmt.Errorf("highest throughput: %w", err)
	}
	if c.Rate = r.Highest.Throughput / 2; c.Rate == 0 {
		return nil, fmt.Errorf("no message was delivered: %v", r.Highest.Errors)
	}
	if r.Half, err = Run(ctx, c); err != nil {
		return nil, fmt.Errorf("half of the highest throughput: %w", err)
	}
	r.Ratio = ratio(r.Half.Latency.P99, r.One.Latency.P50)
	r.Stalls = r.Half.Stalls()
	return r, nil
}

// Stalls are the seconds of a run with the longest waits, worst first.
func (r *Report) Stalls() []Second {
	worst := slices.SortedFunc(slices.Values(r.Timeline), func(a, b Second) int {
		return cmp.Compare(b.Max, a.Max)
	})
	return worst[:min(len(worst), stallsMax)]
}

// Write writes the report for people.
func (r *HalfReport) Write(w io.Writer) error {
	t := newTable("load", "a second", "p50 ms", "p99 ms", "p99.9", "max")
	row := func(name string, a *Report) {
		t.row(name, a.Throughput, a.Latency.P50, a.Latency.P99, a.Latency.P999, a.Latency.Max)
	}
	row("one at a time", r.One)
	row("highest", r.Highest)
	row("half", r.Half)
	t.text("\nAt half: p99 is %.2f times the p50 of one at a time; sent up to %.2f ms late, "+
		"and from then p99 %.2f ms.\n\n", r.Ratio, r.Half.Latency.Late, r.Half.FromSending.P99)
	t.text("Half began at %s. Second by second, p50, p99 and max in ms:\n",
		r.Half.StartedAt.Format("15:04:05.000 MST"))
	for _, s := range r.Half.Timeline {
		t.text("%5d s  %6d messages  %8.2f  %8.2f  %8.2f\n", s.Second, s.Messages, s.P50, s.P99,
			s.Max)
	}
	t.text("The longest waits:\n")
	for _, s := range r.Stalls {
		t.text("%9.3f s  %.2f ms\n", s.MaxAt, s.Max)
	}
	t.doubts("one at a time", r.One)
	t.doubts("highest", r.Highest)
	t.doubts("half", r.Half)
	return t.write(w)
}
