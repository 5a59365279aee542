package institution

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"
	"unicode/utf8"

	"github.com/go-json-experiment/json/jsontext"
)

const (
	// depthMax bounds the nesting of what is skipped; the deepest known member is at 4.
	depthMax = 64
	// keptBytesMax is the largest buffer that a decoder keeps for the next message. Nine of ten
	// messages are below 4 KiB.
	keptBytesMax = 32 << 10
)

// decoder reads one JSON value from body, straight into the fields it is asked for, and reports
// every value of a wrong form by its path. It stops at the first error of syntax.
//
// Object members are read like this, names compared without a copy:
//
//	if d.enter("content", "object") {
//		for d.member() {
//			switch string(d.name) {
//			case "subject": m.Subject = d.text("subject", &subjectRule)
//			default: d.skip()
//			}
//		}
//		d.leave()
//	}
type decoder struct {
	body    []byte
	line    bool // body is a line of a bulk request
	message newMessage

	in      bytes.Buffer
	json    *jsontext.Decoder
	name    []byte // of the member whose value comes next; valid until it is read
	scratch []byte // of an unquoted string; valid until the next one
	path    []string
	report  strings.Builder
	faults  int
	err     error // of syntax
	// keyFault says what is wrong with the idempotency key.
	keyFault string
}

func newDecoder() *decoder {
	return &decoder{json: jsontext.NewDecoder(new(bytes.Buffer)), path: make([]string, 0, 8)}
}

// reset forgets the message. Whatever was decoded keeps no reference to the decoder.
func (d *decoder) reset() {
	d.in = bytes.Buffer{}
	d.json.Reset(&d.in) // lets go of the body
	d.message = newMessage{}
	if cap(d.body) > keptBytesMax {
		d.body = nil
	}
	if cap(d.scratch) > keptBytesMax {
		d.scratch = nil
	}
	d.name = nil
}

// begin starts on the body.
func (d *decoder) begin() error {
	d.path, d.faults, d.err, d.keyFault = d.path[:0], 0, nil, ""
	d.report.Reset()
	body := bytes.TrimPrefix(d.body, []byte("\xef\xbb\xbf")) // some clients send the mark
	if len(bytes.TrimLeft(body, " \t\r\n")) == 0 {
		return malformedJSON.With(d.subject() + " is empty.")
	}
	if !utf8.Valid(body) {
		return malformedJSON.With(d.subject() + " is not UTF-8.")
	}
	d.in = *bytes.NewBuffer(body)
	// The body is UTF-8: what this allows is escapes of half a character, which are valid JSON
	// (RFC 8259, 8.2) and taken by the contract. A replacement character stands for each.
	d.json.Reset(&d.in, jsontext.AllowInvalidUTF8(true))
	return nil
}

// subject is what a problem of the whole body is about.
func (d *decoder) subject() string {
	if d.line {
		return "The line"
	}
	return "The request body"
}

var errDepth = errors.New("nested too deep")

// end makes sure that nothing follows the value, and returns what was wrong: an error of syntax,
// or the report of faults, or nothing.
func (d *decoder) end() error {
	if d.err == nil {
		if _, err := d.json.ReadToken(); err == nil {
			return malformedJSON.With(d.subject() + " goes on after its JSON value.")
		} else if err != io.EOF {
			d.err = err
		}
	}
	if d.err != nil {
		return malformedJSON.With(d.syntax())
	}
	if d.keyFault != "" {
		return invalidIdempotencyKey.With(d.keyFault)
	}
	if d.faults > faultsMax {
		fmt.Fprintf(&d.report, "\n%d more values are not valid", d.faults-faultsMax)
	}
	if d.faults > 0 {
		return invalidMessage.With(d.report.String())
	}
	return nil
}

// syntax tells d.err without repeating anything of the body.
func (d *decoder) syntax() string {
	at := d.json.InputOffset()
	var syntactic *jsontext.SyntacticError
	if errors.As(d.err, &syntactic) {
		at = syntactic.ByteOffset
	}
	what := "is not valid JSON"
	switch {
	case errors.Is(d.err, errDepth):
		what = fmt.Sprintf("is nested deeper than %d levels", depthMax)
	case errors.Is(d.err, jsontext.ErrDuplicateName):
		what = "has two members of the same name in one object"
	case errors.Is(d.err, io.ErrUnexpectedEOF):
		what = "ends within its JSON value"
	}
	return fmt.Sprintf("%s %s, at byte %d.", d.subject(), what, at)
}

// enter begins the object that is the next value; otherwise it reports a fault and skips it.
func (d *decoder) enter(field, want string) bool {
	if d.err != nil {
		return false
	}
	if d.json.PeekKind() != '{' {
		d.wrong(field, want, true)
		return false
	}
	if _, err := d.json.ReadToken(); err != nil {
		d.err = err
		return false
	}
	d.path = append(d.path, field)
	return true
}

// member moves to the value of the object's next member, or past the object's end.
func (d *decoder) member() bool {
	if d.err != nil {
		return false
	}
	if d.json.PeekKind() == '}' {
		_, d.err = d.json.ReadToken()
		return false
	}
	raw, err := d.json.ReadValue()
	if err != nil {
		d.err = err
		return false
	}
	d.name = d.unquote(raw)
	return d.err == nil
}

// leave ends an object that was entered.
func (d *decoder) leave() { d.path = d.path[:len(d.path)-1] }

// missing reports a required member that did not come.
func (d *decoder) missing(field, want string) {
	if d.err == nil {
		d.fault(field, "undefined", want)
	}
}

// skip passes over a value of any size and shape.
func (d *decoder) skip() {
	if d.err != nil {
		return
	}
	outside := d.json.StackDepth()
	for {
		if _, d.err = d.json.ReadToken(); d.err != nil {
			return
		}
		switch depth := d.json.StackDepth(); {
		case depth > depthMax:
			d.err = errDepth
			return
		case depth == outside:
			return
		}
	}
}

// unquote returns the text of a JSON string, valid until the next call.
func (d *decoder) unquote(raw []byte) []byte {
	if text := raw[1 : len(raw)-1]; bytes.IndexByte(text, '\\') < 0 {
		return text
	}
	// The decoder has read raw as a string; all that can be wrong with it is half a character.
	d.scratch, _ = jsontext.AppendUnquote(d.scratch[:0], raw)
	return d.scratch
}

// text reads a string that keeps a rule.
func (d *decoder) text(field string, rule *rule) string { return string(d.value(field, rule)) }

// value is text, valid until the next value is read; nil when there is none that keeps the rule.
func (d *decoder) value(field string, rule *rule) []byte {
	if d.err != nil {
		return nil
	}
	if d.json.PeekKind() != '"' {
		d.wrong(field, rule.name, !rule.secret)
		return nil
	}
	raw, err := d.json.ReadValue()
	if err != nil {
		d.err = err
		return nil
	}
	value := d.unquote(raw)
	if d.err != nil {
		return nil
	}
	if !rule.keeps(value) {
		shown := hidden
		if !rule.secret && showable(raw) {
			shown = string(raw)
		}
		d.fault(field, shown, rule.name)
		return nil
	}
	return value
}

// boolean reads true or false.
func (d *decoder) boolean(field string) bool {
	if d.err != nil {
		return false
	}
	switch d.json.PeekKind() {
	case 't', 'f':
		raw, err := d.json.ReadValue()
		d.err = err
		return err == nil && raw[0] == 't'
	}
	d.wrong(field, "boolean", true)
	return false
}

// integer reads a whole number from min to max, in any spelling that JSON has.
func (d *decoder) integer(field string, min, max uint64) uint64 {
	if d.err != nil {
		return 0
	}
	if d.json.PeekKind() == '0' {
		raw, err := d.json.ReadValue()
		if err != nil {
			d.err = err
			return 0
		}
		n, ok := whole(raw)
		if ok && n >= min && n <= max {
			return n
		}
		shown := string(raw)
		if !showable(raw) {
			shown = hidden
		}
		d.fault(field, shown, integerType(min, max))
		return 0
	}
	d.wrong(field, integerType(min, max), true)
	return 0
}

func integerType(min, max uint64) string { return fmt.Sprintf("integer >= %d and <= %d", min, max) }

// null passes over a null and reports whether there was one. The contract takes null for an
// absent value where there is a default, and nowhere else.
func (d *decoder) null() bool {
	if d.err != nil || d.json.PeekKind() != 'n' {
		return false
	}
	_, d.err = d.json.ReadValue()
	return d.err == nil
}
