package citizen

import (
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"github.com/staffetta/staffetta/wire"
)

// params are the query parameters of a request. Unknown ones are left alone.
type params struct{ values url.Values }

func query(r *http.Request) (params, error) {
	values, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		return params{}, refuse(problemParameter, "The query cannot be read.")
	}
	return params{values}, nil
}

func badParameter(name, want string) error {
	return refuse(problemParameter, "value at %s is not a valid [%s]", name, want)
}

// one returns a parameter that may be given once.
func (p params) one(name string) (value string, given bool, err error) {
	switch list := p.values[name]; len(list) {
	case 0:
		return "", false, nil
	case 1:
		return list[0], true, nil
	}
	return "", false, refuse(problemParameter, "The parameter %s is given more than once.", name)
}

// boolean returns a parameter that is true or false; false when it is not given.
func (p params) boolean(name string) (bool, error) {
	s, given, err := p.one(name)
	if err != nil || !given {
		return false, err
	}
	if s != "true" && s != "false" {
		return false, badParameter(name, "boolean")
	}
	return s == "true", nil
}

// pageSize returns page_size.
func (p params) pageSize() (uint32, error) {
	s, given, err := p.one("page_size")
	if err != nil || !given {
		return pageDefault, err
	}
	n, err := strconv.ParseUint(s, 10, 32)
	if err != nil || n < 1 || n > wire.PageMax || s != strconv.FormatUint(n, 10) {
		return 0, badParameter("page_size", "integer >= 1 and <= 100")
	}
	return uint32(n), nil
}

// messageID returns a bound of a list. given is false when it bounds nothing.
func (p params) messageID(name string) (id wire.MessageID, given bool, err error) {
	s, given, err := p.one(name)
	if err != nil || !given {
		return id, false, err
	}
	id, ok := parseID(s)
	if !ok {
		return id, false, badParameter(name, "MessageId")
	}
	return id, true, nil
}

// since returns what a list begins behind: a message id, or the position that a page gave.
func (p params) since(name string) (id wire.MessageID, at wire.Arrival, err error) {
	s, _, err := p.one(name)
	if err != nil || s == "" || s[0] <= '7' {
		id, _, err = p.messageID(name)
		return id, at, err
	}
	if at, err = wire.ParseArrival(s); err != nil {
		return id, at, badParameter(name, "MessageId")
	}
	return id, at, nil
}

// idAlphabet is the contract's: Crockford's base 32 in either case.
const idAlphabet = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"

// parseID reads a message id by the contract's pattern, which is wider than the ids that can be:
// 26 characters carry 130 bits. What is above the largest id reads as the largest.
func parseID(s string) (wire.MessageID, bool) {
	if len(s) != 26 {
		return wire.MessageID{}, false
	}
	for i := range len(s) {
		c := s[i]
		if c >= 'a' && c <= 'z' {
			c -= 'a' - 'A'
		}
		if !strings.Contains(idAlphabet, string(rune(c))) {
			return wire.MessageID{}, false
		}
	}
	if s[0] > '7' { // above 128 bits
		return lastID, true
	}
	id, err := wire.ParseMessageID(s)
	return id, err == nil
}

// The ends of the ids. No message has either: a time of zero is never minted, nor is the year
// 10889.
var (
	firstID = wire.MessageID{15: 1}
	lastID  = wire.MessageID{255, 255, 255, 255, 255, 255, 255, 255,
		255, 255, 255, 255, 255, 255, 255, 255}
)
