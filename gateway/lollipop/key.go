package lollipop

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rsa"
	_ "crypto/sha256" // hashes of thumbprints
	_ "crypto/sha512"
	"encoding/base64"
	"errors"
	"math/big"
	"strings"

	"github.com/staffetta/staffetta/internal/strictjson"
)

const (
	// keyBytesMax bounds a JWK: one of an RSA key of 4,096 bits has some 700 bytes.
	keyBytesMax = 1024
	// rsaBitsMin and rsaBitsMax bound an RSA key: less is weak, more costs us too much to verify.
	rsaBitsMin = 2048
	rsaBitsMax = 4096
)

// The hashes that a thumbprint may be of, by the contract's names.
var hashes = map[string]crypto.Hash{"sha256": crypto.SHA256, "sha384": crypto.SHA384,
	"sha512": crypto.SHA512}

// Key is the public half of a device's key.
type Key struct {
	// JWK is the key in the form that its thumbprint is of: the members that it needs, sorted, with
	// the values that the client sent.
	JWK string
	// Ref is the contract's assertion ref.
	Ref    string
	public crypto.PublicKey
}

var (
	errKey  = errors.New("lollipop: no JWK of a public key of P-256 or RSA")
	errSize = errors.New("lollipop: a JWK of more than 1,024 bytes")
	errRSA  = errors.New("lollipop: an RSA key of less than 2,048 bits or more than 4,096")
	errHash = errors.New("lollipop: no hash of a thumbprint: sha256, sha384 or sha512")
)

// Parse reads a JWK, and makes the reference with a hash; "" is sha256.
func Parse(jwk []byte, hash string) (*Key, error) {
	if hash == "" {
		hash = "sha256"
	}
	h, ok := hashes[hash]
	if !ok {
		return nil, errHash
	}
	if len(jwk) > keyBytesMax {
		return nil, errSize
	}
	o, err := strictjson.ReadObject(jwk)
	if err != nil {
		return nil, errKey
	}
	text := func(name string) string {
		return o.Text(name, "text", true, func(string) bool { return true })
	}
	k := &Key{}
	switch text("kty") {
	case "EC":
		crv, x, y := text("crv"), text("x"), text("y")
		if k.public = ecKey(crv, x, y); o.Err() != nil || k.public == nil {
			return nil, errKey
		}
		k.JWK = `{"crv":"P-256","kty":"EC","x":"` + x + `","y":"` + y + `"}`
	case "RSA":
		e, n := text("e"), text("n")
		if k.public, err = rsaKey(e, n); o.Err() != nil || err != nil {
			return nil, errors.Join(err, o.Err(), errKey)
		}
		k.JWK = `{"e":"` + e + `","kty":"RSA","n":"` + n + `"}`
	default:
		return nil, errKey
	}
	sum := h.New()
	sum.Write([]byte(k.JWK))
	k.Ref = hash + "-" + base64.RawURLEncoding.EncodeToString(sum.Sum(nil))
	return k, nil
}

// ecKey is nil for what is no point of P-256. A coordinate may have a zero in front: some clients
// write it as a signed number.
func ecKey(crv, x, y string) crypto.PublicKey {
	const size = 32
	point := [1 + 2*size]byte{4} // not compressed
	a, b := number(x, size+1), number(y, size+1)
	if crv != "P-256" || a == nil || b == nil || a.BitLen() > 8*size || b.BitLen() > 8*size {
		return nil
	}
	a.FillBytes(point[1 : 1+size])
	b.FillBytes(point[1+size:])
	k, err := ecdsa.ParseUncompressedPublicKey(elliptic.P256(), point[:])
	if err != nil {
		return nil
	}
	return k
}

func rsaKey(e, n string) (crypto.PublicKey, error) {
	modulus, exponent := number(n, rsaBitsMax/8+1), number(e, 4)
	if modulus == nil || exponent == nil {
		return nil, errKey
	}
	k := &rsa.PublicKey{N: modulus, E: int(exponent.Int64())}
	switch {
	case modulus.BitLen() < rsaBitsMin || modulus.BitLen() > rsaBitsMax:
		return nil, errRSA
	case k.E < 3 || k.E%2 == 0 || k.E > 1<<31-1 || modulus.Bit(0) == 0:
		return nil, errKey
	}
	return k, nil
}

// number reads a number in base64url without padding, of at most so many bytes; nil for none.
func number(s string, most int) *big.Int {
	b, err := base64.RawURLEncoding.Strict().DecodeString(s)
	if err != nil || len(b) == 0 || len(b) > most || strings.ContainsAny(s, "\r\n") {
		return nil
	}
	return new(big.Int).SetBytes(b)
}
