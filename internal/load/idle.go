package load

import (
	"context"
	"errors"
	"os"
	"time"
)

// IdleReport is what a federation costs that nobody uses.
type IdleReport struct {
	Seconds float64 `json:"seconds"`
	// BinaryBytes is the size of the program that measures, which is the one that runs.
	BinaryBytes int64         `json:"binary_bytes"`
	Processes   []IdleProcess `json:"processes"`
	Incomplete  []string      `json:"incomplete,omitempty"`
}

// IdleProcess is one process of it.
type IdleProcess struct {
	ID                 string   `json:"id"`
	Kind               string   `json:"kind"`
	Region             string   `json:"region,omitempty"`
	PID                int      `json:"pid"`
	Leads              []string `json:"leads,omitempty"` // groups that it leads, at the end
	CPUPercent         float64  `json:"cpu_percent"`     // of one core
	RSSMeanBytes       int64    `json:"rss_mean_bytes"`
	RSSPeakBytes       int64    `json:"rss_peak_bytes"`
	WireBytesPerSecond float64  `json:"wire_bytes_per_second"`
	WrittenPerSecond   float64  `json:"written_bytes_per_second"`
	DiskBytes          int64    `json:"disk_bytes"`
}

// Idle watches a federation for d, or until ctx ends; then the report covers what it saw, and
// the error is ctx's.
func Idle(ctx context.Context, f Federation, d time.Duration) (*IdleReport, error) {
	if f == nil || d <= 0 {
		return nil, errors.New("idle: no federation, or no time to watch it")
	}
	before, err := takeSample(ctx, f)
	if err != nil {
		return nil, err
	}
	watch := watchMemory(f)
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
	seen := watch.stop()
	sampling, cancel := context.WithTimeout(context.WithoutCancel(ctx), answerTimeout)
	defer cancel()
	after, err := takeSample(sampling, f)
	if err != nil {
		return nil, err
	}
	for i := range after.processes {
		if p := &after.processes[i]; p.err == nil && p.Kind == "node" {
			p.leads, p.err = groupsLed(sampling, &p.Process)
		}
	}
	r := idleReport(before, after, seen)
	if exe, err := os.Executable(); err == nil {
		if info, err := os.Stat(exe); err == nil {
			r.BinaryBytes = info.Size()
		}
	}
	return r, ctx.Err()
}

func idleReport(before, after *sample, seen map[string]memory) *IdleReport {
	r := &IdleReport{Seconds: after.at.Sub(before.at).Seconds()}
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
			continue
		}
		m := seen[a.ID]
		r.Processes = append(r.Processes, IdleProcess{ID: a.ID, Kind: a.Kind, Region: a.Region,
			PID: a.PID, Leads: a.leads, CPUPercent: 100 * (a.cpu - b.cpu).Seconds() / r.Seconds,
			RSSMeanBytes: m.sum / max(m.n, 1), RSSPeakBytes: max(m.peak, a.rss),
			WireBytesPerSecond: float64(a.wire-b.wire) / r.Seconds,
			WrittenPerSecond:   float64(a.written-b.written) / r.Seconds, DiskBytes: a.disk})
	}
	return r
}
