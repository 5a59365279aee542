package web

import (
	"net/url"
	"regexp"
	"strings"
	"unicode/utf8"

	"go.yaml.in/yaml/v3"
)

// button is an action that a message offers: its text, the address, and the host that it leads to.
type button struct {
	Text, Action, Host string
	Primary            bool
}

const (
	// frontMax bounds the front matter that is read, in bytes: two buttons in a few languages.
	frontMax = 4 << 10
	// buttonTextMax bounds the text of a button, in characters.
	buttonTextMax = 60
	// addressMax bounds an address, in bytes.
	addressMax = 2 << 10
)

// frontButton is a button of the front matter.
type frontButton struct {
	Text   string `yaml:"text"`
	Action string `yaml:"action"`
}

// cutButtons takes the front matter off a message's markdown: the contract's cta_1 and cta_2, by
// languages. What cannot be read, what is no button and what leads nowhere that a browser goes is
// left out, as the app does it; the message is shown all the same.
func cutButtons(markdown, language string) (body string, list []button) {
	front, body, ok := cutFront(markdown)
	if !ok || len(front) > frontMax {
		return body, nil
	}
	var all map[string]map[string]frontButton
	if yaml.Unmarshal([]byte(front), &all) != nil {
		return body, nil
	}
	for _, code := range []string{language, "it", "en"} {
		buttons, ok := all[code]
		if !ok {
			continue
		}
		for _, name := range []string{"cta_1", "cta_2"} {
			if b, ok := buttonOf(buttons[name]); ok {
				b.Primary = len(list) == 0
				list = append(list, b)
			}
		}
		return body, list
	}
	return body, nil
}

// cutFront cuts the lines between two lines of three hyphens off the beginning of a text.
func cutFront(markdown string) (front, body string, ok bool) {
	text := strings.ReplaceAll(markdown, "\r\n", "\n")
	rest, ok := strings.CutPrefix(strings.TrimLeft(text, "\ufeff"), "---\n")
	if !ok {
		return "", markdown, false
	}
	if front, body, ok = strings.Cut("\n"+rest, "\n---\n"); !ok {
		if front, ok = strings.CutSuffix("\n"+rest, "\n---"); !ok {
			return "", markdown, false
		}
	}
	return front, body, true
}

// handled is the app's way to say that it is to open an address itself.
const handled = "iohandledlink://"

func buttonOf(f frontButton) (button, bool) {
	action := strings.TrimSpace(f.Action)
	if len(action) >= len(handled) && strings.EqualFold(action[:len(handled)], handled) {
		action = action[len(handled):]
	}
	address, host, ok := safeAddress(action)
	text := strings.Join(strings.Fields(plain(f.Text)), " ")
	if !ok || text == "" || utf8.RuneCountInString(text) > buttonTextMax {
		return button{}, false
	}
	return button{Text: text, Action: address, Host: host}, true
}

// safeAddress is the policy of every link that others write: http and https with a host, mailto and
// tel, nothing else. No name and password stand before the host, and its letters are ASCII: else it
// might read as another host than the one that a browser goes to. shown is where the link leads.
func safeAddress(s string) (address, shown string, ok bool) {
	if len(s) > addressMax || strings.ContainsFunc(s, isUnsafe) {
		return "", "", false
	}
	u, err := url.Parse(s)
	if err != nil {
		return "", "", false
	}
	switch u.Scheme {
	case "http", "https":
		if u.Opaque != "" || u.User != nil || !hostPattern.MatchString(u.Host) {
			return "", "", false
		}
		return u.String(), strings.ToLower(u.Host), true
	case "mailto", "tel":
		shown, _, _ = strings.Cut(u.Opaque, "?")
		if shown == "" || strings.Contains(s, "%0") { // a line of its own in a letter's head
			return "", "", false
		}
		return u.String(), shown, true
	}
	return "", "", false
}

// hostPattern is a host as the web writes one, with or without a port.
var hostPattern = regexp.MustCompile(
	`^[a-zA-Z0-9]([a-zA-Z0-9.-]{0,251}[a-zA-Z0-9])?(:[0-9]{1,5})?$`)

// isUnsafe reports a character that has no place in an address.
func isUnsafe(r rune) bool {
	return r <= ' ' || r == 0x7f || r == '\\' || r == utf8.RuneError || plain(string(r)) == ""
}
