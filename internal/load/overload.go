package load

import (
	"context"
	"fmt"
	"io"
)

const (
	// overloadTimes is how many times the capacity is offered.
	overloadTimes = 3
	// overloadConnections is enough for a gateway that takes 200 ms for what it accepts at a
	// capacity of 5,000 a second.
	overloadConnections = 1024
)

// OverloadReport tells what becomes of a federation that is offered three times what it can.
type OverloadReport struct {
	// Capacity is in messages a second: as the gateway is configured, or, for bulk, as Best has
	// it, with a third of the streams.
	Capacity float64 `json:"capacity_per_second"`
	Best     *Report `json:"best,omitempty"`
	// Goodput is the messages a second that had a verdict, Ratio that part of the capacity.
	Goodput float64 `json:"goodput_per_second"`
	Ratio   float64 `json:"ratio"`
	Load    *Report `json:"load"`
}

// Overload offers three times the capacity at that rate, one message a request. For bulk it finds
// the capacity with the configured streams first, and then offers three times as many.
func Overload(ctx context.Context, c Config, capacity float64) (_ *OverloadReport, err error) {
	r := &OverloadReport{Capacity: capacity}
	c.Rate, c.Count = 0, 0
	if c.Bulk {
		if r.Best, err = Run(ctx, c); err != nil {
			return nil, fmt.Errorf("best throughput: %w", err)
		}
		r.Capacity, c.Concurrency = r.Best.Throughput, overloadTimes*r.Best.Concurrency
	} else {
		if !(capacity >= 1 && capacity <= RateMax/overloadTimes) {
			return nil, fmt.Errorf("capacity: %v messages a second, want 1-%d", capacity,
				RateMax/overloadTimes)
		}
		c.Rate = overloadTimes * capacity
		if c.Concurrency == 0 {
			c.Concurrency = overloadConnections
		}
	}
	if r.Load, err = Run(ctx, c); err != nil {
		return nil, err
	}
	r.Goodput = r.Load.Throughput
	r.Ratio = ratio(r.Goodput, r.Capacity)
	return r, nil
}

// Write writes the report for people.
func (r *OverloadReport) Write(w io.Writer) error {
	l, t := r.Load, newTable("process", "RSS MiB: start", "peak", "end")
	for i := range l.Processes {
		p := &l.Processes[i]
		t.row(p.ID, float64(p.RSSStartBytes)/mebibyte, float64(p.RSSPeakBytes)/mebibyte,
			float64(p.RSSBytes)/mebibyte)
	}
	t.text("\n%.0f messages a second of a capacity of %.0f: %.2f\n", r.Goodput, r.Capacity, r.Ratio)
	if l.Rate > 0 {
		t.text("%.0f a second offered, over %d connections\n", l.Rate, l.Concurrency)
	} else {
		t.text("%d bulk streams; the capacity is that of %d\n", l.Concurrency, r.Best.Concurrency)
	}
	t.text("accepted ms  p50 %.2f  p99 %.2f  max %.2f\n", l.Latency.P50, l.Latency.P99,
		l.Latency.Max)
	if l.FromSending != nil {
		t.text("             from sending: p50 %.2f  p99 %.2f; sent up to %.2f ms late\n",
			l.FromSending.P50, l.FromSending.P99, l.Latency.Late)
	}
	t.doubts("load", l)
	return t.write(w)
}
