package jwt

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rsa"
	"errors"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

const (
	// keysMax bounds the keys of a party; a handful is usual while they roll.
	keysMax = 64
	// rsaBitsMin is what SPID and CIE ask for at least, rsaBitsMax what is worth its time.
	rsaBitsMin, rsaBitsMax = 2048, 8192
)

// Keys are the public keys with which another party signs.
type Keys struct{ list []jose.JSONWebKey }

// ParseKeys reads a set of keys (RFC 7517). Keys of kinds that nobody signs with here are left out,
// and so are those for encryption; a set without any other is refused.
func ParseKeys(b []byte) (*Keys, error) {
	var set struct {
		Keys []jsontext.Value `json:"keys"`
	}
	if err := json.Unmarshal(b, &set); err != nil {
		return nil, errors.New("the keys are no JSON object")
	}
	if len(set.Keys) > keysMax {
		return nil, errors.New("too many keys")
	}
	k := new(Keys)
	seen := map[string]bool{}
	for _, text := range set.Keys {
		var key jose.JSONWebKey
		if key.UnmarshalJSON(text) != nil || !signs(&key) {
			continue
		}
		if seen[key.KeyID] {
			return nil, errors.New("two keys have one name")
		}
		seen[key.KeyID] = true
		k.list = append(k.list, key)
	}
	if len(k.list) == 0 {
		return nil, errors.New("no key that signs")
	}
	return k, nil
}

func signs(k *jose.JSONWebKey) bool {
	if !k.Valid() || !k.IsPublic() || k.Use != "" && k.Use != "sig" {
		return false
	}
	switch public := k.Key.(type) {
	case *rsa.PublicKey:
		bits := public.N.BitLen()
		return bits >= rsaBitsMin && bits <= rsaBitsMax && public.E >= 3 && public.E&1 == 1
	case *ecdsa.PublicKey:
		return public.Curve == elliptic.P256()
	}
	return false
}

// find returns the key of a name. A token that names none can only mean the only one.
func (k *Keys) find(id string) *jose.JSONWebKey {
	if id == "" {
		if len(k.list) == 1 {
			return &k.list[0]
		}
		return nil
	}
	for i := range k.list {
		if k.list[i].KeyID == id {
			return &k.list[i]
		}
	}
	return nil
}
