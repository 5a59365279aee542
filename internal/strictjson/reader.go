package strictjson

import (
	"bytes"
	"fmt"
	"io"
	"strconv"
	"unicode/utf8"

	"github.com/go-json-experiment/json/jsontext"
)

const (
	// DepthMax bounds the nesting of what is read; the deepest member that any contract here knows
	// is at 4.
	DepthMax = 64
	// keptBytesMax is the largest buffer that a Reader keeps for the next text.
	keptBytesMax = 32 << 10
)

// Rule is what a string must keep. Names are the contracts', which clients show to people.
type Rule struct {
	Name string
	// Secret: free text, or something that may be a person's: a report never repeats it.
	Secret bool
	Keeps  func(value []byte) bool
}

// Reader reads one JSON value, straight into the fields that it is asked for, and reports every
// value of a wrong form by its path. It stops at the first error of syntax.
//
// Object members are read like this, names compared without a copy:
//
//	if r.Enter("content", "object") {
//		for r.Member() {
//			switch string(r.Name) {
//			case "subject": m.Subject = r.Text("subject", &subjectRule)
//			default: r.Skip()
//			}
//		}
//		r.Leave()
//	}
type Reader struct {
	Name []byte // of the member whose value comes next; valid until it is read

	text    []byte
	in      bytes.Buffer
	json    *jsontext.Decoder
	scratch []byte // of an unquoted string; valid until the next one
	path    []string
	report  report
	err     error // of syntax
}

// NewReader returns a Reader, to be used for one text after the other.
func NewReader() Reader {
	return Reader{json: jsontext.NewDecoder(new(bytes.Buffer)), path: make([]string, 0, 8),
		report: report{most: ReaderFaultsMax}}
}

// Begin starts on a text, which is read until End. The error is a *Syntax.
func (r *Reader) Begin(text []byte) error {
	r.path, r.err = r.path[:0], nil
	r.report.reset()
	r.text = text
	if len(bytes.TrimLeft(text, " \t\r\n")) == 0 {
		return &Syntax{Flaw: Empty}
	}
	if !utf8.Valid(text) {
		return &Syntax{Flaw: Encoded}
	}
	r.in = *bytes.NewBuffer(text)
	// The text is UTF-8: what this allows is escapes of half a character, which are valid JSON
	// (RFC 8259, 8.2). A replacement character stands for each.
	r.json.Reset(&r.in, jsontext.AllowInvalidUTF8(true))
	return nil
}

// Reset forgets the text. Whatever was read keeps no reference to the Reader.
func (r *Reader) Reset() {
	if r.text == nil {
		return // nothing was begun
	}
	r.in = bytes.Buffer{}
	r.json.Reset(&r.in) // lets go of the text
	r.text, r.Name = nil, nil
	if cap(r.scratch) > keptBytesMax {
		r.scratch = nil
	}
}

// End makes sure that nothing follows the value, and returns what was wrong: a *Syntax, or Faults,
// or nothing.
func (r *Reader) End() error {
	if r.err == nil {
		if _, err := r.json.ReadToken(); err == nil {
			return &Syntax{Flaw: Trailing}
		} else if err != io.EOF {
			r.err = err
		}
	}
	if r.err != nil {
		return syntaxOf(r.err, r.json.InputOffset())
	}
	if more := r.report.count - r.report.most; more > 0 {
		fmt.Fprintf(&r.report.text, "\n%d more values are not valid", more)
	}
	return r.report.err()
}

// Raw passes over a value of any size and shape, and returns it as it is written.
func (r *Reader) Raw() jsontext.Value {
	from := r.json.InputOffset()
	if r.Skip(); r.err != nil {
		return nil
	}
	return bytes.TrimLeft(r.text[from:r.json.InputOffset()], " \t\r\n:,")
}

// Enter begins the object that is the next value; otherwise it reports a fault and skips it.
func (r *Reader) Enter(field, want string) bool {
	if r.err != nil {
		return false
	}
	if r.json.PeekKind() != '{' {
		r.wrong(field, want, true)
		return false
	}
	if _, err := r.json.ReadToken(); err != nil {
		r.err = err
		return false
	}
	r.path = append(r.path, field)
	return true
}

// Member moves to the value of the object's next member, or past the object's end.
func (r *Reader) Member() bool {
	if r.err != nil {
		return false
	}
	if r.json.PeekKind() == '}' {
		_, r.err = r.json.ReadToken()
		return false
	}
	raw, err := r.json.ReadValue()
	if err != nil {
		r.err = err
		return false
	}
	r.Name = r.unquote(raw)
	return r.err == nil
}

// Leave ends an object that was entered.
func (r *Reader) Leave() { r.path = r.path[:len(r.path)-1] }

// Missing reports a required member that did not come.
func (r *Reader) Missing(field, want string) {
	if r.err == nil {
		r.Fault(field, "undefined", want)
	}
}

// Skip passes over a value of any size and shape.
func (r *Reader) Skip() {
	if r.err != nil {
		return
	}
	outside := r.json.StackDepth()
	for {
		if _, r.err = r.json.ReadToken(); r.err != nil {
			return
		}
		switch depth := r.json.StackDepth(); {
		case depth > DepthMax:
			r.err = errDeep
			return
		case depth == outside:
			return
		}
	}
}

// unquote returns the text of a JSON string, valid until the next call.
func (r *Reader) unquote(raw []byte) []byte {
	if text := raw[1 : len(raw)-1]; bytes.IndexByte(text, '\\') < 0 {
		return text
	}
	// The decoder has read raw as a string; all that can be wrong with it is half a character.
	r.scratch, _ = jsontext.AppendUnquote(r.scratch[:0], raw)
	return r.scratch
}

// Text reads a string that keeps a rule.
func (r *Reader) Text(field string, rule *Rule) string { return string(r.Value(field, rule)) }

// Value is text, valid until the next value is read; nil when there is none that keeps the rule.
func (r *Reader) Value(field string, rule *Rule) []byte {
	if r.err != nil {
		return nil
	}
	if r.json.PeekKind() != '"' {
		r.wrong(field, rule.Name, !rule.Secret)
		return nil
	}
	raw, err := r.json.ReadValue()
	if err != nil {
		r.err = err
		return nil
	}
	value := r.unquote(raw)
	if r.err != nil {
		return nil
	}
	if !rule.Keeps(value) {
		shown := Hidden
		if !rule.Secret && showable(raw) {
			shown = string(raw)
		}
		r.Fault(field, shown, rule.Name)
		return nil
	}
	return value
}

// Bool reads true or false.
func (r *Reader) Bool(field string) bool {
	if r.err != nil {
		return false
	}
	switch r.json.PeekKind() {
	case 't', 'f':
		raw, err := r.json.ReadValue()
		r.err = err
		return err == nil && raw[0] == 't'
	}
	r.wrong(field, "boolean", true)
	return false
}

// Integer reads a whole number from min to max, in any spelling that JSON has.
func (r *Reader) Integer(field string, min, max uint64) uint64 {
	if r.err != nil {
		return 0
	}
	if r.json.PeekKind() == '0' {
		raw, err := r.json.ReadValue()
		if err != nil {
			r.err = err
			return 0
		}
		n, ok := whole(raw)
		if ok && n >= min && n <= max {
			return n
		}
		shown := string(raw)
		if !showable(raw) {
			shown = Hidden
		}
		r.Fault(field, shown, IntegerType(min, max))
		return 0
	}
	r.wrong(field, IntegerType(min, max), true)
	return 0
}

// IntegerType is the name of a whole number from min to max.
func IntegerType(min, max uint64) string { return fmt.Sprintf("integer >= %d and <= %d", min, max) }

// Null passes over a null and reports whether there was one. The contract takes null for an
// absent value where there is a default, and nowhere else.
func (r *Reader) Null() bool {
	if r.err != nil || r.json.PeekKind() != 'n' {
		return false
	}
	_, r.err = r.json.ReadValue()
	return r.err == nil
}

// wrong reports a value that is not even of the right kind, and skips it.
func (r *Reader) wrong(field, want string, show bool) {
	switch r.json.PeekKind() {
	case '{':
		r.Fault(field, "{...}", want)
		r.Skip()
		return
	case '[':
		r.Fault(field, "[...]", want)
		r.Skip()
		return
	}
	raw, err := r.json.ReadValue()
	if err != nil {
		r.err = err
		return
	}
	shown := Hidden
	if raw[0] == 'n' || show && showable(raw) {
		shown = string(raw)
	}
	r.Fault(field, shown, want)
}

// Fault reports that a value is not what it should be, by the name that the report gives it.
func (r *Reader) Fault(field, shown, want string) { r.report.add(shown, r.path, field, want) }

// whole reads a JSON number as the contracts' clients mean it: an IEEE double that is an integer
// and not negative.
func whole(raw []byte) (uint64, bool) {
	if len(raw) <= 15 && digits(raw) {
		n, err := strconv.ParseUint(string(raw), 10, 64)
		return n, err == nil
	}
	f, err := strconv.ParseFloat(string(raw), 64)
	if err != nil || f < 0 || f > 1<<53 || f != float64(uint64(f)) {
		return 0, false
	}
	return uint64(f), true
}

func digits(b []byte) bool {
	for _, c := range b {
		if c < '0' || c > '9' {
			return false
		}
	}
	return true
}
