package server

import (
	"bytes"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/staffetta/staffetta/gateway/identity"
)

// documented is the example of docs/operating.md.
func documented(t *testing.T) string {
	t.Helper()
	text, err := os.ReadFile("../../../docs/operating.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, block := range strings.Split(string(text), "```json\n")[1:] {
		if block, _, _ = strings.Cut(block, "```"); strings.Contains(block, `"saml"`) {
			return block
		}
	}
	t.Fatal("docs/operating.md has no example of SAML's providers")
	return ""
}

// identityDir is a directory with the files that the example names.
func identityDir(t *testing.T, file string) string {
	t.Helper()
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	c := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "saml"},
		NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, c, c, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	certificate := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	dir := t.TempDir()
	for name, content := range map[string][]byte{
		"saml.key": pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: private}),
		"saml.crt": certificate, "registry.crt": certificate, "providers.json": []byte(file),
	} {
		if err := os.WriteFile(filepath.Join(dir, name), content, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return filepath.Join(dir, "providers.json")
}

// TestIdentityProviders: the documented file is read, and gives providers, sources and metadata.
func TestIdentityProviders(t *testing.T) {
	name := identityDir(t, documented(t))
	id, err := readIdentity(name, nil)
	if err != nil {
		t.Fatal(err)
	}
	if id.AgeMin != 14 || len(id.Providers) != 2 || len(id.Sources) != 1 ||
		!bytes.Contains(id.Metadata, []byte("https://posta.regione.example/slo")) {
		t.Errorf("got %d years, %d providers, %d sources, %d bytes of metadata", id.AgeMin,
			len(id.Providers), len(id.Sources), len(id.Metadata))
	}
	want := identity.Info{ID: "posteid", Name: "Poste ID", Kind: identity.SPID, Posts: true}
	if got := id.Providers[0].Info(); got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
	if got, err := readIdentity("", nil); err != nil || got.AgeMin != identity.AgeMinDefault ||
		got.Providers != nil {
		t.Errorf("without a file: %+v, %v", got, err)
	}
}

// TestIdentityProvidersRefused: a file that cannot work is refused, with what is wrong.
func TestIdentityProvidersRefused(t *testing.T) {
	good := documented(t)
	for words, file := range map[string]string{
		"no providers":          `{}`,
		"unknown":               `{"smal": {}}`,
		"level_min is none":     strings.Replace(good, `"age_min": 14`, `"level_min": "SpidL4"`, 1),
		"certificate and key":   strings.Replace(good, "saml.crt", "other.crt", 1),
		"metadata_certificate":  strings.Replace(good, `"registry.crt"`, `"saml.key"`, 1),
		"clock_skew":            strings.Replace(good, "30s", "30", 1),
		"clock skew is not":     strings.Replace(good, "30s", "1h", 1),
		"callback is not":       strings.Replace(good, "https://posta", "http://posta", 1),
		`"lepidaid": its ID`:    strings.Replace(good, `"kind": "spid", "entity_id": "https://id`, `"kind": "x", "entity_id": "https://id`, 1),
		"no such file":          strings.Replace(good, `"registry.crt"`, `"none.crt"`, 1),
		"0 identity providers":  strings.Split(good, `"providers"`)[0] + `"providers": []}}`,
		"the organization lack": strings.Replace(good, "r_esempi", "", 1),
	} {
		if _, err := readIdentity(identityDir(t, file), nil); err == nil ||
			!strings.Contains(err.Error(), words) {
			t.Errorf("got %v, want %q", err, words)
		}
	}
	if _, err := readIdentity("/nonexistent/providers.json", nil); err == nil {
		t.Error("a file that is not there is nobody's")
	}
}
