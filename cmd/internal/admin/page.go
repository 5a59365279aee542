package admin

import (
	"fmt"
	"io"
	"os"
	"strings"
	"text/tabwriter"

	"golang.org/x/sys/unix"
)

// report is what a command has to say: a value for JSON, that writes itself as text, too.
type report interface{ text(*page) }

// page is text under way: lines, and tables of rows that follow one another.
type page struct {
	done  strings.Builder
	table *tabwriter.Writer // of the rows that were written last; nil: a line was
}

// printf writes text, which ends a table.
func (p *page) printf(format string, args ...any) { fmt.Fprintf(p, format, args...) }

// Write is printf for who needs a writer. It does not fail.
func (p *page) Write(b []byte) (int, error) {
	p.end()
	return p.done.Write(b)
}

// row writes one row of a table.
func (p *page) row(cells ...any) {
	if p.table == nil {
		p.table = tabwriter.NewWriter(&p.done, 0, 8, 2, ' ', 0)
	}
	for i, c := range cells {
		if i > 0 {
			fmt.Fprint(p.table, "\t")
		}
		fmt.Fprint(p.table, c)
	}
	fmt.Fprintln(p.table)
}

func (p *page) end() {
	if p.table != nil {
		p.table.Flush() // memory does not fail
		p.table = nil
	}
}

// String is what was written.
func (p *page) String() string {
	p.end()
	return p.done.String()
}

// textOf is a report as text.
func textOf(r report) string {
	var p page
	r.text(&p)
	return p.String()
}

// either is one of two words.
func either(first bool, a, b string) string {
	if first {
		return a
	}
	return b
}

// terminal is how wide the terminal is that out is; 0: it is none.
func terminal(out io.Writer) (columns int) {
	f, ok := out.(*os.File)
	if !ok {
		return 0
	}
	size, err := unix.IoctlGetWinsize(int(f.Fd()), unix.TIOCGWINSZ)
	if err != nil {
		return 0
	}
	return max(int(size.Col), 1)
}
