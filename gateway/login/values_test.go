package login

import (
	"crypto/ecdh"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/staffetta/staffetta/wire"
)

func digest(code string) string {
	sum := sha256.Sum256([]byte(code))
	return hex.EncodeToString(sum[:])
}

const keyHeader = "X-Pagopa-Lollipop-Pub-Key"

// ecKey is a device's key as the app sends it.
func ecKey(t *testing.T) string {
	t.Helper()
	k, err := ecdh.P256().GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	point := k.PublicKey().Bytes()
	return base64.RawURLEncoding.EncodeToString(fmt.Appendf(nil,
		`{"kty":"EC","crv":"P-256","x":"%s","y":"%s"}`,
		base64.RawURLEncoding.EncodeToString(point[1:33]),
		base64.RawURLEncoding.EncodeToString(point[33:])))
}

func TestPerson(t *testing.T) {
	for in, want := range map[string]string{"": "", digest("a"): digest("a"),
		strings.ToUpper(digest("a")): digest("a"), "x": "-", digest("a") + "0": "-"} {
		h := http.Header{}
		h.Set(personHeader, in)
		got, err := readPerson(h)
		if err != nil {
			got = "-"
		}
		if got != want {
			t.Errorf("%q is %q, want %q", in, got, want)
		}
	}
}

func TestTarget(t *testing.T) {
	for in, want := range map[string]string{
		"": "/", "/": "/", "/messages": "/messages", "/messages?page=2": "/messages?page=2",
		"/messages/": "/messages/", "/a%20b": "/a%20b", "messages": "/",
		"//evil.example": "/", "/\\evil.example": "/", "\\\\evil.example": "/",
		"https://evil.example/": "/", "https:evil.example": "/", "javascript:alert(1)": "/",
		"/\tevil": "/", "/\n/evil.example": "/", "/a\r\nSet-Cookie: a=b": "/", " /a": "/",
		"/a/../..//evil.example": "/", "/..//evil.example": "/", "/%2e%2e//evil.example": "/",
		"///evil.example": "/", "/a//b": "/", "/%5cevil.example": "/", "/%0d%0aa": "/",
		"/login": "/", "/login/callback/uno?state=1": "/", "/api/auth/v1/login": "/",
		"/messages#x": "/", "/caffè": "/", "/" + strings.Repeat("a", targetMax): "/",
	} {
		if got := target(in); got != want {
			t.Errorf("%q leads to %q, want %q", in, got, want)
		}
	}
}

// Wherever a login leads, it is here.
func FuzzTarget(f *testing.F) {
	for _, s := range []string{"/messages?a=b", "//evil.example", "/\\evil.example", "/%2f/a"} {
		f.Add(s)
	}
	base, _ := url.Parse("https://here.example/login/callback/uno")
	f.Fuzz(func(t *testing.T, s string) {
		to, err := base.Parse(target(s))
		if err != nil || to.Host != base.Host || to.Scheme != base.Scheme ||
			strings.HasPrefix(to.Path, "//") || strings.ContainsAny(target(s), "\\\r\n\t ") {
			t.Errorf("%q leads to %v, %v", s, to, err)
		}
	})
}

// No cookie that a gateway did not seal is read.
func FuzzUnseal(f *testing.F) {
	key := wire.DirectoryKey{1}
	b := newBegun()
	b.Provider, b.At = "uno", wire.TimeOf(now)
	value, _ := b.seal(key)
	name := cookieName(b.begin().State)
	if got, ok := unseal(key, name, value, now); !ok || got.State != b.State {
		f.Fatal("what was sealed is not read")
	}
	f.Add(name, value)
	f.Add("", "")
	f.Fuzz(func(t *testing.T, n, v string) {
		if _, ok := unseal(key, n, v, now); ok && (n != name || v != value) {
			t.Errorf("%q is read under %q", v, n)
		}
	})
}

// The largest login fits into a cookie.
func TestCookieFits(t *testing.T) {
	b := newBegun()
	b.Provider, b.Level, b.Person = strings.Repeat("p", 64), 3, strings.Repeat("a", 64)
	b.To, b.At = "/"+strings.Repeat("a", targetMax-1), wire.TimeOf(now)
	b.Ref, b.Key = strings.Repeat("r", 100), strings.Repeat("k", 750) // RSA of 4,096 bits
	b.Pending = make([]byte, 1<<10)
	if value, ok := b.seal(wire.DirectoryKey{}); !ok {
		t.Errorf("%d bytes, at most %d", len(value), cookieMax)
	}
}
