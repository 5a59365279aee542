package strictjson

import (
	"errors"
	"fmt"
	"strings"
	"testing"
)

const active = "EEEEEE00A00E000E"

func TestWhole(t *testing.T) {
	for in, want := range map[string]uint64{"0": 0, "1": 1, "9999999999": 9999999999, "1e3": 1000,
		"3600.0": 3600, "36.5E2": 3650, "9007199254740992": 1 << 53, "0.1e1": 1} {
		if got, ok := whole([]byte(in)); !ok || got != want {
			t.Errorf("%s: %d %v, want %d", in, got, ok, want)
		}
	}
	for _, in := range []string{"-1", "-1e3", "0.5", "1e-1", "1e400", "9007199254740993e3", "3600.5"} {
		if got, ok := whole([]byte(in)); ok {
			t.Errorf("%s is no whole number, got %d", in, got)
		}
	}
}

func TestShowable(t *testing.T) {
	for raw, want := range map[string]bool{
		`"2026-01-01"`: true, `123`: true, `"` + active + `"`: false,
		`"x` + strings.ToLower(active) + `x"`: false, `"a\u0041"`: false,
		`"` + strings.Repeat("x", 99) + `"`: false, `"` + strings.Repeat("x", 98) + `"`: true,
	} {
		if got := showable([]byte(raw)); got != want {
			t.Errorf("%s: %v, want %v", raw, got, want)
		}
	}
}

// read reads {"a":{"b":…}} with either of the two, and returns what is wrong.
func read(text string) (reader, object error) {
	r := NewReader()
	if reader = r.Begin([]byte(text)); reader == nil {
		if r.Enter("root", "object") {
			for r.Member() {
				r.Skip()
			}
			r.Leave()
		}
		reader = r.End()
	}
	_, object = ReadObject([]byte(text))
	return reader, object
}

// TestSyntax: the two ways refuse the same texts, for the same reason, at the same place.
func TestSyntax(t *testing.T) {
	for text, want := range map[string]Syntax{
		"":                                    {Empty, 0},
		" \n\t":                               {Empty, 0},
		"{\"a\":\"\xff\"}":                    {Encoded, 0},
		`{} {}`:                               {Trailing, 0},
		`[1] 2`:                               {Trailing, 0},
		`{"a":1`:                              {Cut, 6},
		`{"a":{"b":1`:                         {Cut, 11},
		`{"a":1,}`:                            {Invalid, 6},
		`{} x`:                                {Invalid, 3},
		`{1:2}`:                               {Invalid, 1},
		`{"a":01}`:                            {Invalid, 6},
		`{"a":1,"\u0061":2}`:                  {Duplicate, 7},
		`{"x":{"a":1,"a":2}}`:                 {Duplicate, 12},
		`{"a":` + strings.Repeat("[", 10_000): {Deep, 69},
	} {
		reader, object := read(text)
		for way, err := range map[string]error{"reader": reader, "object": object} {
			var got *Syntax
			if !errors.As(err, &got) || *got != want {
				t.Errorf("%.40q, %s: got %v, want %v", text, way, err, &want)
			}
		}
	}
	nested := strings.Repeat(`{"a":`, DepthMax-1) + "{}" + strings.Repeat("}", DepthMax-1)
	for _, text := range []string{"{}", ` { "a" : [ 1 , "\ud83d" ] , "b" : null } `, nested} {
		if reader, object := read(text); reader != nil || object != nil {
			t.Errorf("%.40q: %v, %v", text, reader, object)
		}
	}
	if _, err := ReadObject([]byte("[1]")); !errors.Is(err, ErrNotObject) {
		t.Errorf("an array: %v", err)
	}
}

// TestReport: a line for each fault, within a bound, wherever it is.
func TestReport(t *testing.T) {
	r := NewReader()
	r.Begin([]byte(`{"n":-1,"s":"` + active + `","o":[1],"b":null,"q":"x"}`))
	never := func([]byte) bool { return false }
	r.Enter("root", "object")
	for r.Member() {
		switch name := string(r.Name); name {
		case "n":
			r.Integer(name, 0, 9)
		case "s":
			r.Text(name, &Rule{"rule", false, never})
		case "o":
			r.Enter(name, "object")
		case "b":
			r.Bool(name)
		case "q":
			r.Text(name, &Rule{"rule", true, never})
		}
	}
	r.Missing("m", "thing")
	r.Leave()
	want := `value -1 at root.n is not a valid [integer >= 0 and <= 9]
value "..." at root.s is not a valid [rule]
value [...] at root.o is not a valid [object]
value null at root.b is not a valid [boolean]
value "..." at root.q is not a valid [rule]
value undefined at root.m is not a valid [thing]`
	if got := fmt.Sprint(r.End()); got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	r.Begin([]byte(`{}`))
	for range ReaderFaultsMax + 3 {
		r.Fault("x", "1", "y")
	}
	r.Skip()
	got := fmt.Sprint(r.End())
	if n := strings.Count(got, "\n"); n != ReaderFaultsMax ||
		!strings.HasSuffix(got, "\n3 more values are not valid") {
		t.Errorf("%d lines: %s", n+1, got)
	}
	if o, _ := ReadObject([]byte(`{"n":9.0}`)); o.Integer("n", 9) != 9 || o.Err() != nil {
		t.Errorf("9.0 is 9, within 9: %v", o.Err())
	}
	o, err := ReadObject([]byte(`{"n":1.5,"m":10,"s":"x","l":["a",1,"a"],"o":{"i":7}}`))
	if err != nil {
		t.Fatal(err)
	}
	no := func(string) bool { return false }
	o.Integer("n", 9)
	o.Integer("m", 9)
	o.Text("s", "rule", false, no)
	o.Text("absent", "rule", true, no)
	o.Strings("l", "a", 2, func(s string) bool { return s == "a" })
	o.Child("o", "object").Bool("i", true)
	want = `value at root.n is not a valid [integer >= 0 and <= 9]
value at root.m is not a valid [integer >= 0 and <= 9]
value at root.s is not a valid [rule]
value at root.absent is not a valid [rule]
value at root.l.1 is not a valid [a]
value at root.l is not a valid [array of at most 2 elements]
value at root.o.i is not a valid [boolean]`
	if got := fmt.Sprint(o.Err()); got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	for range ObjectFaultsMax {
		o.Fault("x", "y")
	}
	if n := strings.Count(fmt.Sprint(o.Err()), "\n"); n != ObjectFaultsMax-1 {
		t.Errorf("%d lines", n+1)
	}
}

// TestReset: a Reader is used again, and keeps nothing large.
func TestReset(t *testing.T) {
	r := NewReader()
	r.scratch = make([]byte, keptBytesMax+1)
	for _, text := range []string{`{"x":[[[`, `{"a":"\u0061"}`, `{}`} {
		err := r.Begin([]byte(text))
		r.Skip()
		if got := r.End(); err != nil || (got != nil) != (text[1] == '"' && text[2] == 'x') {
			t.Errorf("%s: %v, %v", text, err, got)
		}
		r.Reset()
		if r.text != nil || r.Name != nil || r.in.Len() != 0 || r.scratch != nil {
			t.Errorf("%s: something is kept", text)
		}
	}
}

// FuzzWays: what one of the two refuses, the other does, and for the same.
func FuzzWays(f *testing.F) {
	for _, seed := range []string{`{"a":[1,{"b":null}],"c":"\ud83d"}`, `{"a":1,"a":2}`, `[{}`, "\xff",
		`{"a":1} x`, strings.Repeat("[", 65)} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		reader, object := read(text)
		var a, b *Syntax
		errors.As(reader, &a)
		errors.As(object, &b)
		if (a == nil) != (b == nil) || a != nil && *a != *b {
			t.Errorf("%q: the reader says %v, the object %v", text, reader, object)
		}
	})
}
