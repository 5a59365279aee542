package web

import (
	"net/url"
	"strings"
	"unicode/utf8"
)

// form reads what a form posts. A field that is given twice is its first value.
func (c *call) form() (url.Values, error) {
	b, err := c.ReadBody(nil)
	if err != nil {
		return nil, err
	}
	if !utf8.Valid(b) {
		return nil, errForm
	}
	values, err := url.ParseQuery(string(b))
	if err != nil {
		return nil, errForm
	}
	return values, nil
}

// backMax bounds an address of ours that a form carries along.
const backMax = 512

// ownPath is the address of a page of ours, or the first page for what is none: whatever leads
// elsewhere, and whatever a browser could read as leading elsewhere.
func ownPath(s string) string {
	if len(s) > backMax || !strings.HasPrefix(s, "/") || strings.HasPrefix(s, "//") ||
		strings.ContainsFunc(s, func(r rune) bool { return r <= ' ' || r >= 0x7f || r == '\\' }) {
		return pathWelcome
	}
	u, err := url.Parse(s)
	if err != nil || u.Scheme != "" || u.Host != "" || u.Fragment != "" {
		return pathWelcome
	}
	for _, row := range rows() {
		if row.Method == "GET" && matches(row.Path, u.Path) {
			return u.RequestURI()
		}
	}
	return pathWelcome
}

// matches reports whether a path is one of a pattern of http.ServeMux, as far as ours go.
func matches(pattern, path string) bool {
	want := strings.Split(strings.TrimSuffix(pattern, "{$}"), "/")
	got := strings.Split(path, "/")
	if len(want) != len(got) {
		return false
	}
	for i := range want {
		if want[i] != got[i] && !strings.HasPrefix(want[i], "{") {
			return false
		}
	}
	return true
}
