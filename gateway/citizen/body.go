package citizen

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/staffetta/staffetta/wire"
)

// faultsMax bounds a report; what is wrong beyond it shows after the first ones are mended.
const faultsMax = 32

// object is one JSON object of a request body, and the report on it. Its methods take one member
// each and note what is wrong with it, so that an answer names every fault at once. The report
// names places and expectations, never what was sent: that may be an address or a fiscal code.
type object struct {
	path    string
	members map[string]jsontext.Value
	faults  *[]string
}

// parseObject reads a body that must be one JSON object (RFC 8259, no duplicate names, valid UTF-8,
// nothing after it). Any failure is a problem of status 400.
func parseObject(body []byte) (*object, error) {
	if !shallow(body) {
		return nil, refuse(problemBody, "The body nests deeper than %d levels.", bodyDepthMax)
	}
	if !utf8.Valid(body) {
		return nil, refuse(problemBody, "The body is not UTF-8.")
	}
	d := newDecoder(body)
	value, err := d.ReadValue()
	if err == nil {
		value = value.Clone()
		if _, end := d.ReadToken(); end == nil {
			return nil, refuse(problemBody, "Something follows the JSON object of the body.")
		} else if !errors.Is(end, io.EOF) {
			err = end
		}
	}
	switch {
	case errors.Is(err, jsontext.ErrDuplicateName):
		return nil, refuse(problemBody, "An object of the body has two members of one name.")
	case err != nil:
		return nil, refuse(problemBody, "The body is not valid JSON, from byte %d on.",
			offsetOf(err, d.InputOffset()))
	case value.Kind() != '{':
		return nil, refuse(problemBody, "The body is not a JSON object.")
	}
	return &object{path: "root", members: members(value), faults: new([]string)}, nil
}

// newDecoder reads JSON that is UTF-8. Escapes of half a character are valid JSON (RFC 8259, 8.2).
func newDecoder(b []byte) *jsontext.Decoder {
	return jsontext.NewDecoder(bytes.NewReader(b), jsontext.AllowInvalidUTF8(true))
}

func offsetOf(err error, otherwise int64) int64 {
	var syntax *jsontext.SyntacticError
	if errors.As(err, &syntax) {
		return syntax.ByteOffset
	}
	return otherwise
}

// shallow reports whether brackets nest at most bodyDepthMax deep, before anything recursive
// looks at the body. What is inside strings does not count.
func shallow(body []byte) bool {
	depth, quoted := 0, false
	for i := 0; i < len(body); i++ {
		switch c := body[i]; {
		case quoted && c == '\\':
			i++
		case c == '"':
			quoted = !quoted
		case quoted:
		case c == '{' || c == '[':
			if depth++; depth > bodyDepthMax {
				return false
			}
		case c == '}' || c == ']':
			depth--
		}
	}
	return true
}

// members splits a valid object.
func members(value jsontext.Value) map[string]jsontext.Value {
	list := map[string]jsontext.Value{}
	each(value, func(name string, v jsontext.Value) { list[name] = v })
	return list
}

// each visits the members of a valid object, or the elements of a valid array, in order.
func each(value jsontext.Value, visit func(name string, v jsontext.Value)) {
	d := newDecoder(value)
	d.ReadToken() // the bracket; value is valid
	for d.PeekKind() != '}' && d.PeekKind() != ']' {
		name := ""
		if value.Kind() == '{' {
			token, err := d.ReadToken()
			if err != nil {
				return
			}
			name = token.String()
		}
		v, err := d.ReadValue()
		if err != nil {
			return
		}
		visit(name, v.Clone())
	}
}

// fault notes that a place does not hold what it should.
func (o *object) fault(name, want string) {
	if len(*o.faults) < faultsMax {
		*o.faults = append(*o.faults,
			fmt.Sprintf("value at %s.%s is not a valid [%s]", o.path, name, want))
	}
}

// err is the report, or nil when nothing is wrong.
func (o *object) err() error {
	if len(*o.faults) == 0 {
		return nil
	}
	return refuse(problemBody, "%s", strings.Join(*o.faults, "\n"))
}

// get returns a member of one of the kinds. An absent one is a fault only when required.
func (o *object) get(name, want string, required bool, kinds string) (jsontext.Value, bool) {
	v, ok := o.members[name]
	if !ok && !required {
		return nil, false
	}
	if !ok || !strings.ContainsRune(kinds, rune(v.Kind())) {
		o.fault(name, want)
		return nil, false
	}
	return v, true
}

// text returns a string member that passes the check.
func (o *object) text(name, want string, required bool, check func(string) bool) string {
	v, ok := o.get(name, want, required, `"`)
	if !ok {
		return ""
	}
	s := unquote(v)
	if !check(s) {
		o.fault(name, want)
		return ""
	}
	return s
}

// boolean returns an optional or required boolean member.
func (o *object) boolean(name string, required bool) wire.Tri {
	v, ok := o.get(name, "boolean", required, "tf")
	if !ok {
		return wire.Unset
	}
	return wire.TriOf(v.Kind() == 't')
}

// integer returns a required member that is a whole number from 0 to versionMax, however it is
// written (1, 1.0, 1e0), as the contract's own readers take it.
func (o *object) integer(name string) int64 {
	const want = "integer >= 0 and <= 9007199254740991"
	v, ok := o.get(name, want, true, "0")
	if !ok {
		return 0
	}
	f, err := strconv.ParseFloat(string(v), 64)
	if err != nil || f < 0 || f > versionMax || f != float64(int64(f)) {
		o.fault(name, want)
		return 0
	}
	return int64(f)
}

// child returns a member that is an object, to report in the same list; nil when absent.
func (o *object) child(name, want string) *object {
	v, ok := o.get(name, want, false, "{")
	if !ok {
		return nil
	}
	return &object{path: o.path + "." + name, members: members(v), faults: o.faults}
}

// strings returns an array of strings of which each passes the check; ok: it is there.
func (o *object) strings(name, want string, most int, check func(string) bool) ([]string, bool) {
	v, ok := o.get(name, want, false, "[")
	if !ok {
		return nil, false
	}
	list := []string{}
	count := 0
	each(v, func(_ string, e jsontext.Value) {
		if count++; count > most {
			return
		}
		if s := unquote(e); e.Kind() == '"' && check(s) {
			list = append(list, s)
		} else {
			o.fault(name+"."+strconv.Itoa(count-1), want)
		}
	})
	if count > most {
		o.fault(name, fmt.Sprintf("array of at most %d elements", most))
	}
	return list, true
}

// unquote returns the text of a valid JSON string, or nothing for any other value.
func unquote(v jsontext.Value) string {
	if v.Kind() != '"' {
		return ""
	}
	b, _ := jsontext.AppendUnquote(nil, v) // half a character becomes a replacement character
	return string(b)
}
