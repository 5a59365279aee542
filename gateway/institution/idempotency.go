package institution

import (
	"net/http"
	"strings"

	"github.com/staffetta/staffetta/wire"
)

const (
	idempotencyHeader   = "Idempotency-Key"
	idempotencyMember   = "idempotency_key"
	idempotencyBytesMax = 255
)

// parseKey reads an idempotency key, wherever it stands: in the header, bare or as the quoted
// string of draft-ietf-httpapi-idempotency-key-header, or in a message's member. One key is one
// key in each of these forms.
func parseKey(s string) (key string, ok bool) {
	if strings.HasPrefix(s, `"`) {
		if s, ok = unquoteString(s); !ok {
			return "", false
		}
	}
	return s, len(s) <= idempotencyBytesMax && wire.Visible(s)
}

// unquoteString reads a string of RFC 9651, section 3.3.3.
func unquoteString(s string) (string, bool) {
	if len(s) < 2 || s[len(s)-1] != '"' {
		return "", false
	}
	var b strings.Builder
	for s = s[1 : len(s)-1]; s != ""; s = s[1:] {
		switch {
		case s[0] == '"':
			return "", false
		case s[0] == '\\':
			if s = s[1:]; s == "" || s[0] != '"' && s[0] != '\\' {
				return "", false
			}
		}
		b.WriteByte(s[0])
	}
	return b.String(), true
}

// headerKey reads the key of a request's header; empty when there is none. A name that means the
// header or the member and is neither is refused: its client believes that repeating is harmless.
func headerKey(r *http.Request) (string, error) {
	if err := misplacedKey(r); err != nil {
		return "", err
	}
	values := r.Header[idempotencyHeader]
	if len(values) == 0 {
		return "", nil
	}
	if len(values) > 1 {
		return "", invalidIdempotencyKey
	}
	key, ok := parseKey(values[0])
	switch {
	case ok:
		return key, nil
	case strings.HasPrefix(values[0], `"`):
		return "", invalidIdempotencyKey.With(detailQuotedKey)
	}
	return "", invalidIdempotencyKey
}

// oneKey is the key of a request: of its header, of its body's member, or of both when they agree.
func oneKey(header, member string) (string, error) {
	switch {
	case header == "":
		return member, nil
	case member != "" && member != header:
		return "", invalidIdempotencyKey.With(detailTwoKeys)
	}
	return header, nil
}

// misplacedKey refuses a key in the query or in a header of nearly the right name.
func misplacedKey(r *http.Request) error {
	for name := range r.Header {
		if namesKey(name) && name != idempotencyHeader {
			return invalidIdempotencyKey.With(detailMisplacedKey)
		}
	}
	if r.URL.RawQuery != "" {
		for name := range r.URL.Query() {
			if namesKey(name) {
				return invalidIdempotencyKey.With(detailMisplacedKey)
			}
		}
	}
	return nil
}

// namesKey reports whether a name is one that somebody gives to an idempotency key: the letters
// of one, in either case, however they are joined.
func namesKey[T string | []byte](name T) bool {
	const letters = "idempotencykey"
	if len(name) < len(letters) || len(name) > len(letters)+4 {
		return false
	}
	at := 0
	for i := range len(name) {
		c := name[i]
		switch {
		case c == '-' || c == '_':
			continue
		case c >= 'A' && c <= 'Z':
			c += 'a' - 'A'
		}
		switch {
		case at < len(letters) && c == letters[at]:
			at++
		case at == 0 && c == 'x' && i == 0: // X-Idempotency-Key
		default:
			return false
		}
	}
	return at == len(letters)
}
