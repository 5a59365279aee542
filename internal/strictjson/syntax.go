package strictjson

import (
	"errors"
	"fmt"
	"io"

	"github.com/go-json-experiment/json/jsontext"
)

// Flaw is what is wrong with a text that should have been JSON.
type Flaw uint8

const (
	Invalid   Flaw = iota // no JSON
	Empty                 // nothing but white space
	Encoded               // not UTF-8
	Deep                  // nested deeper than DepthMax
	Duplicate             // two members of one name in an object
	Cut                   // it ends within its value
	Trailing              // something follows the value
)

// Syntax says that a text is not JSON as it is taken here. Of the text it tells the place only.
type Syntax struct {
	Flaw Flaw
	At   int64 // byte; 0 where the flaw is the whole text's
}

// Error continues a sentence whose subject is the text.
func (s *Syntax) Error() string {
	switch s.Flaw {
	case Empty:
		return "is empty"
	case Encoded:
		return "is not UTF-8"
	case Trailing:
		return "goes on after its JSON value"
	}
	what := "is not valid JSON"
	switch s.Flaw {
	case Deep:
		what = fmt.Sprintf("is nested deeper than %d levels", DepthMax)
	case Duplicate:
		what = "has two members of the same name in one object"
	case Cut:
		what = "ends within its JSON value"
	}
	return fmt.Sprintf("%s, at byte %d", what, s.At)
}

var errDeep = errors.New("nested too deep")

// syntaxOf tells an error of the decoder, whose place is at if it names none itself.
func syntaxOf(err error, at int64) *Syntax {
	var syntactic *jsontext.SyntacticError
	if errors.As(err, &syntactic) {
		at = syntactic.ByteOffset
	}
	s := &Syntax{At: at}
	switch {
	case errors.Is(err, errDeep):
		s.Flaw = Deep
	case errors.Is(err, jsontext.ErrDuplicateName):
		s.Flaw = Duplicate
	case errors.Is(err, io.ErrUnexpectedEOF):
		s.Flaw = Cut
	}
	return s
}
