package synthetic

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"time"

	"github.com/staffetta/staffetta/internal/fiscalcode"
)

// Births are spread over these years: fewer than a hundred, since a code has two digits of them.
const (
	yearFirst = 1935
	yearEnd   = 2008
)

// Places of birth are M500 to M999: of the form that municipalities have, beyond the last one
// given out, so that no code is a person's.
const (
	placeFirst = 500
	placeEnd   = 1000
)

var (
	birthFirst = time.Date(yearFirst, 1, 1, 0, 0, 0, 0, time.UTC)
	birthDays  = uint64(time.Date(yearEnd, 1, 1, 0, 0, 0, 0, time.UTC).Sub(birthFirst) /
		(24 * time.Hour))
	// births is the number of different (day, place, sex): what is left of a code without the
	// names, and so how many citizens of one generator differ for certain.
	births = birthDays * (placeEnd - placeFirst) * 2
	// stride walks over all births in an order that looks random; coprime to births.
	stride = coprime(births*618/1000, births)
)

// Citizen is one invented person.
type Citizen struct {
	FiscalCode  fiscalcode.Code
	Name        string
	FamilyName  string
	DateOfBirth string // YYYY-MM-DD
}

// Citizens invents citizens, one after the other. It is not safe for concurrent use.
type Citizens struct {
	rng  *rand.Rand
	next uint64 // the next birth's rank
}

// NewCitizens returns the generator of a seed. The first 26 million codes of one generator
// differ; those of two seeds may meet.
func NewCitizens(seed uint64) *Citizens {
	c := &Citizens{rng: newRand("citizens", seed, 0)}
	c.next = c.rng.Uint64N(births)
	return c
}

// Next invents a citizen.
func (c *Citizens) Next() Citizen {
	birth := c.next
	c.next = (c.next + stride) % births
	woman := birth%2 == 1
	birth /= 2
	place := placeFirst + birth%(placeEnd-placeFirst)
	day := birthFirst.AddDate(0, 0, int(birth/(placeEnd-placeFirst)))

	names := men
	if woman {
		names = women
	}
	name := pickRanked(c.rng, names)
	if c.rng.IntN(12) == 0 {
		if second := pickRanked(c.rng, names); second != name {
			name += " " + second
		}
	}
	family := pickRanked(c.rng, families)
	if c.rng.IntN(20) == 0 {
		if second := pickRanked(c.rng, families); second != family {
			family += " " + second
		}
	}
	return Citizen{
		FiscalCode:  codeOf(family, name, day, woman, int(place)),
		Name:        name,
		FamilyName:  family,
		DateOfBirth: day.Format(time.DateOnly),
	}
}

func codeOf(family, name string, day time.Time, woman bool, place int) fiscalcode.Code {
	d := day.Day()
	if woman {
		d += 40
	}
	first := fmt.Sprintf("%s%s%02d%c%02dM%03d", triplet(family, false), triplet(name, true),
		day.Year()%100, "ABCDEHLMPRST"[day.Month()-1], d, place)
	return fiscalcode.Code(first + string(fiscalcode.CheckCharacter(first)))
}

// triplet is the three letters that stand for a name: consonants first, then vowels, then X; of
// a given name with four or more consonants the first, third and fourth.
func triplet(name string, given bool) string {
	var consonants, vowels []byte
	for _, r := range strings.ToUpper(name) {
		switch base := plain(r); {
		case base == 0:
		case strings.IndexByte("AEIOU", base) >= 0:
			vowels = append(vowels, base)
		default:
			consonants = append(consonants, base)
		}
	}
	if given && len(consonants) > 3 {
		return string([]byte{consonants[0], consonants[2], consonants[3]})
	}
	return string(append(append(consonants, vowels...), "XXX"...)[:3])
}

// plain is the letter A-Z under an upper-case letter of our names; zero for anything else.
func plain(r rune) byte {
	switch {
	case r >= 'A' && r <= 'Z':
		return byte(r)
	case strings.ContainsRune("ÀÁÂÄ", r):
		return 'A'
	case strings.ContainsRune("ÈÉÊË", r):
		return 'E'
	case r == 'Ì' || r == 'Í':
		return 'I'
	case strings.ContainsRune("ÒÓÖ", r):
		return 'O'
	case strings.ContainsRune("ÙÚÜ", r):
		return 'U'
	case r == 'Č' || r == 'Ç':
		return 'C'
	case r == 'Š':
		return 'S'
	case r == 'Ž':
		return 'Z'
	}
	return 0
}

// coprime is the first number from n on that shares no divisor with m.
func coprime(n, m uint64) uint64 {
	for ; ; n++ {
		a, b := n, m
		for b != 0 {
			a, b = b, a%b
		}
		if a == 1 {
			return n
		}
	}
}

// newRand is the source of randomness for one purpose and number of a seed.
func newRand(purpose string, seed, number uint64) *rand.Rand {
	var key [32]byte
	copy(key[:16], purpose)
	for i := range 8 {
		key[16+i] = byte(seed >> (8 * i))
		key[24+i] = byte(number >> (8 * i))
	}
	return rand.New(rand.NewChaCha8(key))
}

func pick(r *rand.Rand, list []string) string { return list[r.IntN(len(list))] }

// pickRanked prefers the beginning of a list, as names are spread in a people: the third power
// gives the first tenth of the list about half of the draws.
func pickRanked(r *rand.Rand, list []string) string {
	u := r.Float64()
	return list[int(u*u*u*float64(len(list)))]
}
