package saml

import (
	"bytes"
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/beevik/etree"

	"github.com/staffetta/staffetta/gateway/identity"
	testidp "github.com/staffetta/staffetta/internal/testidp/saml"
)

// get and postForm are a browser's.
func get(t *testing.T, address string) string {
	t.Helper()
	resp, err := http.Get(address)
	return body(t, resp, err)
}

func postForm(t *testing.T, address string, form map[string][]string) string {
	t.Helper()
	resp, err := http.PostForm(address, form)
	return body(t, resp, err)
}

func body(t *testing.T, resp *http.Response, err error) string {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode != http.StatusOK {
		t.Fatalf("%d %s %v", resp.StatusCode, text, err)
	}
	return string(text)
}

// certificates are the entity's own.
func (e *Entity) certificates() []*x509.Certificate {
	return []*x509.Certificate{e.cfg.Certificate}
}

// signedBy signs metadata as a registry does.
func signedBy(t *testing.T, s *testidp.Signer, root *etree.Element) []byte {
	t.Helper()
	text, err := sign(root, &Config{Key: s.Key, Certificate: s.Certificate})
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// TestKeysRoll: while a provider changes its key, answers by the old one and by the new one are
// believed; the old one not for ever.
func TestKeysRoll(t *testing.T) {
	f := newFixture(t, providerKey(), nil)
	old := f.idp.Signer
	next := signer(t, otherKey(), "next")
	answered := func(by *testidp.Signer) error {
		l := f.begin(t, identity.Level2, "")
		f.idp.Signer = by
		_, err := l.finish(l.answer(t))
		return err
	}
	refused(t, answered(next), identity.Invalid, "by none of the provider's certificates")

	f.idp.Signer = next
	f.publish(t, document(t, f.idp))
	if err := f.entity.Refresh(context.Background()); err != nil {
		t.Fatal(err)
	}
	f.clock.at = f.clock.at.Add(rolling - time.Hour)
	if err := f.entity.Refresh(context.Background()); err != nil { // must not start anew
		t.Fatal(err)
	}
	for _, by := range []*testidp.Signer{old, next} {
		if err := answered(by); err != nil {
			t.Errorf("by %s: %v", by.Certificate.Subject, err)
		}
	}
	f.clock.at = f.clock.at.Add(time.Hour)
	refused(t, answered(old), identity.Invalid, "by none of the provider's certificates")
	if err := answered(next); err != nil {
		t.Error(err)
	}
}

// TestBothKeysDescribed: metadata may describe both from the start.
func TestBothKeysDescribed(t *testing.T) {
	f := newFixture(t, providerKey(), nil)
	next := signer(t, otherKey(), "next")
	text, err := testidp.Document(f.idp.Metadata(next.Certificate))
	if err != nil {
		t.Fatal(err)
	}
	f.publish(t, text)
	if err := f.entity.Refresh(context.Background()); err != nil {
		t.Fatal(err)
	}
	for _, by := range []*testidp.Signer{f.idp.Signer, next} {
		l := f.begin(t, identity.Level2, "")
		f.idp.Signer = by
		if _, err := l.finish(l.answer(t)); err != nil {
			t.Errorf("by %s: %v", by.Certificate.Subject, err)
		}
	}
}

// TestExpiredCertificate: what a provider signs with an expired certificate is refused, in words
// that an operator can act on.
func TestExpiredCertificate(t *testing.T) {
	f := newFixture(t, providerKey(), nil)
	expired, err := testidp.NewSignerUntil(otherKey(), "provider", start.AddDate(-1, 0, 0),
		start.Add(-time.Hour))
	if err != nil {
		t.Fatal(err)
	}
	f.idp.Signer = expired
	f.publish(t, document(t, f.idp))
	if err := f.entity.Refresh(context.Background()); err != nil {
		t.Fatal(err)
	}
	l := f.begin(t, identity.Level2, "")
	_, err = l.finish(l.answer(t))
	refused(t, err, identity.Invalid, "to 2026-11-03")
}

// TestLastGoodCopy: metadata that cannot be had, or read, takes nothing away.
func TestLastGoodCopy(t *testing.T) {
	f := newFixture(t, providerKey(), nil)
	good := document(t, f.idp)
	for name, text := range map[string]string{
		"nothing":    "",
		"no XML":     "<html><p>Manutenzione</html>",
		"other XML":  "<html/>",
		"a doctype":  "<!DOCTYPE x>" + string(good),
		"others":     strings.ReplaceAll(string(good), idpEntity, "https://other.example"),
		"no key":     strings.ReplaceAll(string(good), `use="signing"`, `use="encryption"`),
		"no address": strings.ReplaceAll(string(good), "https://idp.example.it/saml/sso", "http://x.it/"),
		"outdated": strings.Replace(string(good), "<md:EntityDescriptor",
			`<md:EntityDescriptor validUntil="2026-11-03T09:30:00Z"`, 1),
		"a broken certificate": strings.Replace(string(good), "MII", "QUI", 1),
	} {
		t.Run(name, func(t *testing.T) {
			f.publish(t, []byte(text))
			if err := f.entity.Refresh(context.Background()); err == nil {
				t.Error("nobody says that the metadata cannot be used")
			}
			l := f.begin(t, identity.Level2, "")
			if _, err := l.finish(l.answer(t)); err != nil {
				t.Error(err)
			}
		})
	}
}

// TestMetadataOutlived: a copy that says until when it holds is not believed any longer.
func TestMetadataOutlived(t *testing.T) {
	f := newFixture(t, providerKey(), nil)
	f.publish(t, []byte(strings.Replace(string(document(t, f.idp)), "<md:EntityDescriptor",
		`<md:EntityDescriptor validUntil="2026-11-04T00:00:00Z"`, 1)))
	if err := f.entity.Refresh(context.Background()); err != nil {
		t.Fatal(err)
	}
	f.begin(t, identity.Level2, "")
	f.clock.at = start.AddDate(0, 0, 1)
	_, err := f.entity.Providers()[0].Begin(context.Background(),
		identity.Begin{Level: identity.Level2})
	refused(t, err, identity.Away, "not known")
}

// TestRegistry: of a registry's metadata, large as it is, what it signed is believed, and nothing
// that somebody else signed or nobody did.
func TestRegistry(t *testing.T) {
	registry := signer(t, otherKey(), "registry")
	f := newFixture(t, providerKey(), nil)
	all := etree.NewElement("md:EntitiesDescriptor")
	all.CreateAttr("xmlns:md", nsMetadata)
	for i := range 40 {
		other := *f.idp
		other.EntityID = fmt.Sprintf("https://idp%d.example.it", i)
		if i == 20 {
			other.EntityID = idpEntity
		}
		entity := other.Metadata()
		for j := range 40 {
			entity.CreateElement("md:AdditionalMetadataLocation").SetText(fmt.Sprint(j))
		}
		all.AddChild(entity)
	}
	fetched := []byte(nil)
	cfg := f.config
	cfg.Source = Source{URL: "https://registry.example.it/metadata",
		Certificate: registry.Certificate}
	cfg.Fetch = func(_ context.Context, address string, max int64) ([]byte, error) {
		if address != cfg.Source.URL || max < int64(len(fetched)) {
			return nil, errors.New("another address, or too long")
		}
		return fetched, nil
	}
	s, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	known := func() bool {
		r, _ := s.registry.of(idpEntity, start)
		return r != nil
	}
	good := signedBy(t, registry, all.Copy())
	for name, text := range map[string][]byte{
		"unsigned":  document(t, f.idp),
		"another's": signedBy(t, f.idp.Signer, all.Copy()),
		"changed":   bytes.Replace(good, []byte("idp.example.it/saml"), []byte("evl.example.it/saml"), 1),
	} {
		fetched = text
		if err := s.Refresh(context.Background()); err == nil || known() {
			t.Errorf("%s: error %v, known %t", name, err, known())
		}
	}
	fetched = good
	if err := s.Refresh(context.Background()); err != nil || !known() {
		t.Errorf("the registry's: error %v, known %t", err, known())
	}
}

// TestExpiries: what can end logins, and when.
func TestExpiries(t *testing.T) {
	f := newFixture(t, providerKey(), nil)
	soon, err := testidp.NewSignerUntil(otherKey(), "soon", start, start.AddDate(0, 0, 20))
	if err != nil {
		t.Fatal(err)
	}
	f.idp.Signer = soon
	f.publish(t, document(t, f.idp))
	if err := f.entity.Refresh(context.Background()); err != nil {
		t.Fatal(err)
	}
	got := f.entity.Expiries()
	want := []identity.Expiry{{Provider: "prova", What: "the certificate", At: start.AddDate(0, 0, 20)},
		{What: "our certificate", At: start.AddDate(1, 0, 0)}}
	if len(got) != 2 || got[0] != want[0] || got[1] != want[1] {
		t.Errorf("got %v, want %v", got, want)
	}
}

// TestConfig: everything that cannot work is said at once.
func TestConfig(t *testing.T) {
	f := newFixture(t, providerKey(), nil)
	for words, change := range map[string]func(*Config){
		"entity ID is not an https":  func(c *Config) { c.EntityID = "inbox" },
		"callback is not an https":   func(c *Config) { c.Callback = "http://inbox.example.it/" },
		"logout is not an https":     func(c *Config) { c.Logout = "" },
		"not an RSA key":             func(c *Config) { c.Key = newECDSA() },
		"certificate is not the key": func(c *Config) { c.Key = otherKey() },
		"organization lacks":         func(c *Config) { c.Organization.IPACode = "" },
		"no file and no address":     func(c *Config) { c.Source = Source{} },
		"metadata is not https":      func(c *Config) { c.Source.URL = "ftp://x" },
		"0 identity providers":       func(c *Config) { c.Remotes = nil },
		`provider "Prova": its ID`: func(c *Config) {
			c.Remotes = []Remote{{Info: identity.Info{ID: "Prova", Kind: identity.SPID}, EntityID: "x"}}
		},
		"clock skew is not within":    func(c *Config) { c.Skew = SkewMax + 1 },
		`provider "prova": its ID, k`: func(c *Config) { c.Remotes = append(c.Remotes[:1:1], c.Remotes[0]) },
	} {
		c := f.config
		change(&c)
		if _, err := New(c); err == nil || !strings.Contains(err.Error(), words) {
			t.Errorf("got %v, want %q", err, words)
		}
	}
	if _, err := New(Config{}); err == nil || strings.Count(err.Error(), "\n") < 6 {
		t.Errorf("an empty configuration: %v", err)
	}
}

// TestSkewMax: both readers allow the same skew at most.
func TestSkewMax(t *testing.T) {
	f := newFixture(t, providerKey(), func(c *Config) { c.Skew = SkewMax })
	l := f.begin(t, identity.Level2, "")
	ahead := start.Add(SkewMax).Format(time.RFC3339)
	r := testidp.NewResponse(idpEntity, l.request, &testidp.Citizens()[0], start)
	r.IssueInstant, r.AssertionIssueInstant, r.NotBefore = ahead, ahead, ahead
	tree, err := r.Tree(f.idp.Signer)
	if err != nil {
		t.Fatal(err)
	}
	text, err := testidp.Document(tree)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := l.finish(text); err != nil {
		t.Error(err)
	}
}
