package contract

import (
	"bytes"
	"fmt"
	"strings"

	"github.com/go-json-experiment/json/jsontext"
)

// Strict reads a successful answer's JSON as a client does that was generated from the contract
// and refuses what it does not know: the error names the first member that the contract lacks.
func (o *Operation) Strict(answer []byte) error {
	d := jsontext.NewDecoder(bytes.NewReader(answer))
	if err := strict(d, parseShape(o.Answer), "answer"); err != nil {
		return fmt.Errorf("%s: %w", o.Pattern(), err)
	}
	return nil
}

// shape is the members that an object may have. nil: anything.
type shape map[string]shape

func parseShape(s string) shape {
	top := shape{}
	within := []shape{top}
	s = strings.NewReplacer("{", " { ", "}", " } ").Replace(s)
	last := ""
	for _, word := range strings.Fields(s) {
		in := within[len(within)-1]
		switch word {
		case "{":
			in[last] = shape{}
			within = append(within, in[last])
		case "}":
			within = within[:len(within)-1]
		default:
			last = strings.TrimSuffix(word, "*")
			in[last] = shape{}
			if last != word {
				in[last] = nil
			}
		}
	}
	return top
}

func strict(d *jsontext.Decoder, allowed shape, path string) error {
	kind := d.PeekKind()
	if allowed == nil || kind != '{' && kind != '[' {
		return d.SkipValue()
	}
	if _, err := d.ReadToken(); err != nil {
		return err
	}
	for d.PeekKind() != '}' && d.PeekKind() != ']' {
		next, at := allowed, path
		if kind == '{' {
			name, err := d.ReadToken()
			if err != nil {
				return err
			}
			at += "." + name.String()
			known := false
			if next, known = allowed[name.String()]; !known {
				return fmt.Errorf("%s is no member of the contract's", at)
			}
		}
		if err := strict(d, next, at); err != nil {
			return err
		}
	}
	_, err := d.ReadToken()
	return err
}
