package identity

import (
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	_ "time/tzdata" // an age is counted in Rome, on machines without zones too

	"github.com/staffetta/staffetta/internal/fiscalcode"
)

const (
	// nameMax bounds a name, emailMax an address (RFC 5321, 4.5.3.1.3), in bytes.
	nameMax  = 200
	emailMax = 254
	// AgeMinDefault is the age from which the contract lets people in.
	AgeMinDefault = 14
	// AgeMinMax bounds the setting: a person is of age by then.
	AgeMinMax = 18
)

// personPrefix is that of the fiscal numbers of people: tax identification number, Italy. That of
// companies (VATIT-) is not for us.
const personPrefix = "TINIT-"

// Rules are what holds of every login.
type Rules struct {
	// AgeMin is the age in years from which people are let in. 0: any, and no date of birth is
	// needed.
	AgeMin int
	// Now is the wall clock. nil: time.Now.
	Now func() time.Time
}

// Asked is what one login was asked for.
type Asked struct {
	Level Level
	// Person, where it is not empty, is the one who is expected: SHA-256 of the fiscal code, in
	// hexadecimal.
	Person string
}

// Accept makes an identity of what a provider asserts, or says why not: a *Refusal.
func (r *Rules) Accept(from Info, a *Assertion, asked Asked) (*Identity, error) {
	level, ok := ParseLevel(a.Level)
	switch {
	case !ok:
		return nil, Refuse(Weak, "the level is missing or unknown")
	case !asked.Level.Valid() || level < asked.Level:
		return nil, Refuse(Weak, "the level is below the one that was asked for")
	}
	code, err := personCode(a.FiscalNumber)
	if err != nil {
		return nil, err
	}
	if !isPerson(asked.Person, code) {
		return nil, Refuse(Another, "another person than the session's")
	}
	id := &Identity{Code: code, Name: strings.TrimSpace(a.Name),
		FamilyName:  strings.TrimSpace(a.FamilyName),
		DateOfBirth: a.DateOfBirth, Level: level, Provider: from.ID, Kind: from.Kind,
		Evidence: a.Evidence}
	if !isName(id.Name) || !isName(id.FamilyName) {
		return nil, Refuse(Incomplete, "a name is missing or none")
	}
	if isEmail(a.Email) { // what is none is as good as absent: nobody is shut out for it
		id.Email = a.Email
	}
	if err := r.checkAge(a.DateOfBirth); err != nil {
		return nil, err
	}
	return id, nil
}

// personCode reads a fiscal number. Only a natural person's code in its one spelling is taken:
// nothing is folded, since what folds may be another person's.
func personCode(number string) (fiscalcode.Code, error) {
	text, ok := strings.CutPrefix(number, personPrefix)
	if !ok {
		return "", Refuse(NotPerson, "the fiscal number is missing or lacks the prefix "+personPrefix)
	}
	code, err := fiscalcode.Parse(text)
	if err != nil {
		return "", Refuse(NotPerson, "the fiscal number is not a person's code of 16 characters")
	}
	if code[fiscalcode.Size-1] != fiscalcode.CheckCharacter(text) {
		return "", Refuse(NotPerson, "the fiscal number's check character is wrong")
	}
	return code, nil
}

// isPerson reports whether code is the one expected; "" expects nobody. What is no digest is
// nobody's.
func isPerson(expected string, code fiscalcode.Code) bool {
	if expected == "" {
		return true
	}
	sum := sha256.Sum256([]byte(code))
	want := hex.EncodeToString(sum[:])
	return subtle.ConstantTimeCompare([]byte(strings.ToLower(expected)), []byte(want)) == 1
}

// isName reports whether a text can be a name: what a message or a page shows without harm.
func isName(s string) bool {
	return s != "" && len(s) <= nameMax && utf8.ValidString(s) &&
		!strings.ContainsFunc(s, unicode.IsControl)
}

func isEmail(s string) bool {
	local, domain, ok := strings.Cut(s, "@")
	return ok && local != "" && domain != "" && len(s) <= emailMax && utf8.ValidString(s) &&
		!strings.Contains(domain, "@") && !strings.ContainsFunc(s, func(r rune) bool {
		return unicode.IsControl(r) || unicode.IsSpace(r) || strings.ContainsRune(`<>,;:"`, r)
	})
}

// rome is where birthdays are counted: whoever becomes of age does so at midnight there.
var rome = func() *time.Location {
	zone, err := time.LoadLocation("Europe/Rome")
	if err != nil { // the zones are part of the program
		panic(err)
	}
	return zone
}()

func (r *Rules) checkAge(born string) error {
	if r.AgeMin == 0 && born == "" {
		return nil
	}
	day, err := time.Parse(time.DateOnly, born)
	if err != nil {
		return Refuse(Incomplete, "the date of birth is missing or not as YYYY-MM-DD")
	}
	now := time.Now
	if r.Now != nil {
		now = r.Now
	}
	year, month, today := now().In(rome).Date()
	// Born on 29 February, one is a year older on 1 March of a year without it.
	birthday := time.Date(day.Year()+r.AgeMin, day.Month(), day.Day(), 0, 0, 0, 0, time.UTC)
	if time.Date(year, month, today, 0, 0, 0, 0, time.UTC).Before(birthday) {
		return Refuse(Young, "below the least age")
	}
	return nil
}
