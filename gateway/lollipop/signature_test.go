package lollipop

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"math/big"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
)

// device is a key of a test and how it signs.
type device struct {
	key  *Key
	sign func(sum [32]byte) []byte
	alg  string
}

func raw(b []byte) string { return base64.RawURLEncoding.EncodeToString(b) }

func ecDevice(t testing.TB, der bool) device {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	point, err := private.PublicKey.Bytes()
	if err != nil {
		t.Fatal(err)
	}
	k, err := Parse([]byte(fmt.Sprintf(`{"kty":"EC","crv":"P-256","x":"%s","y":"%s"}`,
		raw(point[1:33]), raw(point[33:]))), "")
	if err != nil {
		t.Fatal(err)
	}
	return device{key: k, alg: "ecdsa-p256-sha256", sign: func(sum [32]byte) []byte {
		if der {
			b, _ := ecdsa.SignASN1(rand.Reader, private, sum[:])
			return b
		}
		r, s, _ := ecdsa.Sign(rand.Reader, private, sum[:])
		return append(r.FillBytes(make([]byte, 32)), s.FillBytes(make([]byte, 32))...)
	}}
}

func rsaDevice(t testing.TB) device {
	t.Helper()
	private, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	k, err := Parse([]byte(fmt.Sprintf(`{"kty":"RSA","e":"%s","n":"%s"}`,
		raw(big.NewInt(int64(private.E)).Bytes()), raw(private.N.Bytes()))), "")
	if err != nil {
		t.Fatal(err)
	}
	return device{key: k, alg: "rsa-pss-sha256", sign: func(sum [32]byte) []byte {
		b, _ := rsa.SignPSS(rand.Reader, private, crypto.SHA256, sum[:], nil)
		return b
	}}
}

const signedBody = `{"message":"ciao"}`

// request is a signed one. The components are as a client writes them, in parentheses.
func (d device) request(components string, created time.Time) *http.Request {
	r := httptest.NewRequest("POST", "/api/identity/v1/first-lollipop/sign?x=1",
		strings.NewReader(signedBody))
	sum := sha256.Sum256([]byte(signedBody))
	r.Header.Set(headerMethod, "POST")
	r.Header.Set(headerURL, "https://gateway.example/api/identity/v1/first-lollipop/sign?x=1")
	r.Header.Set(headerDigest, "sha-256=:"+base64.StdEncoding.EncodeToString(sum[:])+":")
	params := fmt.Sprintf(`%s;created=%d;nonce="aNonce";alg="%s";keyid="%s"`, components,
		created.Unix(), d.alg, d.key.Ref)
	r.Header.Set(headerInput, "sig1="+params)
	d.resign(r)
	return r
}

// resign signs what the headers say, by RFC 9421's own words.
func (d device) resign(r *http.Request) {
	params := strings.TrimPrefix(r.Header.Get(headerInput), "sig1=")
	base := ""
	list, _, _ := strings.Cut(strings.TrimPrefix(params, "("), ")")
	for _, name := range strings.Fields(list) {
		base += name + ": " + r.Header.Get(strings.Trim(name, `"`)) + "\n"
	}
	base += `"@signature-params": ` + params
	signature := base64.StdEncoding.EncodeToString(d.sign(sha256.Sum256([]byte(base))))
	r.Header.Set(headerSignature, "sig1=:"+signature+":")
}

const whole = `("content-digest" "x-pagopa-lollipop-original-method" ` +
	`"x-pagopa-lollipop-original-url")`

func verify(k *Key, r *http.Request, body string, now time.Time) error {
	s, err := Read(r.Header)
	if err != nil {
		return err
	}
	return s.Verify(k, r, []byte(body), now)
}

func TestVerify(t *testing.T) {
	now := time.Unix(1_800_000_000, 0)
	for name, d := range map[string]device{"two numbers": ecDevice(t, false),
		"DER": ecDevice(t, true), "RSA": rsaDevice(t)} {
		for range 20 { // numbers of a signature are short at times
			if err := verify(d.key, d.request(whole, now), signedBody, now); err != nil {
				t.Errorf("%s: %v", name, err)
			}
		}
	}
}

// What a signature says of its own end is held to, and does not prolong it.
func TestVerifyExpires(t *testing.T) {
	now := time.Unix(1_800_000_000, 0)
	d := ecDevice(t, false)
	for expires, last := range map[string]time.Duration{"1800000010": 9 * time.Second,
		"1899999999": signatureAge} {
		r := d.request(whole, now)
		r.Header.Set(headerInput, r.Header.Get(headerInput)+";expires="+expires)
		d.resign(r)
		if err := verify(d.key, r, signedBody, now.Add(last)); err != nil {
			t.Errorf("expires %s, after %v: %v", expires, last, err)
		}
		if err := verify(d.key, r, signedBody, now.Add(last+time.Second)); err == nil {
			t.Errorf("expires %s: verified after %v", expires, last+time.Second)
		}
	}
}

func TestVerifyRefuses(t *testing.T) {
	now := time.Unix(1_800_000_000, 0)
	d, other := ecDevice(t, false), ecDevice(t, false)
	input := func(old, new string) func(*http.Request) {
		return func(r *http.Request) {
			r.Header.Set(headerInput, strings.Replace(r.Header.Get(headerInput), old, new, 1))
			d.resign(r)
		}
	}
	set := func(name, value string) func(*http.Request) {
		return func(r *http.Request) { r.Header.Set(name, value) }
	}
	for name, spoil := range map[string]func(*http.Request){
		"another's":         func(r *http.Request) { other.resign(r) },
		"another key named": input(d.key.Ref, other.key.Ref),
		"another method":    set(headerMethod, "PUT"),
		"another method, signed": func(r *http.Request) {
			r.Header.Set(headerMethod, "PUT")
			d.resign(r)
		},
		"another path, signed": func(r *http.Request) {
			r.Header.Set(headerURL, "https://gateway.example/x")
			d.resign(r)
		},
		"no https, signed": func(r *http.Request) {
			r.Header.Set(headerURL, strings.Replace(r.Header.Get(headerURL), "https", "http", 1))
			d.resign(r)
		},
		"another digest":       set(headerDigest, "sha-256=:AAAA:"),
		"no digest":            func(r *http.Request) { r.Header.Del(headerDigest) },
		"the digest left out":  input(`"content-digest" `, ""),
		"the method left out":  input(`"x-pagopa-lollipop-original-method" `, ""),
		"the url left out":     input(` "x-pagopa-lollipop-original-url"`, ""),
		"twice":                input(`"content-digest" `, `"content-digest" "content-digest" `),
		"another component":    input(`"content-digest" `, `"content-digest" "@method" `),
		"a parameter of one":   input(`"content-digest"`, `"content-digest";req`),
		"no time":              input(";created=1800000000", ""),
		"two times":            input(";created", ";created=1;created"),
		"expired":              input(";nonce", ";expires=1800000000;nonce"),
		"another algorithm":    input("ecdsa-p256-sha256", "hmac-sha256"),
		"RSA's":                input("ecdsa-p256-sha256", "rsa-pss-sha256"),
		"an unknown parameter": input(";nonce", ";tag=\"x\";nonce"),
		"an escape":            input("aNonce", `a\"Nonce`),
		"another label":        set(headerInput, "sigx="+whole),
		"no input":             func(r *http.Request) { r.Header.Del(headerInput) },
		"two inputs":           func(r *http.Request) { r.Header.Add(headerInput, "sig2=()") },
		"no signature":         func(r *http.Request) { r.Header.Del(headerSignature) },
		"an empty one":         set(headerSignature, "sig1=::"),
		"no base64":            set(headerSignature, "sig1=:%:"),
		"zeros": set(headerSignature, "sig1=:"+
			base64.StdEncoding.EncodeToString(make([]byte, 64))+":"),
		"much": set(headerInput, "sig1="+whole+strings.Repeat(" ", headerBytesMax)),
	} {
		r := d.request(whole, now)
		spoil(r)
		if err := verify(d.key, r, signedBody, now); err == nil {
			t.Errorf("%s: verified", name)
		}
	}
	r := d.request(whole, now)
	if err := verify(d.key, r, signedBody+" ", now); err == nil {
		t.Error("another body is verified")
	}
	for _, off := range []time.Duration{-signatureAhead - time.Second, signatureAge + time.Second} {
		if err := verify(d.key, d.request(whole, now), signedBody, now.Add(off)); err == nil {
			t.Errorf("verified %v after it was made", off)
		}
	}
	if err := verify(other.key, d.request(whole, now), signedBody, now); err == nil {
		t.Error("verified under another key")
	}
}

func FuzzRead(f *testing.F) {
	d := ecDevice(f, false)
	r := d.request(whole, time.Unix(1_800_000_000, 0))
	f.Add(r.Header.Get(headerInput), r.Header.Get(headerSignature))
	f.Fuzz(func(t *testing.T, input, signature string) {
		h := r.Header.Clone()
		h[headerInput], h[headerSignature] = []string{input}, []string{signature}
		s, err := Read(h)
		if err != nil {
			return
		}
		if len(s.components) > len(covered) || !strings.HasPrefix(input, s.label+"="+s.params) {
			t.Fatalf("read %+v of %q", s, input)
		}
		if s.params != strings.TrimPrefix(r.Header.Get(headerInput), "sig1=") {
			other := &http.Request{Method: r.Method, URL: r.URL, Header: h}
			if s.Verify(d.key, other, []byte(signedBody), time.Unix(1_800_000_000, 0)) == nil {
				t.Fatalf("verified: %q", input)
			}
		}
	})
}
