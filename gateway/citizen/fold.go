package citizen

import (
	"strings"
	"unicode"
)

// accents are the letters with marks that occur in names of Italian institutions and of the
// languages spoken there, each with what people write who look for them.
var accents = strings.NewReplacer("à", "a", "á", "a", "â", "a", "ä", "a", "è", "e", "é", "e", "ê",
	"e", "ë", "e", "ì", "i", "í", "i", "î", "i", "ï", "i", "ò", "o", "ó", "o", "ô", "o", "ö", "o",
	"ù", "u", "ú", "u", "û", "u", "ü", "u", "ç", "c", "č", "c", "ñ", "n", "š", "s", "ž", "z", "ß",
	"ss")

// fold is a text as it is looked for: its words in lower case, without marks, one blank between
// them. What is neither letter nor digit parts words.
func fold(text string) string {
	return strings.Join(strings.FieldsFunc(accents.Replace(strings.ToLower(text)),
		func(r rune) bool { return !unicode.IsLetter(r) && !unicode.IsDigit(r) }), " ")
}

// rank says how well a folded name answers folded words, better when smaller: the name begins with
// what was asked, or has each of the words at the beginning of one of its own. 0: not at all.
func rank(name, asked string) int {
	if strings.HasPrefix(name, asked) {
		return 1
	}
	for _, word := range strings.Fields(asked) {
		if !strings.HasPrefix(name, word) && !strings.Contains(name, " "+word) {
			return 0
		}
	}
	return 2
}
