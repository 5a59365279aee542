package saml

import (
	"bytes"
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"encoding/base64"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/staffetta/staffetta/gateway/identity"
	testidp "github.com/staffetta/staffetta/internal/testidp/saml"
)

// Keys are made once: an RSA key takes a while.
var (
	entityKey   = sync.OnceValue(newRSA)
	providerKey = sync.OnceValue(newRSA)
	otherKey    = sync.OnceValue(newRSA)
)

func newRSA() crypto.Signer {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		panic(err)
	}
	return key
}

func newECDSA() crypto.Signer {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		panic(err)
	}
	return key
}

const (
	ourEntity   = "https://inbox.example.it"
	ourCallback = "https://inbox.example.it/assertionConsumerService"
	idpEntity   = "https://idp.example.it"
)

var start = time.Date(2026, 11, 3, 9, 30, 0, 0, time.UTC)

// clock is a wall clock that tests move.
type clock struct{ at time.Time }

func (c *clock) now() time.Time { return c.at }

// fixture is an entity, a provider that it knows, and a clock of both.
type fixture struct {
	clock  *clock
	config Config
	entity *Entity
	idp    *testidp.Provider
}

func signer(t testing.TB, key crypto.Signer, name string) *testidp.Signer {
	t.Helper()
	s, err := testidp.NewSigner(key, name, start)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// newFixture makes one whose provider has that key; change may change the configuration.
func newFixture(t testing.TB, key crypto.Signer, change func(*Config)) *fixture {
	t.Helper()
	f := &fixture{clock: &clock{start}}
	f.idp = &testidp.Provider{EntityID: idpEntity, Base: "https://idp.example.it/saml",
		Signer: signer(t, key, "provider"), Services: map[string]string{ourEntity: ourCallback},
		Now: f.clock.now}
	ours := signer(t, entityKey(), "entity")
	f.config = Config{EntityID: ourEntity, Callback: ourCallback,
		Logout: "https://inbox.example.it/slo", Key: ours.Key, Certificate: ours.Certificate,
		Organization: Organization{Name: "Ente di prova", URL: "https://example.it",
			IPACode: "c_x000", Email: "posta@example.it"},
		Source: Source{File: filepath.Join(t.TempDir(), "metadata.xml")},
		Remotes: []Remote{{Info: identity.Info{ID: "prova", Name: "Prova", Kind: identity.SPID},
			EntityID: idpEntity}},
		Now: f.clock.now}
	if change != nil {
		change(&f.config)
	}
	f.publish(t, document(t, f.idp))
	entity, err := New(f.config)
	if err != nil {
		t.Fatal(err)
	}
	f.entity = entity
	if err := entity.Refresh(context.Background()); err != nil {
		t.Fatal(err)
	}
	return f
}

func document(t testing.TB, p *testidp.Provider) []byte {
	t.Helper()
	text, err := testidp.Document(p.Metadata())
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// publish makes a document the provider's metadata.
func (f *fixture) publish(t testing.TB, text []byte) {
	t.Helper()
	if err := os.WriteFile(f.config.Source.File, text, 0o600); err != nil {
		t.Fatal(err)
	}
}

// login is one that has begun.
type login struct {
	*fixture
	begin   identity.Begin
	started *identity.Started
	request *testidp.Request
}

func (f *fixture) begin(t testing.TB, level identity.Level, name string) *login {
	t.Helper()
	l := &login{fixture: f, begin: identity.Begin{State: strings.Repeat("5", 64),
		Nonce: strings.Repeat("7", 64), Level: level, Request: name}}
	var err error
	if l.started, err = f.entity.Providers()[0].Begin(context.Background(), l.begin); err != nil {
		t.Fatal(err)
	}
	u, err := url.Parse(l.started.URL)
	if err != nil {
		t.Fatal(err)
	}
	encoded, compressed := u.Query().Get("SAMLRequest"), true
	if l.started.Fields != nil {
		encoded, compressed = l.started.Fields["SAMLRequest"], false
	}
	if l.request, err = f.idp.Read(encoded, compressed); err != nil {
		t.Fatal(err)
	}
	return l
}

// answer is the provider's, with the faults.
func (l *login) answer(t testing.TB, faults ...testidp.Fault) []byte {
	t.Helper()
	text, err := l.idp.Answer(l.request, &testidp.Citizens()[0], faults...)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// finish ends the login with a response.
func (l *login) finish(response []byte) (*identity.Assertion, error) {
	return l.entity.Providers()[0].Finish(context.Background(), &identity.Answer{Begin: l.begin,
		Pending: l.started.Pending, Form: url.Values{
			"SAMLResponse": {base64.StdEncoding.EncodeToString(response)},
			"RelayState":   {l.begin.State}}})
}

// refused holds an error to a reason and to words of its detail.
func refused(t *testing.T, err error, reason identity.Reason, words string) {
	t.Helper()
	if err == nil {
		t.Fatalf("accepted, want refused: %s: %s", reason, words)
	}
	r, ok := err.(*identity.Refusal)
	if !ok {
		t.Fatalf("got %T, want a refusal", err)
	}
	if r.Reason != reason || !strings.Contains(r.Detail, words) {
		t.Errorf("got %s: %s, want %s: %s", r.Reason, r.Detail, reason, words)
	}
	for _, secret := range []string{testidp.Citizens()[0].Code, testidp.Citizens()[9].Code} {
		if bytes.Contains([]byte(err.Error()), []byte(secret)) {
			t.Error("the refusal names a fiscal code")
		}
	}
}
