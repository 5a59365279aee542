package identity

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/staffetta/staffetta/internal/fiscalcode"
)

var now = time.Date(2026, 12, 1, 12, 0, 0, 0, time.UTC)

// mario is a whole assertion. His code is invented: no municipality is M500.
func mario() Assertion {
	code := "RSSMRA80A01M500"
	code += string(fiscalcode.CheckCharacter(code))
	return Assertion{FiscalNumber: "TINIT-" + code, Name: "Mario", FamilyName: "Rossi",
		DateOfBirth: "1980-01-01", Email: "mario@example.it", Level: Level2.URL(),
		Evidence: Evidence{Issuer: "https://provider.example"}}
}

func digest(code string) string {
	sum := sha256.Sum256([]byte(code))
	return hex.EncodeToString(sum[:])
}

func TestAccept(t *testing.T) {
	a := mario()
	rules := Rules{AgeMin: AgeMinDefault, Now: func() time.Time { return now }}
	got, err := rules.Accept(Info{ID: "uno", Kind: SPID}, &a, Asked{Level: Level1,
		Person: strings.ToUpper(digest(a.FiscalNumber[6:]))})
	if err != nil {
		t.Fatal(err)
	}
	if string(got.Code) != a.FiscalNumber[6:] || got.Name != "Mario" || got.FamilyName != "Rossi" ||
		got.DateOfBirth != "1980-01-01" || got.Email != "mario@example.it" || got.Level != Level2 ||
		got.Provider != "uno" || got.Kind != SPID || got.Evidence.Issuer != a.Evidence.Issuer {
		t.Errorf("got %+v", got)
	}
}

func TestRefused(t *testing.T) {
	whole := mario().FiscalNumber
	check := byte('A')
	if whole[len(whole)-1] == check {
		check = 'B'
	}
	cases := map[string]struct {
		change func(*Assertion, *Asked)
		want   Reason
	}{
		"no level asked": {func(_ *Assertion, q *Asked) { q.Level = 0 }, Weak},
		"level asked: 4": {func(_ *Assertion, q *Asked) { q.Level = 4 }, Weak},
		"another person": {func(_ *Assertion, q *Asked) { q.Person = digest("another") }, Another},
		"expected: none": {func(_ *Assertion, q *Asked) { q.Person = "-" }, Another},
		"no name":        {func(a *Assertion, _ *Asked) { a.Name = " " }, Incomplete},
		"no family name": {func(a *Assertion, _ *Asked) { a.FamilyName = "" }, Incomplete},
		"name on lines":  {func(a *Assertion, _ *Asked) { a.Name = "Mario\nMaria" }, Incomplete},
		"name in Latin1": {func(a *Assertion, _ *Asked) { a.Name = "Nicol\xf2" }, Incomplete},
		"long name": {func(a *Assertion, _ *Asked) { a.Name = strings.Repeat("a", nameMax+1) },
			Incomplete},
	}
	add := func(name string, want Reason, change func(*Assertion)) {
		cases[name] = struct {
			change func(*Assertion, *Asked)
			want   Reason
		}{func(a *Assertion, _ *Asked) { change(a) }, want}
	}
	for name, level := range map[string]string{"no level": "", "level by name": "SpidL2",
		"level 4": levelPrefix + "SpidL4", "level below": Level1.URL(),
		"password": "urn:oasis:names:tc:SAML:2.0:ac:classes:PasswordProtectedTransport"} {
		add(name, Weak, func(a *Assertion) { a.Level = level })
	}
	for name, number := range map[string]string{"no number": "", "no prefix": whole[6:],
		"prefix in small": "tinit-" + whole[6:], "prefix twice": "TINIT-" + whole,
		"company": "VATIT-" + whole[6:], "company's code": "TINIT-01234567890",
		"company's number": "VATIT-01234567890",
		"lower case":       "TINIT-" + strings.ToLower(whole[6:]),
		// U+017F folds to S, U+212A to K, U+0131 to I: none of them is the letter.
		"look-alike":   "TINIT-" + strings.Replace(whole[6:], "S", "\u017f", 1),
		"full width":   strings.Replace(whole, "8", "\uff18", 1),
		"Cyrillic":     strings.Replace(whole, "M", "\u041c", 1),
		"blank behind": whole + " ", "line behind": whole + "\n", "zero behind": whole + "\x00",
		"check": whole[:len(whole)-1] + string(check)} {
		add(name, NotPerson, func(a *Assertion) { a.FiscalNumber = number })
	}
	for born, want := range map[string]Reason{"": Incomplete, "1 gennaio 1980": Incomplete,
		"1980-02-30": Incomplete, "2012-12-02": Young, "2030-01-01": Young} {
		add("born "+born, want, func(a *Assertion) { a.DateOfBirth = born })
	}
	for name, x := range cases {
		a, asked := mario(), Asked{Level: Level2, Person: digest(whole[6:])}
		x.change(&a, &asked)
		rules := Rules{AgeMin: AgeMinDefault, Now: func() time.Time { return now }}
		id, err := rules.Accept(Info{}, &a, asked)
		refusal := (*Refusal)(nil)
		if !errors.As(err, &refusal) || id != nil || refusal.Reason != x.want {
			t.Errorf("%s: %+v, %v, want %s", name, id, err, x.want)
			continue
		}
		for _, secret := range []string{whole[6:12], "Mario", "Rossi", "1980"} {
			if strings.Contains(err.Error(), secret) {
				t.Errorf("%s: the refusal tells the person: %v", name, err)
			}
		}
	}
}

// An age changes at midnight in Rome, and of who was born on 29 February on 1 March.
func TestAge(t *testing.T) {
	for name, x := range map[string]struct {
		least     int
		born, now string
		want      Reason
	}{
		"a second before the birthday":  {14, "2012-06-15", "2026-06-14T21:59:59Z", Young},
		"midnight of summer in Rome":    {14, "2012-06-15", "2026-06-14T22:00:00Z", ""},
		"midnight of winter in Rome":    {14, "2012-01-15", "2026-01-14T23:00:00Z", ""},
		"an hour before that":           {14, "2012-01-15", "2026-01-14T22:00:00Z", Young},
		"born on 29 February, the 28th": {14, "2012-02-29", "2026-02-28T12:00:00Z", Young},
		"born on 29 February, 1 March":  {14, "2012-02-29", "2026-03-01T12:00:00Z", ""},
		"an age of 18":                  {18, "2009-01-01", "2026-12-01T12:00:00Z", Young},
		"no age asked":                  {0, "2026-01-01", "2026-12-01T12:00:00Z", ""},
		"no age asked, no birth":        {0, "", "2026-12-01T12:00:00Z", ""},
		"no age asked, birth is none":   {0, "?", "2026-12-01T12:00:00Z", Incomplete},
	} {
		at, err := time.Parse(time.RFC3339, x.now)
		if err != nil {
			t.Fatal(err)
		}
		a := mario()
		a.DateOfBirth = x.born
		rules := Rules{AgeMin: x.least, Now: func() time.Time { return at }}
		_, err = rules.Accept(Info{}, &a, Asked{Level: Level2})
		got := Reason("")
		if err != nil {
			got = AsRefusal(err).Reason
		}
		if got != x.want {
			t.Errorf("%s: %q, want %q", name, got, x.want)
		}
	}
}

// What is no address is left out, and shuts nobody out.
func TestEmail(t *testing.T) {
	for email, want := range map[string]bool{"a@b.it": true, "": false, "a": false, "@b": false,
		"a@": false, "a@b@c": false, "a@b\r\nBcc: c@d": false, "a b@c": false, "<a@b>": false,
		strings.Repeat("a", emailMax) + "@b": false, "\xff@b": false} {
		a := mario()
		a.Email = email
		rules := Rules{Now: func() time.Time { return now }}
		id, err := rules.Accept(Info{}, &a, Asked{Level: Level2})
		if err != nil || (id.Email == email && email != "") != want {
			t.Errorf("%q: %+v, %v", email, id, err)
		}
	}
}

func TestLevels(t *testing.T) {
	for l := Level1; l <= Level3; l++ {
		if got, ok := ParseLevel(l.URL()); got != l || !ok {
			t.Errorf("%s is read as %d, %v", l.URL(), got, ok)
		}
		if got, ok := ParseLevelName(l.Name()); got != l || !ok {
			t.Errorf("%s is read as %d, %v", l.Name(), got, ok)
		}
	}
	for _, l := range []Level{0, 4, 255} {
		if l.Valid() || l.Name() != "" || l.URL() != "" {
			t.Errorf("%d is a level: %q %q", l, l.Name(), l.URL())
		}
	}
	for _, s := range []string{"", "SpidL2", levelPrefix, levelPrefix + "SpidL0",
		levelPrefix + "SpidL22", levelPrefix + "spidl2", "http://www.spid.gov.it/SpidL2",
		levelPrefix + "SpidL2 ", " " + levelPrefix + "SpidL2"} {
		if l, ok := ParseLevel(s); ok {
			t.Errorf("%q is read as %d", s, l)
		}
	}
}

// The numbers are the contract's, which the app shows its texts by.
func TestCodes(t *testing.T) {
	for reason, want := range map[Reason]int{Young: 1001, Locked: 1002, Stray: 1003, Another: 1004,
		Credentials: 19, NoLevel: 20, Timeout: 21, NoConsent: 22, Suspended: 23, Cancelled: 25,
		Invalid: 0, Away: 0} {
		if got := Refuse(reason, "").Code(); got != want {
			t.Errorf("%s has code %d, want %d", reason, got, want)
		}
	}
	if got := AsRefusal(errors.New("x")).Reason; got != Away {
		t.Errorf("an error that is no refusal is %q", got)
	}
}

// Whatever a provider says: what is accepted is whole.
func FuzzAccept(f *testing.F) {
	a := mario()
	f.Add(a.FiscalNumber, a.Name, a.FamilyName, a.DateOfBirth, a.Email, a.Level, uint8(2))
	f.Add("VATIT-01234567890", "", "", "", "", "", uint8(0))
	f.Fuzz(func(t *testing.T, number, name, family, born, email, level string, asked uint8) {
		rules := Rules{AgeMin: AgeMinDefault, Now: func() time.Time { return now }}
		a := Assertion{FiscalNumber: number, Name: name, FamilyName: family, DateOfBirth: born,
			Email: email, Level: level}
		id, err := rules.Accept(Info{}, &a, Asked{Level: Level(asked)})
		if err != nil {
			if r := (*Refusal)(nil); !errors.As(err, &r) || id != nil {
				t.Errorf("%v is no refusal, or comes with an identity", err)
			}
			return
		}
		if !id.Code.Valid() || "TINIT-"+string(id.Code) != number || id.Level < Level(asked) ||
			!id.Level.Valid() || id.Name == "" || id.FamilyName == "" || id.DateOfBirth == "" {
			t.Errorf("accepted %+v", id)
		}
	})
}
