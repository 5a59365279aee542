package identity

import "strings"

// Level is how sure a provider is of who it is. The zero Level is none.
type Level uint8

// The levels of SPID and of CIE, which are those of eIDAS: low, substantial, high.
const (
	Level1 Level = 1 + iota
	Level2
	Level3
)

// Both systems name their levels by these URLs.
const levelPrefix = "https://www.spid.gov.it/"

// ParseLevel reads a level's URL. ok is false for anything else: what is unknown is no level.
func ParseLevel(url string) (level Level, ok bool) {
	name, ok := strings.CutPrefix(url, levelPrefix)
	if !ok {
		return 0, false
	}
	return ParseLevelName(name)
}

// ParseLevelName reads a level's name, as the citizens' app asks for one: SpidL2.
func ParseLevelName(name string) (level Level, ok bool) {
	for l := Level1; l <= Level3; l++ {
		if name == l.Name() {
			return l, true
		}
	}
	return 0, false
}

// Valid reports whether l is a level.
func (l Level) Valid() bool { return l >= Level1 && l <= Level3 }

// Name is the level's name, SpidL1 to SpidL3; empty for none.
func (l Level) Name() string {
	if !l.Valid() {
		return ""
	}
	return "SpidL" + string('0'+rune(l))
}

// URL is the level's URL; empty for none.
func (l Level) URL() string {
	if !l.Valid() {
		return ""
	}
	return levelPrefix + l.Name()
}
