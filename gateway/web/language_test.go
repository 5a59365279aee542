package web

import (
	"go/ast"
	"go/parser"
	"go/token"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/staffetta/staffetta/wire"
)

var (
	templateKey = regexp.MustCompile(`\.T "([^"]+)"`)
	parameter   = regexp.MustCompile(`\{[a-z]+\}`)
	pluralForm  = regexp.MustCompile(`\.(one|two|few|other)$`)
)

// usedKeys are the keys that templates ask for, and those that stand in the code.
func usedKeys(t *testing.T) map[string]bool {
	t.Helper()
	used := map[string]bool{}
	templates, err := files.ReadDir("templates")
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range templates {
		b, err := files.ReadFile("templates/" + e.Name())
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range templateKey.FindAllStringSubmatch(string(b), -1) {
			used[m[1]] = true
		}
	}
	sources, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range sources {
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		file, err := parser.ParseFile(token.NewFileSet(), name, nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		ast.Inspect(file, func(n ast.Node) bool {
			if s, ok := n.(*ast.BasicLit); ok && s.Kind == token.STRING {
				if key, err := strconv.Unquote(s.Value); err == nil && isKey(key) {
					used[key] = true
				}
			}
			return true
		})
	}
	for _, page := range []string{"help", "privacy", "accessibility"} {
		used[page+".title"] = true // static's
	}
	return used
}

// isKey reports whether a string of the code is a key of the Italian catalogue.
func isKey(s string) bool {
	_, whole := langs[0].texts[s]
	_, counted := langs[0].texts[s+".other"]
	return whole || counted
}

// TestTexts: every text that is asked for is there in every language, with the same parameters, and
// no other one is.
func TestTexts(t *testing.T) {
	used := usedKeys(t)
	for key := range used {
		if !isKey(key) {
			t.Errorf("no catalogue has %q", key)
		}
	}
	italian := langs[0].texts
	for _, l := range langs {
		for key, text := range l.texts {
			base := pluralForm.ReplaceAllString(key, "")
			if !used[key] && !used[base] {
				t.Errorf("%s: %q is used nowhere", l.Code, key)
			}
			if strings.TrimSpace(text) == "" {
				t.Errorf("%s: %q is empty", l.Code, key)
			}
			other, ok := italian[key]
			if !ok {
				other, ok = italian[base+".other"]
			}
			got := slices.Sorted(slices.Values(parameter.FindAllString(text, -1)))
			want := slices.Sorted(slices.Values(parameter.FindAllString(other, -1)))
			if !ok || !slices.Equal(got, want) {
				t.Errorf("%s: %q has the parameters %v, in Italian %v", l.Code, key, got, want)
			}
		}
		for key := range italian {
			base := pluralForm.ReplaceAllString(key, "")
			_, whole := l.texts[key]
			_, counted := l.texts[base+".other"]
			if !whole && !counted {
				t.Errorf("%s lacks %q", l.Code, key)
			}
		}
	}
}

// same are texts that are the same in Italian and in another language, as words are.
var same = map[string][]string{}

// TestTranslated: a text that is the same as the Italian one was not translated, but for the words
// that languages share.
func TestTranslated(t *testing.T) {
	for _, l := range langs[1:] {
		for key, text := range l.texts {
			if text == langs[0].texts[key] && len(text) > 12 && !slices.Contains(same[key], l.Code) {
				t.Errorf("%s: %q is the Italian text", l.Code, key)
			}
		}
	}
}

// TestPagesInEveryLanguage: no page shows a key, and each says which language it has.
func TestPagesInEveryLanguage(t *testing.T) {
	b := entered(t)
	id := b.fed.deliver(wire.Content{Subject: "Un avviso qualunque", Markdown: "Testo.",
		DueDate: &wire.Date{At: 1}, Payment: &wire.Payment{Amount: 123456, NoticeNumber: "302000100000009421"}})
	key := regexp.MustCompile(`>\s*[a-z]+\.[a-z.-]+\s*<`)
	for _, l := range langs {
		b.wantAt(b.post("/language", url.Values{"language": {l.Code}, "back": {"/help"}}), "/help")
		paths := []string{"/?ended=1", "/nothing", "/inbox/" + id.String()}
		for _, row := range rows() {
			if row.Method == "GET" && !strings.Contains(row.Path, "{") {
				paths = append(paths, row.Path)
			}
		}
		for _, path := range paths {
			got := b.get(path)
			if path != "/nothing" && !strings.Contains(got.body, `<html lang="`+l.Code+`">`) {
				t.Errorf("%s in %s: %d %.200s", path, l.Code, got.StatusCode, got.body)
			}
			if found := key.FindString(got.body); found != "" || strings.Contains(got.body, "{n}") {
				t.Errorf("%s in %s shows the key %s", path, l.Code, found)
			}
		}
	}
}

func TestLangOf(t *testing.T) {
	for name, x := range map[string]struct {
		accept, cookie string
		profile        []string
		want           string
	}{
		"nothing":            {"", "", nil, "it"},
		"the browser's":      {"fr-CH, fr;q=0.9, en;q=0.8", "", nil, "fr"},
		"the second":         {"pt, sl;q=0.5", "", nil, "sl"},
		"none of ours":       {"ja", "", nil, "it"},
		"anything":           {"*", "", nil, "it"},
		"no language":        {"\xff;;q=x", "", nil, "it"},
		"too long":           {strings.Repeat("de,", 200), "", nil, "it"},
		"the profile's":      {"fr", "", []string{"de_DE"}, "de"},
		"its second":         {"fr", "", []string{"pt_PT", "es_ES"}, "es"},
		"this browser's":     {"fr", "en", []string{"de_DE"}, "en"},
		"of a foreign value": {"fr", "x<y", nil, "fr"},
	} {
		r := httptest.NewRequest("GET", "/", nil)
		r.Header.Set("Accept-Language", x.accept)
		if x.cookie != "" {
			r.AddCookie(&http.Cookie{Name: langCookie, Value: x.cookie})
		}
		var p *wire.Profile
		if x.profile != nil {
			p = &wire.Profile{Languages: x.profile}
		}
		if got := langOf(r, p).Code; got != x.want {
			t.Errorf("%s: got %s, want %s", name, got, x.want)
		}
	}
}

func TestFormats(t *testing.T) {
	first := time.Date(2026, 3, 31, 22, 30, 0, 0, time.UTC) // 1 April in Rome
	for code, want := range map[string][3]string{
		"it": {"1º aprile 2026, 00:30", "1.234,05\u00a0€", "12.345"},
		"en": {"1 April 2026, 00:30", "€1,234.05", "12,345"},
		"de": {"1. April 2026, 00:30", "1.234,05\u00a0€", "12.345"},
		"fr": {"1er avril 2026, 00:30", "1\u202f234,05\u00a0€", "12\u202f345"},
		"sl": {"1. april 2026, 00:30", "1.234,05\u00a0€", "12.345"},
		"es": {"1 de abril de 2026, 00:30", "1234,05\u00a0€", "12.345"},
	} {
		f := formats[code]
		if got := [3]string{f.minute(first), f.euro(123405), f.number("12345")}; got != want {
			t.Errorf("%s: got %q, want %q", code, got, want)
		}
	}
	if len(formats) != len(langs) {
		t.Errorf("%d formats of %v", len(formats), slices.Collect(maps.Keys(formats)))
	}
	// A due date is the day in Rome, whatever the hour's change.
	it := formats["it"]
	for instant, want := range map[string]string{
		"2026-12-30T23:00:00Z": "31 dicembre 2026", "2026-12-30T23:30:00Z": "31 dicembre 2026",
		"2026-12-31T22:59:59Z": "31 dicembre 2026", "2026-10-24T22:00:00Z": "25 ottobre 2026",
		"2026-10-25T22:59:59Z": "25 ottobre 2026", "2027-03-27T23:00:00Z": "28 marzo 2027",
		"2027-03-28T21:59:59Z": "28 marzo 2027", "2027-03-28T22:00:00Z": "29 marzo 2027",
	} {
		at, err := time.Parse(time.RFC3339, instant)
		if got := it.day(at); err != nil || got != want {
			t.Errorf("%s is %s, want %s", instant, got, want)
		}
	}
}
