package web

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/go-json-experiment/json"
	"golang.org/x/text/feature/plural"
)

// catalogue has the texts of a language by their keys. A text has parameters in braces: {name}. A
// key whose last part is a plural form of the language ("one", "two", "few", "other") belongs to
// the key without it, which is asked for with a number n.
type catalogue map[string]string

func readCatalogue(name string) (catalogue, error) {
	b, err := files.ReadFile(name)
	if err != nil {
		return nil, err
	}
	var c catalogue
	return c, json.Unmarshal(b, &c)
}

// forms are the plural forms that our languages tell apart, by their names in keys.
var forms = map[plural.Form]string{plural.One: "one", plural.Two: "two", plural.Few: "few",
	plural.Other: "other"}

// text returns the text of a key, its parameters replaced: names and values in turn. A key that the
// catalogue lacks is shown as it is; tests hold that there is none.
func (l *lang) text(key string, pairs ...any) string {
	s, ok := l.texts[key]
	if !ok {
		s, ok = l.texts[l.pluralKey(key, pairs)]
	}
	if !ok {
		return key
	}
	if len(pairs) == 0 {
		return s
	}
	values := make([]string, 0, len(pairs))
	for i := 0; i+1 < len(pairs); i += 2 {
		values = append(values, fmt.Sprintf("{%v}", pairs[i]), l.value(pairs[i+1]))
	}
	return strings.NewReplacer(values...).Replace(s)
}

func (l *lang) value(v any) string {
	if n, ok := v.(int); ok {
		return l.format.number(strconv.Itoa(n))
	}
	return fmt.Sprint(v)
}

// pluralKey is the key of the form that the pair n asks for.
func (l *lang) pluralKey(key string, pairs []any) string {
	for i := 0; i+1 < len(pairs); i += 2 {
		if n, ok := pairs[i+1].(int); ok && pairs[i] == "n" {
			form := forms[plural.Cardinal.MatchPlural(l.tag, n, 0, 0, 0, 0)]
			if _, ok := l.texts[key+"."+form]; ok {
				return key + "." + form
			}
			return key + ".other"
		}
	}
	return key
}
