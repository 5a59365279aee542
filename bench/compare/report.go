package main

import (
	"encoding/json"
	"fmt"
	"os"
	"slices"
	"time"

	"github.com/staffetta/staffetta/bench/measure"
	"github.com/staffetta/staffetta/bench/system"
)

// report is the result of a run. Its JSON is an interface for other programs.
type report struct {
	Started  time.Time       `json:"started"`
	Settings *settings       `json:"settings"`
	Host     host            `json:"host"`
	Systems  []*systemReport `json:"systems"`
	Ratios   []ratio         `json:"ratios"`
	Skipped  []string        `json:"skipped,omitempty"`
	Failures []string        `json:"failures,omitempty"`
}

// systemReport is one system's.
type systemReport struct {
	Name string `json:"name"`
	// Facts are what the system says of its fsyncs and its quorum.
	Facts map[string]string `json:"facts"`
	// TracedSyncs are the fsyncs of each replica for 200 messages sent one at a time.
	TracedSyncs []int64       `json:"traced_syncs,omitempty"`
	Steps       []*stepReport `json:"steps"`
}

// stepReport is one step of a system, in all rounds.
type stepReport struct {
	system.Step
	Values []value `json:"values"`
	Median value   `json:"median"` // of each field alone
}

// value is what one round of a step gave.
type value struct {
	Round      int     `json:"round,omitempty"`
	Messages   int64   `json:"messages,omitempty"`
	Throughput float64 `json:"messages_per_second"`
	// Latency of requests: in batched modes, of whole batches.
	P50 float64 `json:"p50_ms"`
	P99 float64 `json:"p99_ms"`
	// Processor time for 1,000 messages, of the servers and of the client.
	ServerCPU float64 `json:"server_cpu_seconds_per_1000"`
	ClientCPU float64 `json:"client_cpu_seconds_per_1000"`
	BodyBytes float64 `json:"body_bytes_per_message"`
	// Device is what reached the disk, the file system's journal included, and whatever else
	// was written meanwhile. Dirty are the pages that the servers made dirty. Both are counted
	// until the servers came to rest.
	Device *float64 `json:"device_bytes_per_message,omitempty"`
	Dirty  float64  `json:"dirty_bytes_per_message"`
	// LogSyncs are the fsyncs of all replicas' logs per message, where the system counts them.
	LogSyncs *float64 `json:"log_syncs_per_message,omitempty"`
	// Settled says that the writes came to rest within the bound.
	Settled bool `json:"settled"`
}

// newValue is what a step achieved and what it cost, up to its last acknowledgement.
func newValue(t *measure.Tally, before, after sample) *value {
	n := float64(t.Messages)
	v := &value{Messages: t.Messages, Throughput: n / t.Elapsed.Seconds(),
		P50: 1000 * t.P50.Seconds(), P99: 1000 * t.P99.Seconds(),
		ServerCPU: after.servers.Sub(before.servers).CPU.Seconds() * 1000 / n,
		ClientCPU: (after.own - before.own).Seconds() * 1000 / n,
		BodyBytes: float64(t.BodyBytes) / n}
	if before.syncs != nil && after.syncs != nil {
		syncs := float64(*after.syncs-*before.syncs) / n
		v.LogSyncs = &syncs
	}
	return v
}

// written adds what was written: from before the step until the servers came to rest.
func (v *value) written(before, settled measure.Usage, diskBefore, diskSettled *int64) {
	n := float64(v.Messages)
	v.Dirty = float64(settled.Sub(before).Written) / n
	if diskBefore != nil && diskSettled != nil {
		device := float64(*diskSettled-*diskBefore) / n
		v.Device = &device
	}
}

// system is the report of a system, made when it is not there.
func (r *report) system(name string) *systemReport {
	for _, s := range r.Systems {
		if s.Name == name {
			return s
		}
	}
	s := &systemReport{Name: name}
	r.Systems = append(r.Systems, s)
	return s
}

// find is the report of a system, nil when there is none.
func (r *report) find(name string) *systemReport {
	for _, s := range r.Systems {
		if s.Name == name {
			return s
		}
	}
	return nil
}

func (r *report) add(name string, step system.Step, v value) {
	s := r.system(name)
	for _, known := range s.Steps {
		if known.Step == step {
			known.Values = append(known.Values, v)
			known.Median = medians(known.Values)
			return
		}
	}
	s.Steps = append(s.Steps, &stepReport{Step: step, Values: []value{v},
		Median: medians([]value{v})})
}

// median is the middle value, or the mean of the two in the middle.
func median(values []float64) float64 {
	sorted := slices.Sorted(slices.Values(values))
	half := len(sorted) / 2
	if len(sorted)%2 == 1 {
		return sorted[half]
	}
	return (sorted[half-1] + sorted[half]) / 2
}

// medians is the median of every field. A field that not every value has is left out.
func medians(values []value) value {
	of := func(field func(*value) float64) float64 {
		list := make([]float64, len(values))
		for i := range values {
			list[i] = field(&values[i])
		}
		return median(list)
	}
	optional := func(field func(*value) *float64) *float64 {
		for i := range values {
			if field(&values[i]) == nil {
				return nil
			}
		}
		m := of(func(v *value) float64 { return *field(v) })
		return &m
	}
	return value{
		Throughput: of(func(v *value) float64 { return v.Throughput }),
		P50:        of(func(v *value) float64 { return v.P50 }),
		P99:        of(func(v *value) float64 { return v.P99 }),
		ServerCPU:  of(func(v *value) float64 { return v.ServerCPU }),
		ClientCPU:  of(func(v *value) float64 { return v.ClientCPU }),
		BodyBytes:  of(func(v *value) float64 { return v.BodyBytes }),
		Dirty:      of(func(v *value) float64 { return v.Dirty }),
		Device:     optional(func(v *value) *float64 { return v.Device }),
		LogSyncs:   optional(func(v *value) *float64 { return v.LogSyncs }),
		Settled:    !slices.ContainsFunc(values, func(v value) bool { return !v.Settled }),
	}
}

// single is the step of one mode that has one message a request, nil when there is none.
func (s *systemReport) single(mode system.Mode, workers int) *stepReport {
	if s == nil {
		return nil
	}
	for _, step := range s.Steps {
		if step.Mode == mode && step.Workers == workers {
			return step
		}
	}
	return nil
}

// best is the batched step with the highest median throughput, nil when there is none.
func (s *systemReport) best() *stepReport {
	var best *stepReport
	if s == nil {
		return nil
	}
	for _, step := range s.Steps {
		if step.Mode == system.Batched &&
			(best == nil || step.Median.Throughput > best.Median.Throughput) {
			best = step
		}
	}
	return best
}

// save writes the report as JSON; an empty path does nothing.
func (r *report) save(path string) error {
	r.Ratios = r.ratios()
	if path == "" {
		return nil
	}
	b, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		return fmt.Errorf("--json: %w", err)
	}
	return os.WriteFile(path, append(b, '\n'), 0o600)
}
