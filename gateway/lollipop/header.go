package lollipop

import (
	"encoding/base64"
	"errors"
	"net/http"
	"strings"
)

// The headers of a login.
const (
	headerKey  = "X-Pagopa-Lollipop-Pub-Key"
	headerHash = "X-Pagopa-Lollipop-Pub-Key-Hash-Algo"
)

var errHeader = errors.New("lollipop: the header of the key is there twice, or is no base64url")

// FromLogin reads the key that a login brings in its headers: nil, without an error, when it brings
// none.
func FromLogin(h http.Header) (*Key, error) {
	keys, hash := h.Values(headerKey), h.Values(headerHash)
	switch {
	case len(keys) == 0:
		return nil, nil
	case len(keys) > 1 || len(hash) > 1:
		return nil, errHeader
	case len(keys[0]) > base64.StdEncoding.EncodedLen(keyBytesMax):
		return nil, errSize
	}
	// Some clients pad, and some write the alphabet of plain base64.
	text := strings.NewReplacer("+", "-", "/", "_").Replace(strings.TrimRight(keys[0], "="))
	jwk, err := base64.RawURLEncoding.DecodeString(text)
	if err != nil {
		return nil, errHeader
	}
	name := ""
	if len(hash) == 1 {
		name = hash[0]
	}
	return Parse(jwk, name)
}
