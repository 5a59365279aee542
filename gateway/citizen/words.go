package citizen

import (
	"strings"
	"unicode"

	"github.com/staffetta/staffetta/internal/fold"
)

// words are a text as it is looked for: folded, one blank between them. What is neither letter nor
// digit parts words.
func words(text string) string {
	return strings.Join(strings.FieldsFunc(fold.Text(text),
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
