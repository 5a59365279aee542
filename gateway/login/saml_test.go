package login

import (
	"crypto/rand"
	"crypto/rsa"
	"encoding/base64"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/staffetta/staffetta/gateway/identity"
	"github.com/staffetta/staffetta/gateway/identity/saml"
	"github.com/staffetta/staffetta/gateway/session"
	testidp "github.com/staffetta/staffetta/internal/testidp/saml"
)

// samlBench is a bench whose gateways know one provider that speaks SAML.
type samlBench struct {
	*bench
	idp    *testidp.Provider
	entity *saml.Entity
}

func newSAMLBench(t *testing.T) *samlBench {
	t.Helper()
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	signer, err := testidp.NewSigner(key, "both", now)
	if err != nil {
		t.Fatal(err)
	}
	b := &samlBench{bench: newBench(t)}
	clock := func() time.Time { return b.now }
	const ours = "https://inbox.example.it"
	callback := ours + "/api/auth/v1/assertionConsumerService"
	b.idp = &testidp.Provider{EntityID: "https://idp.example.it", Base: "https://idp.example.it",
		Signer: signer, Services: map[string]string{ours: callback}, Now: clock}
	described, err := testidp.Document(b.idp.Metadata())
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "metadata.xml")
	if err := os.WriteFile(file, described, 0o600); err != nil {
		t.Fatal(err)
	}
	b.entity, err = saml.New(saml.Config{EntityID: ours, Callback: callback, Logout: ours + "/slo",
		Key: signer.Key, Certificate: signer.Certificate, Now: clock,
		Organization: saml.Organization{Name: "Ente di prova", URL: ours, IPACode: "c_x000",
			Email: "posta@example.it"}, Source: saml.Source{File: file},
		Remotes: []saml.Remote{{EntityID: b.idp.EntityID, Info: identity.Info{ID: "prova",
			Name: "Prova", Kind: identity.SPID}}}})
	if err != nil {
		t.Fatal(err)
	}
	if err := b.entity.Refresh(t.Context()); err != nil {
		t.Fatal(err)
	}
	logins, err := session.NewLogins(nil)
	if err != nil {
		t.Fatal(err)
	}
	for i := range b.gateways {
		f, err := New(Config{Relay: b.fed, Regions: session.New(b.fed, 0), Logins: logins,
			SessionTTL: ttl, Metadata: b.entity.Metadata(),
			Providers: []identity.Provider{b.entity.Providers()[0]},
			Rules:     identity.Rules{AgeMin: identity.AgeMinDefault, Now: clock}})
		if err != nil {
			t.Fatal(err)
		}
		b.gateways[i] = http.NewServeMux()
		f.Register(b.gateways[i])
	}
	return b
}

// login goes to the provider and brings its answer to the other gateway. It returns where that
// leads, and the request that the provider got.
func (b *samlBench) login(r *http.Request, path string, faults ...testidp.Fault) (string,
	*testidp.Request) {
	b.t.Helper()
	res := b.do(0, r)
	to, err := url.Parse(res.Header.Get("Location"))
	if err != nil || res.StatusCode != http.StatusFound {
		b.t.Fatalf("%s: %s to %s", r.URL, res.Status, to)
	}
	request, err := b.idp.Read(to.Query().Get("SAMLRequest"), true)
	if err != nil {
		b.t.Fatal(err)
	}
	answer, err := b.idp.Answer(request, &testidp.Citizens()[0], faults...)
	if err != nil {
		b.t.Fatal(err)
	}
	form := url.Values{"SAMLResponse": {base64.StdEncoding.EncodeToString(answer)},
		"RelayState": {to.Query().Get("RelayState")}}
	post := httptest.NewRequest(http.MethodPost, path, strings.NewReader(form.Encode()))
	post.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	return b.do(1, post).Header.Get("Location"), request
}

// TestSAML: a login at a provider that speaks SAML, at every path and by both kinds of client, with
// the device's key as the name of the request.
func TestSAML(t *testing.T) {
	b := newSAMLBench(t)
	for _, path := range []string{"/api/auth/v1/assertionConsumerService",
		"/assertionConsumerService", "/login/callback/prova"} {
		to, _ := b.login(get("/login?provider=prova&to=/messages"), path)
		if to != "/messages" || b.cookies[SessionCookie] == nil {
			t.Errorf("%s leads to %q, with cookies %v", path, to, b.cookies)
		}
		clear(b.cookies)
	}
	app := get("/api/auth/v1/login?entityID=prova&authLevel=SpidL2")
	app.Header.Set(keyHeader, ecKey(t))
	to, request := b.login(app, "/api/auth/v1/assertionConsumerService")
	if !strings.HasPrefix(to, "/profile.html#token=") || !strings.HasPrefix(request.ID, "sha256-") {
		t.Errorf("the app is led to %q by the request %s", to, request.ID)
	}
	if n := len(b.fed.logins); n != 4 || b.fed.logins[3].Session.Name != testidp.Citizens()[0].Name {
		t.Errorf("%d logins arrived, want 4", n)
	}
}

// TestSAMLRefusals: what the provider says, or what is wrong with it, is told by the contract's codes.
func TestSAMLRefusals(t *testing.T) {
	b := newSAMLBench(t)
	for name, want := range map[string]string{
		"error-nr25":        "/error.html?errorCode=25&errorMessage=nr25",
		"minor":             "/error.html?errorCode=1001&errorMessage=young",
		"level-below":       "/error.html?errorMessage=level",
		"wrapped-3":         "/error.html?errorMessage=invalid",
		"fiscal-number-vat": "/error.html?errorMessage=not-a-person",
	} {
		fault, ok := testidp.FaultNamed(name)
		if !ok {
			t.Fatal(name)
		}
		to, _ := b.login(get("/api/auth/v1/login?entityID=prova"),
			"/api/auth/v1/assertionConsumerService", fault)
		if to != want || len(b.fed.logins) > 0 {
			t.Errorf("%s leads to %q, want %q", name, to, want)
		}
	}
}

// TestMetadata: shown where somebody speaks SAML, and else not served.
func TestMetadata(t *testing.T) {
	for _, path := range []string{"/metadata", "/api/auth/v1/metadata"} {
		b := newSAMLBench(t)
		res := b.do(0, get(path))
		text, err := io.ReadAll(res.Body)
		if err != nil || res.StatusCode != 200 || string(text) != string(b.entity.Metadata()) ||
			res.Header.Get("Content-Type") != metadataType {
			t.Errorf("%s: %s, %d bytes of %s", path, res.Status, len(text),
				res.Header.Get("Content-Type"))
		}
		if res := newBench(t).do(0, get(path)); res.StatusCode != http.StatusNotImplemented {
			t.Errorf("%s without SAML: %s", path, res.Status)
		}
	}
}
