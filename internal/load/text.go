package load

import (
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"text/tabwriter"
)

const mebibyte = 1 << 20

// Write writes the report for people.
func (r *Report) Write(w io.Writer) error {
	var b strings.Builder
	fmt.Fprintf(&b, "%d messages in %.1f s: %.0f a second over %d connections", r.Messages,
		r.Seconds, r.Throughput, r.Concurrency)
	if r.Bulk {
		fmt.Fprintf(&b, " of bulk, %d lines each", r.Window)
	}
	if r.Rate > 0 {
		fmt.Fprintf(&b, ", %.0f offered", r.Rate)
	}
	fmt.Fprintf(&b, "\n%.0f bytes of body a message, seed %d\n\n", r.BodyBytes, r.Seed)
	l := &r.Latency
	fmt.Fprintf(&b, "latency ms  mean %.2f  p50 %.2f  p90 %.2f  p99 %.2f  p99.9 %.2f  max %.2f\n",
		l.Mean, l.P50, l.P90, l.P99, l.P999, l.Max)
	if r.Rate > 0 {
		fmt.Fprintf(&b, "            from the moment due; sent up to %.2f ms late, and from then "+
			"p50 %.2f  p99 %.2f\n", l.Late, r.FromSending.P50, r.FromSending.P99)
	}
	b.WriteByte('\n')
	writeCounts(&b, r.Verdicts, "")
	writeCounts(&b, r.Errors, "error ")
	r.writeDoubts(&b)
	b.WriteByte('\n')
	table := tabwriter.NewWriter(&b, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprint(table, "process\tCPU s/1000\tRSS MiB\tpeak MiB\twire B\tdisk B\twritten B\t\n")
	row := func(name string, c *Costs) {
		fmt.Fprintf(table, "%s\t%.3f\t%.1f\t%.1f\t%.0f\t%.0f\t%.0f\t\n", name, c.CPUPerThousand,
			float64(c.RSSBytes)/mebibyte, float64(c.RSSPeakBytes)/mebibyte, c.WireBytes,
			c.DiskBytes, c.WrittenBytes)
	}
	for i := range r.Processes {
		row(r.Processes[i].ID, &r.Processes[i].Costs)
	}
	if r.Federation != nil {
		row("federation", r.Federation)
	}
	row("(generator)", &r.Generator)
	table.Flush()
	b.WriteString("CPU seconds for 1,000 messages; wire, disk and written bytes a message.\n")
	r.writeCourses(&b)
	for _, why := range r.Incomplete {
		fmt.Fprintf(&b, "incomplete: %s\n", why)
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// writeCourses tells how memory developed, where the run was long enough to say so.
func (r *Report) writeCourses(b *strings.Builder) {
	for i := range r.Processes {
		p := &r.Processes[i]
		if len(p.RSSCourseBytes) < 2 {
			continue
		}
		fmt.Fprintf(b, "%s RSS MiB in equal times:", p.ID)
		for _, mean := range p.RSSCourseBytes {
			fmt.Fprintf(b, " %.0f", float64(mean)/mebibyte)
		}
		b.WriteByte('\n')
	}
}

// writeDoubts tells of messages that the figures do not speak of.
func (r *Report) writeDoubts(b *strings.Builder) {
	if r.Unknown > 0 {
		fmt.Fprintf(b, "%9d  of these errors: sent, and not known whether delivered\n", r.Unknown)
	}
	if r.Unsent > 0 {
		fmt.Fprintf(b, "%9d  due and not sent before the end: no connection was free\n", r.Unsent)
	}
	if r.Refused != nil {
		l := &r.Refused.Latency
		fmt.Fprintf(b, "refusals ms  p50 %.2f  p99 %.2f  max %.2f; %d of %d without Retry-After\n",
			l.P50, l.P99, l.Max, r.Refused.WithoutRetryAfter, r.Refused.Count)
		if s := r.Refused.FromSending; s != nil {
			fmt.Fprintf(b, "            from sending: p50 %.2f  p99 %.2f  max %.2f\n", s.P50, s.P99,
				s.Max)
		}
	}
}

func writeCounts(b *strings.Builder, counts map[string]int64, prefix string) {
	for _, kind := range slices.Sorted(maps.Keys(counts)) {
		fmt.Fprintf(b, "%9d  %s%s\n", counts[kind], prefix, kind)
	}
}

// Write writes the report for people.
func (r *IdleReport) Write(w io.Writer) error {
	var b strings.Builder
	fmt.Fprintf(&b, "%d processes, idle for %.1f s; the binary has %.1f MB\n\n", len(r.Processes),
		r.Seconds, float64(r.BinaryBytes)/1e6)
	table := tabwriter.NewWriter(&b, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprint(table, "process\tCPU %\tRSS MiB\tpeak MiB\twire B/s\t leads\n")
	for i := range r.Processes {
		p := &r.Processes[i]
		fmt.Fprintf(table, "%s\t%.2f\t%.1f\t%.1f\t%.0f\t %s\n", p.ID, p.CPUPercent,
			float64(p.RSSMeanBytes)/mebibyte, float64(p.RSSPeakBytes)/mebibyte,
			p.WireBytesPerSecond, strings.Join(p.Leads, " "))
	}
	table.Flush()
	b.WriteString("CPU in percent of one core.\n")
	for _, why := range r.Incomplete {
		fmt.Fprintf(&b, "incomplete: %s\n", why)
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// table is a text of rows of numbers, and what is to be said about them.
type table struct {
	rows  strings.Builder
	tabs  *tabwriter.Writer
	after strings.Builder
}

func newTable(columns ...string) *table {
	t := new(table)
	t.tabs = tabwriter.NewWriter(&t.rows, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(t.tabs, strings.Join(columns, "\t")+"\t")
	return t
}

// row adds a row; large numbers have no decimals.
func (t *table) row(name string, numbers ...float64) {
	fmt.Fprintf(t.tabs, "%s\t", name)
	for _, n := range numbers {
		digits := 2
		if n >= 1000 {
			digits = 0
		}
		fmt.Fprintf(t.tabs, "%.*f\t", digits, n)
	}
	fmt.Fprintln(t.tabs)
}

func (t *table) text(format string, args ...any) { fmt.Fprintf(&t.after, format, args...) }

// doubts tells of the messages of some reports that the figures do not speak of.
func (t *table) doubts(name string, reports ...*Report) {
	for _, r := range reports {
		if r == nil || len(r.Errors) == 0 && r.Unsent == 0 && len(r.Incomplete) == 0 {
			continue
		}
		t.text("\n%s:\n", name)
		writeCounts(&t.after, r.Errors, "error ")
		r.writeDoubts(&t.after)
		for _, why := range r.Incomplete {
			t.text("incomplete: %s\n", why)
		}
	}
}

func (t *table) write(w io.Writer) error {
	t.tabs.Flush()
	_, err := io.WriteString(w, t.rows.String()+t.after.String())
	return err
}
