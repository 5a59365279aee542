package process_test

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"strings"
)

// secret is something that must not be found where it does not belong.
type secret struct{ kind, text string }

// secrets is a list of them.
type secrets []secret

func (s *secrets) add(kind string, texts ...string) {
	for _, text := range texts {
		*s = append(*s, secret{kind, text})
	}
}

// in lists the kinds of the secrets that b shows: in any case of letters, or behind an encoding
// that hides nothing. A keyed or plain hash is not seen, and need not be.
func (s secrets) in(b []byte) (kinds []string) {
	lower := bytes.ToLower(b)
	for _, secret := range s {
		text := []byte(secret.text)
		if bytes.Contains(lower, bytes.ToLower(text)) ||
			bytes.Contains(lower, []byte(hex.EncodeToString(text))) ||
			bytes.Contains(b, []byte(strings.TrimRight(
				base64.StdEncoding.EncodeToString(text[:len(text)/3*3]), "="))) {
			kinds = append(kinds, secret.kind)
		}
	}
	return kinds
}
