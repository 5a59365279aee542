package institution

import (
	"bytes"

	"github.com/staffetta/staffetta/internal/fiscalcode"
)

const (
	// faultsMax bounds the lines of a report. What comes after is only counted.
	faultsMax = 20
	// shownBytesMax bounds a value that a report repeats.
	shownBytesMax = 100
)

// wrong reports a value that is not even of the right kind, and skips it.
func (d *decoder) wrong(field, want string, show bool) {
	switch d.json.PeekKind() {
	case '{':
		d.fault(field, "{...}", want)
		d.skip()
		return
	case '[':
		d.fault(field, "[...]", want)
		d.skip()
		return
	}
	raw, err := d.json.ReadValue()
	if err != nil {
		d.err = err
		return
	}
	shown := hidden
	if raw[0] == 'n' || show && showable(raw) {
		shown = string(raw)
	}
	d.fault(field, shown, want)
}

// fault adds a line to the report.
func (d *decoder) fault(field, shown, want string) {
	if d.faults++; d.faults > faultsMax {
		return
	}
	if d.faults > 1 {
		d.report.WriteByte('\n')
	}
	d.report.WriteString("value " + shown + " at ")
	for _, p := range d.path {
		d.report.WriteString(p + ".")
	}
	d.report.WriteString(field + " is not a valid [" + want + "]")
}

// hidden stands for a value that a report does not repeat.
const hidden = `"..."`

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
