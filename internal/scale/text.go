package scale

import (
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
)

const (
	mebibyte = 1 << 20
	gigabyte = 1e9
)

// Write writes the report for people.
func (r *RegionReport) Write(w io.Writer) error {
	var b strings.Builder
	fmt.Fprintf(&b, "A region of %d citizens and %d messages (scale %v), %v %% of the messages "+
		"with an idempotency key\n\n", r.Full.Citizens, r.Full.Messages, r.Scale, r.KeyedPercent)
	t := newTable(&b)
	fmt.Fprint(t, "state\tkind\tin it\tapplied/s\tsustained/s\tCPU µs\twritten B\tlog B\t"+
		"disk GB\tpeak MiB\t\n")
	writeSteps(t, "reference", r.Reference.Steps)
	writeSteps(t, "full", r.Full.Steps)
	t.Flush()
	b.WriteString("Sustained: until nothing is left to compact; CPU and written bytes, of a " +
		"citizen or message,\ncover that too. The peak is this process's, with what makes the " +
		"entries.\n\n")
	t = newTable(&b)
	fmt.Fprint(t, "state\tflush ms\twritten B\tcopy ms\twritten B\tto send B\t\n")
	for _, p := range r.parts() {
		if s := p.Snapshot; s != nil {
			fmt.Fprintf(t, "%s\t%.1f\t%d\t%.1f\t%d\t%d\t\n", p.name, s.FlushMillis, s.FlushBytes,
				s.CheckpointMillis, s.CheckpointBytes, s.StreamBytes)
		}
	}
	t.Flush()
	b.WriteByte('\n')
	t = newTable(&b)
	fmt.Fprint(t, "cold start\topen ms\tfirst read ms\tfrom storage B\treplayed\treplay ms\t"+
		"RSS MiB\t\n")
	for _, p := range r.parts() {
		if c := p.Cold; c != nil {
			fmt.Fprintf(t, "%s\t%.1f\t%.1f\t%d\t%d\t%.0f\t%.1f\t\n", p.name, c.OpenMillis,
				c.ReadMillis, c.StorageBytes, c.ReplayEntries, c.ReplayMillis,
				float64(c.RSSBytes)/mebibyte)
		}
	}
	t.Flush()
	writeForgotten(&b, r.Full.Cold)
	if p := r.Reads; p != nil {
		fmt.Fprintf(&b, "\n%.0f reads a second beside %.0f messages a second (%.0f offered)\n",
			p.Offered, p.Writes, p.WritesOffered)
		t = newTable(&b)
		fmt.Fprint(t, "ms\tcount\tp50\tp99\tmax\t\n")
		writeLatency(t, "list, from when due", &p.List)
		writeLatency(t, "list, the call", &p.ListCall)
		writeLatency(t, "message, from when due", &p.Read)
		writeLatency(t, "message, the call", &p.ReadCall)
		t.Flush()
	}
	if r.Complete {
		fmt.Fprintf(&b, "\nfull against reference: applied %.2f, sustained %.2f, CPU %.2f (more is "+
			"better), time of a flush %.2f\n%.0f bytes on disk a message, %.0f a citizen; peak of "+
			"memory %.0f MiB\n", r.RateRatio, r.SustainedRatio, r.CPURatio, r.SnapshotRatio,
			r.BytesPerMessage, r.BytesPerCitizen, float64(r.RSSPeakBytes)/mebibyte)
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// namedPart is a part with its name.
type namedPart struct {
	*Part
	name string
}

func (r *RegionReport) parts() []namedPart {
	return []namedPart{{&r.Reference, "reference"}, {&r.Full, "full"}}
}

// Write writes the report for people.
func (r *DirectoryReport) Write(w io.Writer) error {
	var b strings.Builder
	fmt.Fprintf(&b, "A directory of %d codes (scale %v)\n\n", r.Entries, r.Scale)
	t := newTable(&b)
	fmt.Fprint(t, "state\tkind\tin it\tapplied/s\tsustained/s\tCPU µs\twritten B\tlog B\t"+
		"disk GB\tpeak MiB\t\n")
	writeSteps(t, "federation", r.Steps)
	t.Flush()
	b.WriteString("A code is claimed, owned and set active. Sustained: until nothing is left " +
		"to compact.\n")
	if c := r.Cold; c != nil && c.LookUps != nil {
		fmt.Fprintf(&b, "\nopened in %.1f ms, first batch after %.1f ms, %d bytes from storage\n",
			c.OpenMillis, c.ReadMillis, c.StorageBytes)
		writeForgotten(&b, c)
		fmt.Fprintf(&b, "\nbatches of %d look-ups, the files in memory as far as they fit\n",
			c.LookUps.Batch)
		t = newTable(&b)
		fmt.Fprint(t, "ms\tcount\tp50\tp99\tmax\t\n")
		writeLatency(t, "known codes", &c.LookUps.Known)
		writeLatency(t, "a quarter unknown", &c.LookUps.Unknown)
		t.Flush()
		fmt.Fprintf(&b, "%.0f µs of processor time a batch of known ones\n", c.LookUps.CPUMicros)
	}
	if r.Complete {
		fmt.Fprintf(&b, "\n%.2f GB on disk, %.1f bytes a code; look-ups took %.1f MiB of memory\n"+
			"last step against first: applied %.2f, sustained %.2f, CPU %.2f (more is better)\n",
			float64(r.DiskBytes)/gigabyte, r.BytesPerEntry, float64(r.MemoryBytes)/mebibyte,
			r.RateRatio, r.SustainedRatio, r.CPURatio)
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// Write writes the report for people.
func (r *CatchUpReport) Write(w io.Writer) error {
	_, err := fmt.Fprintf(w, `%s was away for %.1f s and missed %d entries
ready %.1f s after its start, caught up after %.1f s: %.2f of the outage

messages a second  full load %.0f, with a follower away %.0f
at half the load   %.0f offered, %.0f alone, %.0f while it caught up: %.2f
99 %% of answers    %.1f ms alone, %.1f ms while it caught up; %d errors
its directory      %.2f GB
`, r.Node, r.OutageSeconds, r.MissedEntries, r.ReadySeconds, r.CatchUpSeconds, r.CatchUpRatio,
		r.Full, r.Outage, r.Offered, r.Alone, r.During, r.ThroughputRatio, r.AloneP99, r.DuringP99,
		r.Errors, float64(r.StateBytes)/gigabyte)
	for _, s := range r.Stalls {
		if err == nil {
			_, err = fmt.Fprintf(w, "longest wait       %.1f ms, %.1f s after its start\n", s.Max,
				s.MaxAt)
		}
	}
	return err
}

func newTable(w io.Writer) *tabwriter.Writer {
	return tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
}

// levelsMax is how many steps of a kind are shown; the report for machines has all.
const levelsMax = 7

// writeSteps shows steps of each kind: the first, the last, and some spread between them.
func writeSteps(w io.Writer, state string, steps []*Step) {
	for begin := 0; begin < len(steps); {
		end := begin
		for end < len(steps) && steps[end].Kind == steps[begin].Kind {
			end++
		}
		n := end - begin
		shown := min(n, levelsMax)
		for i := range shown {
			at := begin
			if shown > 1 {
				at += i * (n - 1) / (shown - 1)
			}
			s := steps[at]
			fmt.Fprintf(w, "%s\t%s\t%d\t%.0f\t%.0f\t%.1f\t%.0f\t%.0f\t%.2f\t%.0f\t\n", state, s.Kind,
				s.Total, s.Rate(), s.Sustained(), s.CPUMicros, s.WrittenBytes, s.LogBytes,
				float64(s.DiskBytes)/gigabyte, float64(s.RSSPeakBytes)/mebibyte)
		}
		begin = end
	}
}

func writeLatency(w io.Writer, name string, l *Latency) {
	fmt.Fprintf(w, "%s\t%d\t%.3f\t%.3f\t%.3f\t\n", name, l.Count, l.P50, l.P99, l.Max)
}

func writeForgotten(b *strings.Builder, c *Cold) {
	if c != nil && !c.Forgotten {
		b.WriteString("The files could not be taken out of the system's memory before.\n")
	}
}
