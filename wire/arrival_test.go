package wire

import (
	"math/rand/v2"
	"strings"
	"testing"
)

// TestArrivalIsNoMessageID: the text of a place in the order of arrivals is read back in either case,
// has the form that the contract gives to message ids, and is none.
func TestArrivalIsNoMessageID(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for i := range 1000 {
		a := Arrival{Stand: r.Uint32(), Index: r.Uint64N(1 << arrivalIndexBits),
			Record: uint8(r.Uint32()), Since: Time(r.Int64N(1<<arrivalSecondBits) * 1000)}
		if i == 0 {
			a = Arrival{1<<32 - 1, 1<<arrivalIndexBits - 1, 255, (1<<arrivalSecondBits - 1) * 1000}
		}
		text := a.String()
		for _, s := range []string{text, strings.ToLower(text)} {
			if got, err := ParseArrival(s); err != nil || got != a {
				t.Fatalf("%s: got %+v, %v, want %+v", s, got, err, a)
			}
		}
		if len(text) != 26 || strings.Trim(text, idAlphabet) != "" || text[0] < '8' {
			t.Fatalf("%s has not the form", text)
		}
		if id, err := ParseMessageID(text); err == nil {
			t.Fatalf("%s is also the message id %v", text, id)
		}
	}
	got, _ := ParseArrival(Arrival{Since: 1999}.String())
	if want := (Arrival{Since: 1000}); got != want {
		t.Errorf("a time within a second: got %+v, want %+v", got, want)
	}
}

func FuzzParseArrival(f *testing.F) {
	for _, s := range []string{"", Arrival{}.String(), Arrival{1, 2, 3, 4000}.String(),
		strings.Repeat("Z", 26), strings.Repeat("G", 26), "G" + strings.Repeat("0", 24) + "U",
		strings.Repeat("G", 25), NewMessageID(1, 1).String()} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		if a, err := ParseArrival(s); err == nil && a.String() != strings.ToUpper(s) {
			t.Errorf("%q reads as %+v, which is written %s", s, a, a)
		}
	})
}
