package load

import (
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
)

// Report is the result of a run. Its JSON is an interface for other programs: fields are added,
// never renamed.
type Report struct {
	Seed        uint64  `json:"seed"`
	Concurrency int     `json:"concurrency"`
	Rate        float64 `json:"rate_per_second,omitempty"` // offered; absent in a closed loop
	MedianBytes int     `json:"median_bytes,omitempty"`
	Bulk        bool    `json:"bulk,omitempty"`
	Window      int     `json:"window,omitempty"` // of a bulk stream, in lines
	// StartedAt is when the measured phase began.
	StartedAt time.Time `json:"started_at"`
	Seconds   float64   `json:"seconds"`

	Messages   int64            `json:"messages"` // answered with a verdict
	Throughput float64          `json:"messages_per_second"`
	Verdicts   map[string]int64 `json:"verdicts"`
	Errors     map[string]int64 `json:"errors"` // by HTTP status, or why there was no answer
	// Unknown counts what was sent and not answered: it may have been delivered or not. These
	// are among the errors. Unsent counts what was due and found no connection before the end.
	Unknown   int64   `json:"unknown"`
	Unsent    int64   `json:"unsent,omitempty"`
	BodyBytes float64 `json:"body_bytes_per_message"`
	Latency   Latency `json:"latency_ms"`
	// FromSending, at a rate, is the latency without the time that a message waited for its
	// turn: much less than Latency means that the generator, or its connections, were late.
	FromSending *Latency `json:"from_sending_ms,omitempty"`
	Refused     *Refused `json:"refused,omitempty"`
	Timeline    []Second `json:"timeline,omitempty"`

	Processes []ProcessReport `json:"processes,omitempty"`
	// Federation sums the processes.
	Federation *Costs `json:"federation,omitempty"`
	// Generator is this process; its memory is that of the moment.
	Generator Costs `json:"generator"`
	// Incomplete says why costs are not whole: a process died or was started again.
	Incomplete []string `json:"incomplete,omitempty"`
}

// Latency is in milliseconds: in a closed loop from sending, at a rate from the moment that the
// message was due, to the answer. Messages without a verdict are not in it.
type Latency struct {
	Mean float64 `json:"mean"`
	P50  float64 `json:"p50"`
	P90  float64 `json:"p90"`
	P99  float64 `json:"p99"`
	P999 float64 `json:"p999"`
	Max  float64 `json:"max"`
	// Late is how much later than due a message was sent at worst: much means that there were
	// too few connections for the rate.
	Late float64 `json:"late_max,omitempty"`
}

// Refused tells of answers that took no message.
type Refused struct {
	Count int64 `json:"count"`
	// WithoutRetryAfter counts 429 and 503 that do not say when to come again.
	WithoutRetryAfter int64    `json:"without_retry_after"`
	Latency           Latency  `json:"latency_ms"`
	FromSending       *Latency `json:"from_sending_ms,omitempty"`
}

// Second is what became of the messages with a verdict that were due, or in a closed loop sent,
// in one second of a run; of the first ten minutes. Latencies are in milliseconds.
type Second struct {
	Second   int     `json:"second"` // 0 is the first
	Messages int64   `json:"messages"`
	P50      float64 `json:"p50"`
	P99      float64 `json:"p99"`
	Max      float64 `json:"max"`
	// MaxAt is when the message that waited longest was due, in seconds of the run.
	MaxAt float64 `json:"max_at"`
}

// Costs are what messages cost a process, or several.
type Costs struct {
	CPUSeconds     float64 `json:"cpu_seconds"`
	CPUPerThousand float64 `json:"cpu_seconds_per_1000_messages"`
	RSSStartBytes  int64   `json:"rss_start_bytes,omitempty"`
	RSSBytes       int64   `json:"rss_bytes"`
	RSSPeakBytes   int64   `json:"rss_peak_bytes,omitempty"`
	WireBytes      float64 `json:"wire_bytes_per_message,omitempty"`
	// DiskBytes is the growth of directories, WrittenBytes what was sent to storage; in both,
	// all replicas count.
	DiskBytes    float64 `json:"disk_bytes_per_message,omitempty"`
	WrittenBytes float64 `json:"written_bytes_per_message,omitempty"`
}

// ProcessReport is what the run cost one process.
type ProcessReport struct {
	ID     string `json:"id"`
	Kind   string `json:"kind"`
	Region string `json:"region,omitempty"`
	PID    int    `json:"pid"`
	Costs
	// RSSCourseBytes are the means of stretches of equal length, in their order.
	RSSCourseBytes []int64 `json:"rss_course_bytes,omitempty"`
}

// newReport tells what t counted in a phase, without costs.
func newReport(p *phase, t *tally) *Report {
	c := p.config
	r := &Report{Seed: c.Seed, Concurrency: c.Concurrency, Rate: c.Rate, Bulk: c.Bulk,
		MedianBytes: c.MedianBytes, StartedAt: p.start.UTC().Round(time.Millisecond),
		Seconds: p.elapsed.Seconds(), Verdicts: t.verdicts, Errors: t.errors, Unknown: t.unknown,
		Unsent: p.unsent(), Latency: latencyOf(t.latency)}
	if c.Bulk {
		r.Window = c.Window
	}
	for _, n := range t.verdicts {
		r.Messages += n
	}
	r.BodyBytes = float64(t.bodies) / float64(max(r.Messages, 1))
	r.Throughput = float64(r.Messages) / max(r.Seconds, 1e-9)
	if n := t.refused.TotalCount(); n > 0 {
		r.Refused = &Refused{Count: n, WithoutRetryAfter: t.noRetry, Latency: latencyOf(t.refused)}
	}
	if c.Rate > 0 {
		r.Latency.Late = milliseconds(t.late)
		sent, refused := latencyOf(t.latencySent), latencyOf(t.refusedSent)
		if r.FromSending = &sent; r.Refused != nil {
			r.Refused.FromSending = &refused
		}
	}
	for i, s := range t.timeline {
		l := latencyOf(s.latency)
		r.Timeline = append(r.Timeline, Second{Second: i, Messages: s.latency.TotalCount(),
			P50: l.P50, P99: l.P99, Max: milliseconds(s.worst), MaxAt: s.worstAt.Seconds()})
	}
	return r
}

// addCosts tells what the messages cost, between two samples.
func (r *Report) addCosts(before, after *sample, seen map[string]memory) {
	answered := float64(max(r.Messages, 1))
	r.Generator = costs(&processSample{usage: before.self}, &processSample{usage: after.self},
		answered)
	earlier := make(map[string]*processSample)
	for i := range before.processes {
		earlier[before.processes[i].ID] = &before.processes[i]
	}
	for i := range after.processes {
		a := &after.processes[i]
		b := earlier[a.ID]
		switch {
		case a.err != nil:
			r.Incomplete = append(r.Incomplete, a.ID+": "+a.err.Error())
			continue
		case b == nil || b.err != nil || b.started != a.started || b.PID != a.PID:
			r.Incomplete = append(r.Incomplete, a.ID+": was started meanwhile")
			b = &processSample{disk: a.disk}
		}
		p := ProcessReport{ID: a.ID, Kind: a.Kind, Region: a.Region, PID: a.PID,
			Costs: costs(b, a, answered)}
		m := seen[a.ID]
		p.RSSPeakBytes, p.RSSCourseBytes = max(m.peak, a.rss), m.course.means
		r.Processes = append(r.Processes, p)
	}
	if len(r.Processes) > 0 {
		r.Federation = new(Costs)
		for i := range r.Processes {
			r.Federation.add(&r.Processes[i].Costs)
		}
	}
}

func costs(before, after *processSample, messages float64) Costs {
	cpu := (after.cpu - before.cpu).Seconds()
	return Costs{CPUSeconds: cpu, CPUPerThousand: cpu / messages * 1000,
		RSSStartBytes: before.rss, RSSBytes: after.rss,
		WireBytes:    float64(after.wire-before.wire) / messages,
		DiskBytes:    float64(after.disk-before.disk) / messages,
		WrittenBytes: float64(after.written-before.written) / messages}
}

func (c *Costs) add(o *Costs) {
	c.CPUSeconds += o.CPUSeconds
	c.CPUPerThousand += o.CPUPerThousand
	c.RSSStartBytes += o.RSSStartBytes
	c.RSSBytes += o.RSSBytes
	c.RSSPeakBytes += o.RSSPeakBytes
	c.WireBytes += o.WireBytes
	c.DiskBytes += o.DiskBytes
	c.WrittenBytes += o.WrittenBytes
}

func latencyOf(h *hdrhistogram.Histogram) Latency {
	if h.TotalCount() == 0 {
		return Latency{}
	}
	at := func(percentile float64) float64 { return float64(h.ValueAtPercentile(percentile)) / 1000 }
	return Latency{Mean: h.Mean() / 1000, P50: at(50), P90: at(90), P99: at(99), P999: at(99.9),
		Max: float64(h.Max()) / 1000}
}

func milliseconds(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }
