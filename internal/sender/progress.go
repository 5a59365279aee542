package sender

import (
	"fmt"
	"io"
	"strings"
	"time"
)

// progressEvery is how often the line is drawn: often enough to look alive.
const progressEvery = 200 * time.Millisecond

// barWidth is the bar's length in characters; the whole line fits 80 columns.
const barWidth = 24

// Meter draws a run's progress as one line of a terminal.
type Meter struct {
	out   io.Writer
	start time.Time
	drawn time.Time
	first Progress // where this run began to send
	last  Progress
	width int // of the line drawn, to blank it out
}

// NewMeter returns a meter that draws on out.
func NewMeter(out io.Writer) *Meter { return &Meter{out: out, start: time.Now()} }

// Update takes a run's progress; it is Config.Progress.
func (m *Meter) Update(p Progress) {
	m.last = p
	now := time.Now()
	if now.Sub(m.drawn) < progressEvery {
		return
	}
	if m.drawn.IsZero() { // results of earlier runs pass at once and say nothing of the speed
		m.first, m.start = p, now
	}
	m.drawn = now
	m.draw(now)
}

func (m *Meter) draw(now time.Time) {
	p := m.last
	var b strings.Builder
	b.WriteByte('\r')
	if p.Size > 0 {
		part := min(float64(p.Bytes)/float64(p.Size), 1)
		full := int(part * barWidth)
		fmt.Fprintf(&b, "[%s%s] %3d%%  ", strings.Repeat("#", full),
			strings.Repeat(".", barWidth-full), int(part*100))
	}
	fmt.Fprintf(&b, "%d lines", p.Lines)
	if elapsed := now.Sub(m.start).Seconds(); elapsed > 0.1 && p.Lines > m.first.Lines {
		fmt.Fprintf(&b, "  %.0f/s", float64(p.Lines-m.first.Lines)/elapsed)
		if done := p.Bytes - m.first.Bytes; p.Size > 0 && done > 0 {
			left := float64(p.Size-p.Bytes) / float64(done) * elapsed
			fmt.Fprintf(&b, "  %s left", time.Duration(left*float64(time.Second)).Round(time.Second))
		}
	}
	if p.Failed > 0 {
		fmt.Fprintf(&b, "  %d failed", p.Failed)
	}
	width := b.Len()
	if width < m.width {
		b.WriteString(strings.Repeat(" ", m.width-width))
	}
	m.width = width
	io.WriteString(m.out, b.String())
}

// Close draws the end and leaves the line.
func (m *Meter) Close() {
	if m.last.Lines == 0 {
		return
	}
	m.draw(time.Now())
	io.WriteString(m.out, "\n")
}
