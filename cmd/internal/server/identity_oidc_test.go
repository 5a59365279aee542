package server

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/staffetta/staffetta/gateway/identity"
)

// documentedOIDC is the example of docs/operating.md.
func documentedOIDC(t *testing.T) string {
	t.Helper()
	text, err := os.ReadFile("../../../docs/operating.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, block := range strings.Split(string(text), "```json\n")[1:] {
		if block, _, _ = strings.Cut(block, "```"); strings.Contains(block, `"oidc"`) {
			return block
		}
	}
	t.Fatal("docs/operating.md has no example of providers of OpenID Connect")
	return ""
}

func withSecret(t *testing.T, file string) string {
	t.Helper()
	name := identityDir(t, file)
	secret := filepath.Join(filepath.Dir(name), "hub.secret")
	if err := os.WriteFile(secret, []byte("s3cret\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	return name
}

func TestOIDCProviders(t *testing.T) {
	id, err := readIdentity(withSecret(t, documentedOIDC(t)), nil)
	if err != nil {
		t.Fatal(err)
	}
	if len(id.Providers) != 2 || len(id.Sources) != 2 {
		t.Fatalf("got %d providers, %d sources", len(id.Providers), len(id.Sources))
	}
	want := identity.Info{ID: "hub", Name: "Hub nazionale", Kind: identity.OIDC}
	if got := id.Providers[0].Info(); got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
}

func TestOIDCProvidersRefused(t *testing.T) {
	good := documentedOIDC(t)
	for words, change := range map[string][2]string{
		"address without TLS":   {"https://posta", "http://posta"},
		`"hub": issuer`:         {"https://hub.example", "http://hub.example"},
		"secret: open":          {"hub.secret", "none.secret"},
		"key: saml.crt: no pri": {"saml.key", "saml.crt"},
		"the client's id":       {`"client_id": "staffetta",`, ``},
		"either a secret or":    {`"secret": "hub.secret",`, ``},
		"unknown object member": {`"scopes"`, `"scope"`},
	} {
		bad := strings.Replace(good, change[0], change[1], 1)
		if bad == good {
			t.Fatalf("%s: the example has no %s", words, change[0])
		}
		if _, err := readIdentity(withSecret(t, bad), nil); err == nil ||
			!strings.Contains(err.Error(), words) {
			t.Errorf("got %v, want %q", err, words)
		}
	}
}
