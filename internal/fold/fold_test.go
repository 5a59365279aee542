package fold

import "testing"

func TestText(t *testing.T) {
	for _, c := range [][2]string{
		{"Città di FORLÌ", "citta di forli"}, {"perche\u0301", "perche"}, {"E\u0300 COSI\u0300", "e cosi"},
		{"l’avviso", "l'avviso"}, {"Straße, Müller", "strasse, muller"}, {"Čšž ČŠŽ", "csz csz"},
		{"a\tb\n\u00a0c", "a b  c"}, {"Ελλάδα", "ελλάδα"}, {"\xff", "\ufffd"}, {"", ""},
	} {
		if got := Text(c[0]); got != c[1] {
			t.Errorf("%q: got %q, want %q", c[0], got, c[1])
		}
	}
}

func FuzzText(f *testing.F) {
	f.Add("Città di FORLÌ")
	f.Add("\xff\u0301ß")
	f.Fuzz(func(t *testing.T, s string) {
		if once := Text(s); Text(once) != once {
			t.Errorf("%q is folded to %q, and that to %q", s, once, Text(once))
		}
	})
}
