package citizen

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"net/http"
	"testing"
	"time"
)

const signPath = "/api/identity/v1/first-lollipop/sign"

// TestSignMessage signs as an app does, under sessions with the key, with another one, and without.
func TestSignMessage(t *testing.T) {
	b := newBench(t)
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	point, err := private.PublicKey.Bytes()
	if err != nil {
		t.Fatal(err)
	}
	raw := base64.RawURLEncoding.EncodeToString
	jwk := raw([]byte(fmt.Sprintf(`{"kty":"EC","crv":"P-256","x":"%s","y":"%s"}`,
		raw(point[1:33]), raw(point[33:]))))
	own, other, none := b.loginWith("", jwk, 200), b.loginWith("", deviceKey, 200),
		b.loginWith("", "", 200)
	ref := b.do("GET", "/api/auth/v1/session", own, "", 200)["lollipopAssertionRef"]

	const body = `{"message":"ciao"}`
	send := func(token, sent string, want int) map[string]any {
		t.Helper()
		r := request("POST", signPath, token, sent)
		digest := sha256.Sum256([]byte(body))
		set := func(name, value string) string {
			r.Header.Set(name, value)
			return fmt.Sprintf("%q: %s\n", name, value)
		}
		base := set("x-pagopa-lollipop-original-method", "POST") +
			set("x-pagopa-lollipop-original-url", "https://gateway.example"+signPath) +
			set("content-digest", "sha-256=:"+base64.StdEncoding.EncodeToString(digest[:])+":")
		params := fmt.Sprintf(`("x-pagopa-lollipop-original-method" `+
			`"x-pagopa-lollipop-original-url" "content-digest");created=%d;keyid="%s"`,
			time.Now().Unix(), ref)
		sum := sha256.Sum256([]byte(base + `"@signature-params": ` + params))
		signature, err := ecdsa.SignASN1(rand.Reader, private, sum[:])
		if err != nil {
			t.Fatal(err)
		}
		set("signature-input", "sig1="+params)
		set("signature", "sig1=:"+base64.StdEncoding.EncodeToString(signature)+":")
		return b.expect(b.checker.DoAny(t, b.mux, r), want)
	}
	if got := send(own, body, 200); got["response"] != "ciao" {
		t.Errorf("got %v", got)
	}
	for _, token := range []string{other, none} {
		b.want(send(token, body, 400), map[string]any{"type": problemSignature.Type.URN()})
	}
	send(own, `{"message":"another"}`, 400)
	send(own, `{}`, 400)
	r := request("POST", signPath, own, body)
	b.expect(b.checker.DoAny(t, b.mux, r), http.StatusBadRequest)
}
