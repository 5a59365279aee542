package main

import (
	"fmt"
	"io"
	"strings"

	"github.com/staffetta/staffetta/bench/system"
)

// row is one row of the table of measures: of each system's step, a cell.
type row struct {
	name string
	of   func(s *systemReport) *stepReport
	cell func(v *value) string
}

// rows are what the table shows at these concurrencies.
func rows(concurrency []int) []row {
	throughput := func(v *value) string { return number(v.Throughput) }
	var all []row
	for _, n := range concurrency {
		of := func(s *systemReport) *stepReport { return s.single(system.Single, n) }
		all = append(all, row{fmt.Sprintf("messages/s, %d in flight", n), of, throughput},
			row{"— p50, p99 ms", of, func(v *value) string {
				return number(v.P50) + ", " + number(v.P99)
			}})
	}
	middle := system.KeyedConcurrency(concurrency)
	keyed := func(s *systemReport) *stepReport { return s.single(system.Keyed, middle) }
	best := func(s *systemReport) *stepReport { return s.best() }
	all = append(all, row{fmt.Sprintf("messages/s with keys, %d in flight", middle), keyed,
		throughput}, row{"messages/s, best batched mode", best, throughput})
	for _, of := range []struct {
		name string
		step func(*systemReport) *stepReport
	}{
		{fmt.Sprintf("%d in flight", middle), func(s *systemReport) *stepReport {
			return s.single(system.Single, middle)
		}},
		{"best batched mode", best},
	} {
		all = append(all, row{"server CPU s/1,000, " + of.name, of.step,
			func(v *value) string { return number(v.ServerCPU) }},
			row{"client CPU s/1,000, " + of.name, of.step,
				func(v *value) string { return number(v.ClientCPU) }},
			row{"bytes to the disk a message, " + of.name, of.step,
				func(v *value) string { return optional(v.Device) + unsettled(v) }},
			row{"log fsyncs a message, " + of.name, of.step,
				func(v *value) string { return optional(v.LogSyncs) }})
	}
	return all
}

func unsettled(v *value) string {
	if v.Settled {
		return ""
	}
	return " and more"
}

func optional(x *float64) string {
	if x == nil {
		return "not counted"
	}
	return number(*x)
}

// number shows three digits, or all of a larger whole.
func number(x float64) string {
	switch {
	case x >= 100:
		return fmt.Sprintf("%.0f", x)
	case x >= 10:
		return fmt.Sprintf("%.1f", x)
	case x >= 1:
		return fmt.Sprintf("%.2f", x)
	}
	return fmt.Sprintf("%.3g", x)
}

// ratio compares Staffetta with a peer by medians. Above 1 Staffetta is better, whether more or
// less of the measure is.
type ratio struct {
	Measure   string  `json:"measure"`
	Peer      string  `json:"peer"`
	Staffetta float64 `json:"staffetta"`
	Other     float64 `json:"other"`
	Better    float64 `json:"times_better"`
}

// ratios are those of which both sides were measured.
func (r *report) ratios() []ratio {
	ours := r.find("staffetta")
	var all []ratio
	var fastest *stepReport // batched, of all peers
	var fastestPeer string
	middle := system.KeyedConcurrency(r.Settings.Concurrency)
	for _, peer := range r.Systems {
		if peer.Name == "staffetta" {
			continue
		}
		add := func(measure string, a, b *stepReport, less bool, of func(*value) float64) {
			if a != nil && b != nil {
				all = append(all, newRatio(measure, peer.Name, of(&a.Median), of(&b.Median), less))
			}
		}
		for _, n := range r.Settings.Concurrency {
			a, b := ours.single(system.Single, n), peer.single(system.Single, n)
			add(fmt.Sprintf("messages/s, %d in flight", n), a, b, false,
				func(v *value) float64 { return v.Throughput })
			if n == 1 {
				add("p50, 1 in flight", a, b, true, func(v *value) float64 { return v.P50 })
			}
		}
		a, b := ours.single(system.Single, middle), peer.single(system.Single, middle)
		add(fmt.Sprintf("server CPU, %d in flight", middle), a, b, true,
			func(v *value) float64 { return v.ServerCPU })
		if a != nil && b != nil && a.Median.Device != nil && b.Median.Device != nil {
			add(fmt.Sprintf("bytes to the disk, %d in flight", middle), a, b, true,
				func(v *value) float64 { return *v.Device })
		}
		best := peer.best()
		if best != nil && (fastest == nil ||
			best.Median.Throughput > fastest.Median.Throughput) {
			fastest, fastestPeer = best, peer.Name
		}
	}
	if bulk := ours.best(); bulk != nil && fastest != nil {
		add := func(measure string, less bool, of func(*value) float64) {
			all = append(all, newRatio(measure, fastestPeer+" ("+fastest.Name+")",
				of(&bulk.Median), of(&fastest.Median), less))
		}
		add("messages/s, best batched mode", false,
			func(v *value) float64 { return v.Throughput })
		add("server CPU, best batched mode", true,
			func(v *value) float64 { return v.ServerCPU })
		if bulk.Median.Device != nil && fastest.Median.Device != nil {
			add("bytes to the disk, best batched mode", true,
				func(v *value) float64 { return *v.Device })
		}
	}
	return all
}

func newRatio(measure, peer string, ours, other float64, less bool) ratio {
	r := ratio{Measure: measure, Peer: peer, Staffetta: ours, Other: other}
	switch {
	case less && ours > 0:
		r.Better = other / ours
	case !less && other > 0:
		r.Better = ours / other
	}
	return r
}

// writeTables writes the report for people, as Markdown.
func (r *report) writeTables(w io.Writer) error {
	var b strings.Builder
	var present []*systemReport
	for _, name := range system.Names() {
		if s := r.find(name); s != nil {
			present = append(present, s)
		}
	}
	fmt.Fprintf(&b, "Medians of %d rounds of %v a step; %d CPUs, Linux %s.\n\n",
		r.Settings.Rounds, r.Settings.Duration, r.Host.CPUs, r.Host.Kernel)
	b.WriteString("| measure |")
	for _, s := range present {
		b.WriteString(" " + s.Name + " |")
	}
	b.WriteString("\n|---|" + strings.Repeat("---|", len(present)) + "\n")
	for _, row := range rows(r.Settings.Concurrency) {
		b.WriteString("| " + row.name + " |")
		for _, s := range present {
			cell := "—"
			if step := row.of(s); step != nil {
				cell = row.cell(&step.Median)
			}
			b.WriteString(" " + cell + " |")
		}
		b.WriteByte('\n')
	}
	b.WriteString("| batched mode that is best |")
	for _, s := range present {
		cell := "—"
		if step := s.best(); step != nil {
			cell = step.Name
		}
		b.WriteString(" " + cell + " |")
	}
	b.WriteString("\n\n| Staffetta against | measure | Staffetta | peer | times better |\n" +
		"|---|---|---|---|---|\n")
	for _, x := range r.ratios() {
		fmt.Fprintf(&b, "| %s | %s | %s | %s | %.2f |\n", x.Peer, x.Measure,
			number(x.Staffetta), number(x.Other), x.Better)
	}
	b.WriteByte('\n')
	for _, s := range r.Skipped {
		fmt.Fprintf(&b, "SKIPPED: %s\n", s)
	}
	for _, f := range r.Failures {
		fmt.Fprintf(&b, "FAILED: %s\n", f)
	}
	_, err := io.WriteString(w, b.String())
	return err
}
