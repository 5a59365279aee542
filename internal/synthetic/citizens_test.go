package synthetic

import (
	"slices"
	"testing"
	"time"

	"github.com/staffetta/staffetta/internal/fiscalcode"
)

func TestCitizens(t *testing.T) {
	const n = 100_000
	citizens := NewCitizens(1)
	seen := make(map[fiscalcode.Code]bool, n)
	women := 0
	for range n {
		c := citizens.Next()
		code := string(c.FiscalCode)
		if !c.FiscalCode.Valid() || fiscalcode.CheckCharacter(code[:15]) != code[15] {
			t.Fatalf("not a valid code: %q", code)
		}
		if seen[c.FiscalCode] {
			t.Fatalf("%q twice", code)
		}
		seen[c.FiscalCode] = true
		day, err := time.Parse(time.DateOnly, c.DateOfBirth)
		if err != nil || c.Name == "" || c.FamilyName == "" {
			t.Fatalf("citizen %+v, %v", c, err)
		}
		want := int(code[9]-'0')*10 + int(code[10]-'0')
		if want > 40 {
			want -= 40
			women++
		}
		if day.Day() != want || day.Format("06") != code[6:8] ||
			"ABCDEHLMPRST"[day.Month()-1] != code[8] {
			t.Fatalf("%q was not born on %s", code, c.DateOfBirth)
		}
		if code[11] != 'M' || code[12] < '5' {
			t.Fatalf("%q names a place that may exist", code)
		}
	}
	if women < n*2/5 || women > n*3/5 {
		t.Errorf("%d women of %d", women, n)
	}
}

func TestCitizensDeterministic(t *testing.T) {
	take := func(seed uint64) (list []Citizen) {
		for c := NewCitizens(seed); len(list) < 1000; {
			list = append(list, c.Next())
		}
		return list
	}
	if !slices.Equal(take(7), take(7)) {
		t.Error("one seed gave different citizens")
	}
	if slices.Equal(take(7), take(8)) {
		t.Error("two seeds gave the same citizens")
	}
	// Pinned: data directories and reports made with a seed must find the same citizens again.
	want := Citizen{"MRNNNA36M50M981K", "Anna", "Marino", "1936-08-10"}
	if got := take(1)[0]; got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
}

func TestTriplet(t *testing.T) {
	for _, c := range []struct {
		name  string
		given bool
		want  string
	}{
		{"Rossi", false, "RSS"}, {"De Luca", false, "DLC"}, {"Fo", false, "FOX"},
		{"D'Angelo", false, "DNG"}, {"Manzù", false, "MNZ"}, {"Dolò", false, "DLO"},
		{"Gianfranco", true, "GFR"}, {"Alessandro", true, "LSN"}, {"Maria", true, "MRA"},
		{"Luca", true, "LCU"}, {"Noè", true, "NOE"}, {"Špela", true, "SPL"},
	} {
		if got := triplet(c.name, c.given); got != c.want {
			t.Errorf("triplet(%s) = %s, want %s", c.name, got, c.want)
		}
	}
	for _, list := range [][]string{families, men, women} {
		for _, name := range list {
			for _, r := range name {
				if r > 127 && plain([]rune(upper(name))[0]) == 0 {
					t.Errorf("%s begins with a letter that has no plain form", name)
				}
			}
		}
	}
}
