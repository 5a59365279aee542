package strictjson

import (
	"bytes"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/go-json-experiment/json/jsontext"
)

// Object is one JSON object, and the report on it. Its methods take one member each and note what
// is wrong with it, so that an answer names every fault at once.
type Object struct {
	path    []string
	members map[string]jsontext.Value
	report  *report
}

// ErrNotObject says that a text is JSON, and no object.
var ErrNotObject = errors.New("is not a JSON object")

// ReadObject reads a text that must be one JSON object, which the Object refers to. The error is a
// *Syntax, or ErrNotObject.
func ReadObject(text []byte) (*Object, error) {
	r := NewReader()
	if err := r.Begin(text); err != nil {
		return nil, err
	}
	o := &Object{path: []string{"root"}, report: &report{most: ObjectFaultsMax}}
	if r.json.PeekKind() == '{' {
		o.members = map[string]jsontext.Value{}
		for r.Enter("root", "object"); r.Member(); {
			name := string(r.Name)
			o.members[name] = r.Raw()
		}
	} else {
		r.Skip()
	}
	if err := r.End(); err != nil {
		return nil, err
	}
	if o.members == nil {
		return nil, ErrNotObject
	}
	return o, nil
}

// Each visits the members of a valid object, or the elements of a valid array, in order.
func Each(value jsontext.Value, visit func(name string, v jsontext.Value)) {
	d := jsontext.NewDecoder(bytes.NewReader(value), jsontext.AllowInvalidUTF8(true))
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

// Len is the number of members.
func (o *Object) Len() int { return len(o.members) }

// Fault notes that a place does not hold what it should.
func (o *Object) Fault(name, want string) { o.report.add("", o.path, name, want) }

// Err is the report, Faults, or nil when nothing is wrong.
func (o *Object) Err() error { return o.report.err() }

// Get returns a member of one of the kinds. An absent one is a fault only when required.
func (o *Object) Get(name, want string, required bool, kinds string) (jsontext.Value, bool) {
	v, ok := o.members[name]
	if !ok && !required {
		return nil, false
	}
	if !ok || !strings.ContainsRune(kinds, rune(v.Kind())) {
		o.Fault(name, want)
		return nil, false
	}
	return v, true
}

// Text returns a string member that passes the check.
func (o *Object) Text(name, want string, required bool, check func(string) bool) string {
	v, ok := o.Get(name, want, required, `"`)
	if !ok {
		return ""
	}
	s := Unquote(v)
	if !check(s) {
		o.Fault(name, want)
		return ""
	}
	return s
}

// Bool returns a boolean member, and whether it is there.
func (o *Object) Bool(name string, required bool) (value, given bool) {
	v, ok := o.Get(name, "boolean", required, "tf")
	return ok && v.Kind() == 't', ok
}

// Integer returns a required member that is a whole number from 0 to max, however it is written
// (1, 1.0, 1e0).
func (o *Object) Integer(name string, max uint64) uint64 {
	want := IntegerType(0, max)
	v, ok := o.Get(name, want, true, "0")
	if !ok {
		return 0
	}
	n, ok := whole(v)
	if !ok || n > max {
		o.Fault(name, want)
		return 0
	}
	return n
}

// Child returns a member that is an object, to report in the same list; nil when absent.
func (o *Object) Child(name, want string) *Object {
	v, ok := o.Get(name, want, false, "{")
	if !ok {
		return nil
	}
	members := map[string]jsontext.Value{}
	Each(v, func(name string, v jsontext.Value) { members[name] = v })
	return &Object{path: append(o.path[:len(o.path):len(o.path)], name), members: members,
		report: o.report}
}

// Strings returns an array of strings of which each passes the check; ok: it is there.
func (o *Object) Strings(name, want string, most int, check func(string) bool) ([]string, bool) {
	v, ok := o.Get(name, want, false, "[")
	if !ok {
		return nil, false
	}
	list := []string{}
	count := 0
	Each(v, func(_ string, e jsontext.Value) {
		if count++; count > most {
			return
		}
		if s := Unquote(e); e.Kind() == '"' && check(s) {
			list = append(list, s)
		} else {
			o.Fault(name+"."+strconv.Itoa(count-1), want)
		}
	})
	if count > most {
		o.Fault(name, fmt.Sprintf("array of at most %d elements", most))
	}
	return list, true
}

// Unquote returns the text of a valid JSON string, or nothing for any other value.
func Unquote(v jsontext.Value) string {
	if v.Kind() != '"' {
		return ""
	}
	b, _ := jsontext.AppendUnquote(nil, v) // half a character becomes a replacement character
	return string(b)
}
