// Package fiscalcode knows the Italian personal fiscal code (codice fiscale): sixteen ASCII
// characters that name one natural person.
//
// The wire accepts what the institutions' contract accepts: the pattern, matched as bytes,
// upper case only, omocodia letters included, no check character. A code is never rewritten
// into another one: two omocodes are two people. Folding to upper case exists for login
// attributes alone and touches ASCII letters only.
package fiscalcode

import "errors"

// Size is the length of every code, in bytes.
const Size = 16

// Pattern is the contract's regular expression. Parse matches exactly this language; the
// constant is for documents and error texts.
const Pattern = `^[A-Z]{6}[0-9LMNPQRSTUV]{2}[ABCDEHLMPRST][0-9LMNPQRSTUV]{2}[A-Z]` +
	`[0-9LMNPQRSTUV]{3}[A-Z]$`

// ErrInvalid says that a text is not of a fiscal code's form. It never carries the text.
var ErrInvalid = errors.New("not a fiscal code")

// Code is a fiscal code of valid form, or empty. Do not put one into a log, metric or error.
type Code string

// Parse returns s as a code, or ErrInvalid when it does not match Pattern.
func Parse[T string | []byte](s T) (Code, error) {
	if len(s) != Size {
		return "", ErrInvalid
	}
	for i := range Size {
		if !classes[shape[i]][s[i]] {
			return "", ErrInvalid
		}
	}
	return Code(s), nil
}

// ParseLogin folds the ASCII letters of a login attribute to upper case, then parses it.
// Letters of other alphabets that Unicode folds into A-Z are refused.
func ParseLogin(s string) (Code, error) {
	if len(s) != Size {
		return "", ErrInvalid
	}
	b := []byte(s)
	for i, c := range b {
		if c >= 'a' && c <= 'z' {
			b[i] = c - 'a' + 'A'
		}
	}
	return Parse(b)
}

// Valid reports whether c still has the form of a code.
func (c Code) Valid() bool {
	_, err := Parse(string(c))
	return err == nil
}

// shape names the class of each of the sixteen positions: l letter, d digit or omocodia
// letter, m month letter.
const shape = "llllll" + "dd" + "m" + "dd" + "l" + "ddd" + "l"

var classes = [256]*[256]bool{
	'l': class("ABCDEFGHIJKLMNOPQRSTUVWXYZ"),
	'd': class("0123456789LMNPQRSTUV"),
	'm': class("ABCDEHLMPRST"),
}

func class(members string) *[256]bool {
	var c [256]bool
	for i := range len(members) {
		c[members[i]] = true
	}
	return &c
}
