package jwt

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"strings"
	"sync"
	"testing"
	"time"
)

var now = time.Unix(1_800_000_000, 0)

var keys = sync.OnceValue(func() (list [2]*Private) {
	r, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		panic(err)
	}
	e, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		panic(err)
	}
	if list[0], err = NewPrivate(r); err != nil {
		panic(err)
	}
	if list[1], err = NewPrivate(e); err != nil {
		panic(err)
	}
	return list
})

// public is the set of our keys as another party sees it.
func public(t testing.TB, list ...*Private) *Keys {
	t.Helper()
	var texts []string
	for _, k := range list {
		p := k.Public("sig")
		b, err := p.MarshalJSON()
		if err != nil {
			t.Fatal(err)
		}
		texts = append(texts, string(b))
	}
	set, err := ParseKeys([]byte(`{"keys":[` + strings.Join(texts, ",") + `]}`))
	if err != nil {
		t.Fatal(err)
	}
	return set
}

func TestVerify(t *testing.T) {
	k := keys()
	for _, p := range k {
		text, err := p.Sign(map[string]any{"sub": "x"}, "thing+jwt")
		if err != nil {
			t.Fatal(err)
		}
		c, err := Verify(text, public(t, k[:]...), "thing+jwt")
		if err != nil || c.Text("sub") != "x" {
			t.Errorf("%v, %v", c, err)
		}
		if _, err := Verify(text, public(t, k[:]...), "other+jwt"); err == nil {
			t.Error("a token of another type passes")
		}
		for i := range text { // a change of any part
			if text[i] == '.' {
				continue
			}
			other := "A"
			if text[i] == 'A' {
				other = "B"
			}
			// The last character of a part has bits that say nothing.
			if i+1 == len(text) || text[i+1] == '.' {
				continue
			}
			if i%7 == 0 {
				if _, err := Verify(text[:i]+other+text[i+1:], public(t, k[:]...)); err == nil {
					t.Fatalf("changed at %d, it passes", i)
				}
			}
		}
	}
	text, _ := k[0].Sign(map[string]any{}, "")
	if _, err := Verify(text, public(t, k[1])); !errors.Is(err, ErrKey) {
		t.Errorf("under an unknown key: %v", err)
	}
	long, _ := k[0].Sign(map[string]any{"a": strings.Repeat("a", TextMax)}, "")
	if _, err := Verify(long, public(t, k[0])); err == nil {
		t.Error("a token of any size passes")
	}
}

func TestKeys(t *testing.T) {
	many := strings.Repeat(`{},`, keysMax) + `{}`
	for name, text := range map[string]string{"empty": ``, "none": `{"keys":[]}`,
		"many": `{"keys":[` + many + `]}`, "symmetric": `{"keys":[{"kty":"oct","k":"AAAA"}]}`,
		"short": `{"keys":[{"kty":"RSA","n":"AQAB","e":"AQAB"}]}`, "list": `[]`,
		"twice": `{"keys":[],"keys":[]}`} {
		if _, err := ParseKeys([]byte(text)); err == nil {
			t.Errorf("%s passes", name)
		}
	}
	p := keys()[0].Public("enc")
	b, _ := p.MarshalJSON()
	if _, err := ParseKeys([]byte(`{"keys":[` + string(b) + `]}`)); err == nil {
		t.Error("a key for encryption signs")
	}
	sig := keys()[0].Public("sig")
	b, _ = sig.MarshalJSON()
	if _, err := ParseKeys([]byte(`{"keys":[` + string(b) + `,` + string(b) + `]}`)); err == nil {
		t.Error("two keys of one name pass")
	}
}

func TestTimes(t *testing.T) {
	at := func(d time.Duration) int64 { return now.Add(d).Unix() }
	for name, x := range map[string]struct {
		claims map[string]any
		age    time.Duration
		ok     bool
	}{
		"good":         {map[string]any{"exp": at(time.Minute), "iat": at(0)}, time.Minute, true},
		"skew":         {map[string]any{"exp": at(-59 * time.Second), "iat": at(0)}, time.Minute, true},
		"expired":      {map[string]any{"exp": at(-time.Minute), "iat": at(0)}, 0, false},
		"no exp":       {map[string]any{"iat": at(0)}, 0, false},
		"exp by words": {map[string]any{"exp": "tomorrow"}, 0, false},
		"huge exp":     {map[string]any{"exp": 1e300}, 0, false},
		"not yet":      {map[string]any{"exp": at(time.Hour), "nbf": at(2 * time.Minute)}, 0, false},
		"nbf is none":  {map[string]any{"exp": at(time.Hour), "nbf": "x"}, 0, false},
		"future":       {map[string]any{"exp": at(time.Hour), "iat": at(2 * time.Minute)}, 0, false},
		"old":          {map[string]any{"exp": at(time.Hour), "iat": at(-time.Hour)}, time.Minute, false},
		"old may be":   {map[string]any{"exp": at(time.Hour), "iat": at(-time.Hour)}, 0, true},
		"no iat":       {map[string]any{"exp": at(time.Hour)}, time.Minute, false},
	} {
		text, err := keys()[1].Sign(x.claims, "")
		if err != nil {
			t.Fatal(err)
		}
		c, err := Verify(text, public(t, keys()[1]))
		if err != nil {
			t.Fatal(err)
		}
		if err := c.CheckTimes(now, x.age); (err == nil) != x.ok {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestAudience(t *testing.T) {
	for text, want := range map[string]bool{`{"aud":"us"}`: true, `{"aud":["us"]}`: true,
		`{"aud":["us","you"]}`: false, `{"aud":["us","you"],"azp":"us"}`: true,
		`{"aud":"us","azp":"you"}`: false, `{"aud":"you"}`: false, `{"aud":[]}`: false, `{}`: false,
		`{"aud":{"us":1}}`: false, `{"aud":["us",1]}`: false} {
		c, err := Parse([]byte(text))
		if err != nil || (c.CheckAudience("us") == nil) != want {
			t.Errorf("%s: %v", text, err)
		}
	}
}

func TestPrivate(t *testing.T) {
	weak, _ := rsa.GenerateKey(rand.Reader, 1024)
	if _, err := NewPrivate(weak); err == nil {
		t.Error("a key of 1024 bits passes")
	}
	k, _ := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	sec, _ := x509.MarshalECPrivateKey(k)
	pkcs8, _ := x509.MarshalPKCS8PrivateKey(k)
	for name, der := range map[string][]byte{"sec": sec, "pkcs8": pkcs8} {
		if _, err := ParsePrivate(pem.EncodeToMemory(&pem.Block{Type: "K", Bytes: der})); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	for _, text := range []string{"", "x", "-----BEGIN K-----\nAAAA\n-----END K-----\n"} {
		if _, err := ParsePrivate([]byte(text)); err == nil {
			t.Errorf("%q is a key", text)
		}
	}
}

// Whatever comes: what is verified was signed by us, and nothing fails otherwise than by an error.
func FuzzVerify(f *testing.F) {
	k := keys()
	set := public(f, k[:]...)
	for _, p := range k {
		text, _ := p.Sign(map[string]any{"sub": "x", "aud": []string{"us"}, "exp": 1}, "")
		f.Add(text)
	}
	f.Add("eyJhbGciOiJub25lIn0.e30.")
	f.Fuzz(func(t *testing.T, text string) {
		if c, err := Verify(text, set); err == nil && c.Text("sub") != "x" {
			t.Errorf("%q is verified", text)
		}
		if c, err := Unverified(text); err == nil {
			c.CheckTimes(now, time.Minute)
			c.CheckAudience("us")
		}
		Decrypt(text, k[0])
	})
}
