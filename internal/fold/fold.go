// Package fold compares texts as people look for them: without case, accents and kinds of quotes.
package fold

import (
	"strings"
	"unicode"
)

// folds are letters with marks, of the languages that institutions write in, by the letter that
// stands on a keyboard without them. Letters of other scripts are compared as they are.
var folds = func() map[rune]string {
	m := map[rune]string{'ß': "ss", 'æ': "ae", 'œ': "oe", '’': "'", '‘': "'", '“': `"`, '”': `"`,
		'«': `"`, '»': `"`, '–': "-", '—': "-"}
	for to, from := range map[string]string{"a": "àáâãäåāăą", "c": "çćĉċč", "d": "ďđ",
		"e": "èéêëēĕėęě", "g": "ĝğġģ", "i": "ìíîïĩīĭįı", "l": "ĺļľł", "n": "ñńņň",
		"o": "òóôõöøōŏő", "r": "ŕŗř", "s": "śŝşš", "t": "ţťŧ", "u": "ùúûüũūŭůűų", "y": "ýÿ",
		"z": "źżž"} {
		for _, r := range from {
			m[r] = to
		}
	}
	return m
}()

// Text is a text as searches compare it: in lower case, without accents, with one kind of quotes,
// dashes and spaces.
func Text(s string) string {
	var b strings.Builder
	b.Grow(len(s))
	for _, r := range s {
		switch r = unicode.ToLower(r); {
		case r < 0x80 && r != '\t' && r != '\r' && r != '\n':
			b.WriteByte(byte(r))
		case unicode.Is(unicode.Mn, r): // an accent that is a character of its own
		case unicode.IsSpace(r):
			b.WriteByte(' ')
		default:
			if to, ok := folds[r]; ok {
				b.WriteString(to)
			} else {
				b.WriteRune(r)
			}
		}
	}
	return b.String()
}
