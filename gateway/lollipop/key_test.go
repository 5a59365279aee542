package lollipop

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/base64"
	"fmt"
	"net/http"
	"strings"
	"testing"
)

// rfc7638 is the key of RFC 7638, 3.1, with the thumbprint that stands there.
const (
	rfc7638 = `{"kty":"RSA","n":"0vx7agoebGcQSuuPiLJXZptN9nndrQmbXEps2aiAFbWhM78LhWx4cbbfAAtVT86zw` +
		`u1RK7aPFFxuhDR1L6tSoc_BJECPebWKRXjBZCiFV4n3oknjhMstn64tZ_2W-5JsGY4Hc5n9yBXArwl93lqt7_RN5w6C` +
		`f0h4QyQ5v-65YGjQR0_FDW2QvzqY368QQMicAtaSqzs8KJZgnYb9c7d0zgdAZHzu6qMQvRL5hajrn1n91CbOpbISD08` +
		`qNLyrdkt-bFTWhAI4vMQFh6WeZu0fM4lFd2NcRwr3XPksINHaQ-G_xBniIqbw0Ls1jF44-csFCur-kEgU8awapJzKnq` +
		`DKgw","e":"AQAB","alg":"RS256","kid":"2011-04-29"}`
	rfc7638Ref = "sha256-NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs"
	// The key of RFC 7517, A.1.
	rfc7517 = `{"kty":"EC","crv":"P-256","x":"MKBCTNIcKUSDii11ySs3526iDZ8AiTo7Tu6KPAqv7D4",` +
		`"y":"4Etl6SRW2YiLUrN5vfvVHuhp7x8PxltmWWlbbM4IFyM","use":"enc","kid":"1"}`
)

func TestThumbprint(t *testing.T) {
	k, err := Parse([]byte(rfc7638), "")
	if err != nil || k.Ref != rfc7638Ref {
		t.Fatalf("got %+v, %v, want %s", k, err, rfc7638Ref)
	}
	// The form that is kept is the same key.
	again, err := Parse([]byte(k.JWK), "sha256")
	if err != nil || again.Ref != k.Ref || again.JWK != k.JWK {
		t.Errorf("got %+v, %v of what is kept", again, err)
	}
	for hash, length := range map[string]int{"sha256": 43, "sha384": 64, "sha512": 86} {
		k, err := Parse([]byte(rfc7517), hash)
		if err != nil || !strings.HasPrefix(k.Ref, hash+"-") || len(k.Ref) != len(hash)+1+length {
			t.Errorf("%s: got %+v, %v", hash, k, err)
		}
	}
}

func TestParseRefuses(t *testing.T) {
	short := base64.RawURLEncoding.EncodeToString([]byte(strings.Repeat("\xff", 128)))
	long := base64.RawURLEncoding.EncodeToString([]byte(strings.Repeat("\xff", 514)))
	for name, jwk := range map[string]string{
		"nothing": "", "no object": "[]", "no type": `{"x":"AQ"}`, "symmetric": `{"kty":"oct","k":"AQ"}`,
		"another curve":    strings.Replace(rfc7517, "P-256", "P-384", 1),
		"not on the curve": strings.Replace(rfc7517, "MKBC", "MKBD", 1),
		"no y":             strings.Replace(rfc7517, `"y"`, `"z"`, 1),
		"two of x":         strings.Replace(rfc7517, `"use"`, `"x"`, 1),
		"padded":           strings.Replace(rfc7517, `7D4"`, `7D4="`, 1),
		"a line break":     strings.Replace(rfc7517, `7D4"`, `7D\n4"`, 1),
		"a quote":          strings.Replace(rfc7517, `7D4"`, `7D4\""`, 1),
		"too short":        `{"kty":"RSA","e":"AQAB","n":"` + short + `"}`,
		"too long":         `{"kty":"RSA","e":"AQAB","n":"` + long + `"}`,
		"even exponent":    strings.Replace(rfc7638, "AQAB", "AQAA", 1),
		"no exponent":      strings.Replace(rfc7638, "AQAB", "AQ", 1),
		"a large exponent": strings.Replace(rfc7638, "AQAB", "_____w", 1),
		"much":             rfc7517 + strings.Repeat(" ", 1024),
	} {
		if k, err := Parse([]byte(jwk), ""); err == nil {
			t.Errorf("%s: got %+v", name, k)
		}
	}
	if _, err := Parse([]byte(rfc7517), "md5"); err == nil {
		t.Error("a thumbprint of md5 is taken")
	}
}

// Some clients write a coordinate as a signed number, with a zero in front. The thumbprint is of
// what they wrote.
func TestZeroInFront(t *testing.T) {
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	point, err := private.PublicKey.Bytes()
	if err != nil {
		t.Fatal(err)
	}
	text := base64.RawURLEncoding.EncodeToString
	jwk := func(x []byte) string {
		return fmt.Sprintf(`{"crv":"P-256","kty":"EC","x":"%s","y":"%s"}`, text(x), text(point[33:]))
	}
	plain, err := Parse([]byte(jwk(point[1:33])), "")
	if err != nil {
		t.Fatal(err)
	}
	signed, err := Parse([]byte(jwk(append([]byte{0}, point[1:33]...))), "")
	if err != nil || signed.Ref == plain.Ref || !private.PublicKey.Equal(signed.public) {
		t.Errorf("got %+v, %v", signed, err)
	}
}

func TestFromLogin(t *testing.T) {
	raw := []byte(rfc7517)
	want, _ := Parse(raw, "")
	for _, text := range []string{base64.RawURLEncoding.EncodeToString(raw),
		base64.URLEncoding.EncodeToString(raw), base64.StdEncoding.EncodeToString(raw)} {
		k, err := FromLogin(http.Header{headerKey: {text}})
		if err != nil || k.Ref != want.Ref {
			t.Errorf("got %+v, %v", k, err)
		}
	}
	if k, err := FromLogin(http.Header{}); k != nil || err != nil {
		t.Errorf("without headers: %+v, %v", k, err)
	}
	good := base64.RawURLEncoding.EncodeToString(raw)
	for name, h := range map[string]http.Header{
		"empty": {headerKey: {""}}, "two": {headerKey: {good, good}}, "no base64": {headerKey: {"%"}},
		"another hash": {headerKey: {good}, headerHash: {"md5"}},
		"two hashes":   {headerKey: {good}, headerHash: {"sha256", "sha256"}},
		"long":         {headerKey: {strings.Repeat("A", 2000)}},
	} {
		if k, err := FromLogin(h); err == nil {
			t.Errorf("%s: got %+v", name, k)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte(rfc7638), "sha256")
	f.Add([]byte(rfc7517), "sha512")
	f.Fuzz(func(t *testing.T, jwk []byte, hash string) {
		k, err := Parse(jwk, hash)
		if err != nil {
			return
		}
		again, err := Parse([]byte(k.JWK), hash)
		if err != nil || again.Ref != k.Ref {
			t.Fatalf("what is kept of a key is another one: %v", err)
		}
	})
}
