package main

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
)

// counts is what one operation of a benchmark costs the collector.
type counts struct {
	allocs, bytes int64
}

// row is a benchmark of the baseline.
type row struct {
	pkg       string // below the module
	benchmark string // its whole name without "Benchmark", parts between slashes
	runs      int    // how often it is run
	counts
	slack int64 // how many allocations more are no news
	loose bool  // bytes are not compared
}

func (r row) name() string { return r.pkg + " " + r.benchmark }

// The words of judge. A figure that fell is no failure; it is news, for the baseline.
const (
	same = ""
	less = "less: -update"
	more = "MORE"
)

// judge compares what is measured now with the baseline.
func (r row) judge(now counts) string {
	slack := int64(bytesSlack * float64(r.bytes))
	switch {
	case now.allocs > r.allocs+r.slack, !r.loose && now.bytes > r.bytes+slack:
		return more
	case now.allocs < r.allocs-r.slack, !r.loose && now.bytes < r.bytes-slack:
		return less
	}
	return same
}

// baseline is the file: comments and rows, in their order.
type baseline struct {
	lines []line
}

// line is a row, or else text.
type line struct {
	text string
	row  *row
}

const (
	rowFormat = "%-20s %-36s %7d %8d %6d %9s\n"
	looseWord = "-"
)

// parse reads a baseline: lines of package, benchmark, runs, allocs/op, slack and B/op, which is
// looseWord where bytes are not compared; a line that begins with # is a comment.
func parse(text string) (*baseline, error) {
	var b baseline
	var errs []error
	seen := map[string]bool{}
	for i, s := range strings.Split(strings.TrimSuffix(text, "\n"), "\n") {
		if s == "" || s[0] == '#' {
			b.lines = append(b.lines, line{text: s})
			continue
		}
		var r row
		var bytes string
		_, err := fmt.Sscanf(s+"\n", "%s %s %d %d %d %s\n", &r.pkg, &r.benchmark, &r.runs,
			&r.allocs, &r.slack, &bytes)
		if r.loose = bytes == looseWord; err == nil && !r.loose {
			r.bytes, err = strconv.ParseInt(bytes, 10, 64)
		}
		switch {
		case err != nil:
			err = fmt.Errorf("%s:%d: not package, benchmark and four numbers", baselineFile, i+1)
		case r.runs <= 0 || r.allocs < 0 || r.slack < 0 || r.bytes < 0:
			err = fmt.Errorf("%s:%d: a number is negative, or no runs", baselineFile, i+1)
		case seen[r.name()]:
			err = fmt.Errorf("%s:%d: %s twice", baselineFile, i+1, r.name())
		}
		errs = append(errs, err)
		seen[r.name()] = true
		b.lines = append(b.lines, line{row: &r})
	}
	if len(seen) == 0 {
		errs = append(errs, fmt.Errorf("%s: no benchmark", baselineFile))
	}
	return &b, errors.Join(errs...)
}

func (b *baseline) rows() (all []row) {
	for _, l := range b.lines {
		if l.row != nil {
			all = append(all, *l.row)
		}
	}
	return all
}

// with is the file's text with new figures.
func (b *baseline) with(now map[string]counts) string {
	var s strings.Builder
	for _, l := range b.lines {
		if l.row == nil {
			s.WriteString(l.text + "\n")
			continue
		}
		r := *l.row
		r.counts = now[r.name()]
		bytes := strconv.FormatInt(r.bytes, 10)
		if r.loose {
			bytes = looseWord
		}
		fmt.Fprintf(&s, rowFormat, r.pkg, r.benchmark, r.runs, r.allocs, r.slack, bytes)
	}
	return s.String()
}
