package strictjson

import (
	"bytes"
	"strings"

	"github.com/staffetta/staffetta/internal/fiscalcode"
)

const (
	// ReaderFaultsMax bounds the lines of a Reader's report. What comes after is only counted.
	ReaderFaultsMax = 20
	// ObjectFaultsMax bounds those of an Object's. What is wrong beyond it shows after the first
	// ones are mended.
	ObjectFaultsMax = 32
	// shownBytesMax bounds a value that a report repeats.
	shownBytesMax = 100
)

// Hidden stands for a value that a report does not repeat.
const Hidden = `"..."`

// Faults is a report on values, a line for each that is wrong.
type Faults string

// Error is the report.
func (f Faults) Error() string { return string(f) }

// report gathers faults.
type report struct {
	most  int // lines
	text  strings.Builder
	count int
}

func (r *report) reset() {
	r.text.Reset()
	r.count = 0
}

// add appends a line: where path and field are, there is no want, but shown, or something.
func (r *report) add(shown string, path []string, field, want string) {
	if r.count++; r.count > r.most {
		return
	}
	if r.count > 1 {
		r.text.WriteByte('\n')
	}
	r.text.WriteString("value ")
	if shown != "" {
		r.text.WriteString(shown + " ")
	}
	r.text.WriteString("at ")
	for _, p := range path {
		r.text.WriteString(p + ".")
	}
	r.text.WriteString(field + " is not a valid [" + want + "]")
}

// err is the report, or nil when nothing is wrong.
func (r *report) err() error {
	if r.count == 0 {
		return nil
	}
	return Faults(r.text.String())
}

// showable reports whether a scalar may be repeated: short, written without escapes, and nowhere
// in it sixteen characters that could be a fiscal code, in either case.
func showable(raw []byte) bool {
	if len(raw) > shownBytesMax || bytes.IndexByte(raw, '\\') >= 0 {
		return false
	}
	for i := 0; i+fiscalcode.Size <= len(raw); i++ {
		if _, err := fiscalcode.ParseLogin(string(raw[i : i+fiscalcode.Size])); err == nil {
			return false
		}
	}
	return true
}
