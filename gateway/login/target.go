package login

import (
	"net/url"
	"path"
	"strings"
)

// targetMax bounds where a browser goes afterwards; a page of ours has a short path.
const targetMax = 256

// target is where a browser goes after a login: a path of this gateway, and nothing that a browser
// could take for another site's. Whatever is none is the first page.
func target(s string) string {
	const first = "/"
	if len(s) > targetMax || !strings.HasPrefix(s, "/") {
		return first
	}
	for i := range len(s) {
		// Browsers read a backslash as a slash and leave out tabs and line ends; what is beyond
		// ASCII is escaped in a path.
		if c := s[i]; c <= ' ' || c >= 0x7f || c == '\\' {
			return first
		}
	}
	u, err := url.Parse(s)
	if err != nil || u.IsAbs() || u.Host != "" || u.User != nil || u.Opaque != "" ||
		u.Fragment != "" || strings.HasPrefix(s, "//") {
		return first
	}
	if clean := path.Clean(u.Path); clean != u.Path && clean+"/" != u.Path ||
		strings.HasPrefix(clean, "//") || clean == "/login" || strings.HasPrefix(clean, "/login/") ||
		strings.HasPrefix(clean, "/api/") || strings.ContainsAny(u.Path, "\\\r\n\t") {
		return first
	}
	return s
}
