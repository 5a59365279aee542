package jwt

import (
	"encoding/base64"
	"errors"
	"slices"
	"strings"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

// TextMax bounds a token: a trust mark or a user's attributes have a few KB.
const TextMax = 64 << 10

// algorithms are those that signatures are taken of. A MAC is none of them: its key would be the
// other party's public one.
var algorithms = []jose.SignatureAlgorithm{jose.RS256, jose.RS512, jose.PS256, jose.ES256}

// ErrKey says that none of the keys has the name that the token gives: they may have rolled.
var ErrKey = errors.New("signed by a key that the party does not have")

type header struct {
	Algorithm string                    `json:"alg"`
	Key       string                    `json:"kid"`
	Type      string                    `json:"typ"`
	Others    map[string]jsontext.Value `json:",inline"`
}

// readHeader reads a token's header: once and strictly, since parsers differ about members that are
// given twice.
func readHeader(text string) (h header, err error) {
	if len(text) > TextMax {
		return h, errors.New("the token is too large")
	}
	first, _, _ := strings.Cut(text, ".")
	b, err := base64.RawURLEncoding.DecodeString(first)
	if err != nil || json.Unmarshal(b, &h) != nil {
		return h, errors.New("not a token")
	}
	for _, name := range []string{"crit", "b64", "zip"} {
		if _, is := h.Others[name]; is {
			return h, errors.New("the token's header has " + name + ", which is not understood")
		}
	}
	return h, nil
}

// Verify checks a signature and returns what was signed. Where types are given the header's typ is
// one of them; "" stands for none.
func Verify(text string, keys *Keys, types ...string) (*Claims, error) {
	h, err := readHeader(text)
	if err != nil {
		return nil, err
	}
	if len(types) > 0 && !slices.Contains(types, strings.ToLower(h.Type)) {
		return nil, errors.New("a token of another type")
	}
	if !slices.Contains(algorithms, jose.SignatureAlgorithm(h.Algorithm)) {
		return nil, errors.New("a signature of another algorithm, or none")
	}
	signed, err := jose.ParseSignedCompact(text, algorithms)
	if err != nil {
		return nil, errors.New("not a signed token")
	}
	key := keys.find(h.Key)
	if key == nil {
		return nil, ErrKey
	}
	if key.Algorithm != "" && key.Algorithm != h.Algorithm {
		return nil, errors.New("the key is of another algorithm than the signature")
	}
	payload, err := signed.Verify(key)
	if err != nil {
		return nil, errors.New("the signature is wrong")
	}
	return parseClaims(payload)
}

// Unverified returns what a token says of itself, to find out by whose keys it is to be verified.
func Unverified(text string) (*Claims, error) {
	if _, err := readHeader(text); err != nil {
		return nil, err
	}
	parts := strings.Split(text, ".")
	if len(parts) != 3 {
		return nil, errors.New("not a signed token")
	}
	b, err := base64.RawURLEncoding.DecodeString(parts[1])
	if err != nil {
		return nil, errors.New("not a signed token")
	}
	return parseClaims(b)
}
