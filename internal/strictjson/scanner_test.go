package strictjson

import (
	"bytes"
	"math/rand/v2"
	"strings"
	"testing"
)

// sample is an object of every shape that a Scanner has.
type sample struct {
	text, other string
	value       string
	n           uint64
	b           bool
}

var anyRule = Rule{Name: "string without x", Keeps: func(b []byte) bool {
	return !bytes.ContainsRune(b, 'x')
}}

func scan(s *Scanner, text []byte) (m sample, ok bool) {
	s.Begin(text)
	var seen Seen
	for s.Enter(); s.Member(); {
		switch string(s.Name) {
		case "text":
			s.Once(&seen, 0)
			s.Text(&m.text, &anyRule)
		case "value":
			s.Once(&seen, 1)
			m.value = string(s.Value())
		case "n":
			s.Once(&seen, 2)
			m.n = s.Integer(0, 999999999999999)
		case "b":
			s.Once(&seen, 3)
			m.b = s.Bool()
		case "o":
			s.Once(&seen, 31)
			scanInner(s, &m)
		default:
			s.GiveUp()
		}
	}
	s.Need(seen, 0)
	return m, s.End()
}

func scanInner(s *Scanner, m *sample) {
	var seen Seen
	for s.Enter(); s.Member(); {
		if string(s.Name) != "text" {
			s.GiveUp()
		}
		s.Once(&seen, 0)
		s.Text(&m.other, &anyRule)
	}
}

func strict(r *Reader, text []byte) (m sample, err error) {
	if err := r.Begin(text); err != nil {
		return m, err
	}
	given := false
	if r.Enter("root", "object") {
		for r.Member() {
			switch string(r.Name) {
			case "text":
				m.text, given = r.Text("text", &anyRule), true
			case "value":
				m.value = r.Text("value", &Rule{Keeps: func([]byte) bool { return true }})
			case "n":
				m.n = r.Integer("n", 0, 999999999999999)
			case "b":
				m.b = r.Bool("b")
			case "o":
				strictInner(r, &m)
			default:
				r.Skip()
			}
		}
		if !given {
			r.Missing("text", "string")
		}
		r.Leave()
	}
	return m, r.End()
}

func strictInner(r *Reader, m *sample) {
	if !r.Enter("o", "object") {
		return
	}
	for r.Member() {
		if string(r.Name) == "text" {
			m.other = r.Text("text", &anyRule)
		} else {
			r.Skip()
		}
	}
	r.Leave()
}

func TestScanner(t *testing.T) {
	var s Scanner
	long := strings.Repeat("abcdefg", 1000)
	for text, want := range map[string]sample{
		`{"text":""}`: {},
		` { "b" : true , "n" : 0 , "text" : "\u0000\n" , "o" : { } } `: {text: "\x00\n", b: true},
		`{"o":{"text":"b"},"value":"\ud83d\ude00\u00E8\/","n":999999999999999,"b":false,"text":"` +
			long + `"}`: {text: long, other: "b", value: "😀è/", n: 999999999999999},
	} {
		if got, ok := scan(&s, []byte(text)); !ok || got != want {
			t.Errorf("%s: got %+v %v, want %+v", text, got, ok, want)
		}
	}
	for _, text := range []string{"", " ", "{}", "[]", "null", `{"text":""} {}`, `{"text":"",}`,
		`{,"text":""}`, `{"text":"" "b":true}`, `{"text":"","text":""}`,
		`{"text":"","o":{"text":"","text":""}}`,
		`{"text":"","n":00}`, `{"text":"","n":1000000000000000}`, `{"text":"","n":-0}`,
		`{"text":"","n":1e0}`, `{"text":"","n":1.0}`, `{"text":"","n":}`, `{"text":"","b":truex}`,
		`{"text":"","b":"true"}`, `{"text":null}`, `{"t\u0065xt":""}`, `{"text":"\ud800"}`,
		`{"text":"\udc00\ud800"}`, `{"text":"\u12g4"}`, `{"text":"\`, `{"text":"\u12`, `{"text":"`,
		"{\"text\":\"\n\"}", "{\"text\":\"\xff\"}", "{\"text\":\"\"}\x00", "{\"text\":\"x\"}",
		"\ufeff{\"text\":\"\"}", "{\u00a0\"text\":\"\"}", `{'text':""}`, `{"text":"","":1}`} {
		if got, ok := scan(&s, []byte(text)); ok {
			t.Errorf("%s: taken as %+v", text, got)
		}
	}
}

// What a Scanner takes, a Reader takes, with the same values; and it is not by chance that one that
// is used again reads the same.
func checkScanner(t *testing.T, s *Scanner, r *Reader, text []byte) bool {
	t.Helper()
	got, ok := scan(s, text)
	if !ok {
		return false
	}
	if want, err := strict(r, text); err != nil || got != want {
		t.Fatalf("%q: got %+v, a Reader has %+v, %v", text, got, want, err)
	}
	return true
}

var scannerSeeds = []string{
	`{"text":"aè😀\n\u00e8\ud83d\ude00","value":"v","n":12,"b":true,"o":{"text":""}}`,
	` {"o" : {} ,"b": false,"n":0, "text":"abcdefghijklmnopqrstuvwxyz"} `}

func TestScannerAgrees(t *testing.T) {
	rng := rand.New(rand.NewPCG(17, 5))
	bytesOf := []byte("\"\"\"\\\\{}[],,::  \n\t\r\v\x00\x1f\x7f\x80\xc3\xff0123456789-+.eEuUdDxbtfn/")
	var s Scanner
	r := NewReader()
	took := 0
	for range 40_000 {
		text := []byte(scannerSeeds[rng.IntN(2)])
		for range 1 + rng.IntN(3) {
			at := rng.IntN(len(text))
			switch c := bytesOf[rng.IntN(len(bytesOf))]; rng.IntN(3) {
			case 0:
				text[at] = c
			case 1:
				text = append(text[:at], append([]byte{c}, text[at:]...)...)
			case 2:
				text = append(text[:at], text[at+1:]...)
			}
		}
		if checkScanner(t, &s, &r, text) {
			took++
		}
	}
	if took < 1000 {
		t.Errorf("%d texts were taken: too few to judge by", took)
	}
}

func FuzzScanner(f *testing.F) {
	for _, seed := range scannerSeeds {
		f.Add([]byte(seed))
	}
	var s Scanner
	r := NewReader()
	f.Fuzz(func(t *testing.T, text []byte) { checkScanner(t, &s, &r, text) })
}

// A string ends at the first byte that ends one, wherever in a word it stands and whatever comes
// after it.
func TestScannerStopsAtEveryByte(t *testing.T) {
	rng := rand.New(rand.NewPCG(17, 6))
	var s Scanner
	r := NewReader()
	for c := range 256 {
		for at := range 20 {
			text := append([]byte(`{"text":"`), bytes.Repeat([]byte{"a!#[]\x7f"[rng.IntN(6)]}, at)...)
			text = append(text, byte(c))
			for range rng.IntN(12) {
				text = append(text, byte(rng.Uint32()))
			}
			checkScanner(t, &s, &r, text)
			took := checkScanner(t, &s, &r, append(text[:9+at+1:9+at+1], `"}`...))
			if want := c >= ' ' && c != '"' && c != '\\' && c != 'x' && c < 0x80; took != want {
				t.Fatalf("%q: taken %v, want %v", text, took, want)
			}
		}
	}
}

// A text that is larger than what is kept is left to the Reader, and Reset lets go of all.
func TestScannerIsBounded(t *testing.T) {
	var s Scanner
	text := `{"text":"` + strings.Repeat("a", keptBytesMax-len(`{"text":""}`)) + `"}`
	if _, ok := scan(&s, []byte(text)); !ok || cap(s.kept) > 2*keptBytesMax {
		t.Fatalf("taken %v, with %d bytes", ok, cap(s.kept))
	}
	s.Reset()
	if s.text != nil || s.Name != nil || s.spans[:1][0].to != nil {
		t.Error("something is left")
	}
	if _, ok := scan(&s, []byte(text+" ")); ok {
		t.Error("took a text of one byte more")
	}
}
