package oidc

import (
	"context"
	"crypto/rand"
	"crypto/rsa"
	"errors"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/staffetta/staffetta/gateway/identity"
	"github.com/staffetta/staffetta/gateway/identity/jwt"
	"github.com/staffetta/staffetta/internal/testidp"
)

const redirect = "http://127.0.0.1:1/login/callback/test"

// bench is a provider that may be wrong, and ours that speaks with it.
type bench struct {
	t      *testing.T
	idp    *testidp.Provider
	server *httptest.Server
	ours   *Provider

	mu  sync.Mutex
	now time.Time
}

var ourKey = sync.OnceValue(func() *jwt.Private {
	k, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		panic(err)
	}
	rsaKey = k
	p, err := jwt.NewPrivate(k)
	if err != nil {
		panic(err)
	}
	return p
})

var rsaKey *rsa.PrivateKey

func newBench(t *testing.T, form testidp.Userinfo) *bench {
	b := &bench{t: t, now: time.Now()}
	b.server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		b.idp.ServeHTTP(w, r)
	}))
	t.Cleanup(b.server.Close)
	idp := testidp.Config{Issuer: b.server.URL, ClientID: "https://us.example", Userinfo: form,
		Now: b.clock}
	cfg := Config{Info: identity.Info{ID: "test", Name: "Test", Kind: identity.OIDC},
		Dialect: Plain, Names: StandardNames, ClientID: idp.ClientID, Redirect: redirect,
		Now: b.clock, Client: &http.Client{Timeout: time.Minute,
			CheckRedirect: NewClient().CheckRedirect}}
	cfg.Source = Discover(b.server.URL, "test", cfg.Client, b.clock)
	switch form {
	case testidp.JSON:
		idp.Secret, cfg.Secret = "s&cret", "s&cret"
	case testidp.Nested:
		cfg.Key = ourKey()
		cfg.Decrypts, idp.EncryptTo = []*jwt.Private{cfg.Key}, &rsaKey.PublicKey
		cfg.Dialect.EncryptedUserinfo = true
		fallthrough
	case testidp.Signed:
		cfg.Key = ourKey()
		cfg.Dialect.SignedUserinfo = true
	}
	b.idp = testidp.New(idp)
	var err error
	if b.ours, err = New(cfg); err != nil {
		t.Fatal(err)
	}
	return b
}

func (b *bench) clock() time.Time {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.now
}

func (b *bench) pass(d time.Duration) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.now = b.now.Add(d)
}

var start = identity.Begin{State: strings.Repeat("5", 64), Nonce: strings.Repeat("6", 64),
	Level: identity.Level2}

// begin begins a login, and lets the browser be the first citizen.
func (b *bench) begin(fault testidp.Fault) *identity.Answer {
	b.t.Helper()
	started, err := b.ours.Begin(b.t.Context(), start)
	if err != nil {
		b.t.Fatal(err)
	}
	client := &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error {
		return http.ErrUseLastResponse
	}}
	resp, err := client.PostForm(started.URL, url.Values{"citizen": {"0"},
		"fault": {string(fault)}})
	if err != nil {
		b.t.Fatal(err)
	}
	resp.Body.Close()
	to, err := resp.Location()
	if err != nil || !strings.HasPrefix(to.String(), redirect+"?") {
		b.t.Fatalf("the provider answers %s: %v", resp.Status, err)
	}
	return &identity.Answer{Begin: start, Form: to.Query(), Pending: started.Pending}
}

func (b *bench) login(fault testidp.Fault) (*identity.Identity, error) {
	b.t.Helper()
	a := b.begin(fault)
	if a.Form.Get("state") != start.State { // package login finds nothing under it
		return nil, identity.Refuse(identity.Stray, "")
	}
	says, err := b.ours.Finish(b.t.Context(), a)
	if err != nil {
		return nil, err
	}
	rules := identity.Rules{AgeMin: identity.AgeMinDefault, Now: b.clock}
	return rules.Accept(b.ours.Info(), says, identity.Asked{Level: identity.Level2})
}

func reasonOf(err error) identity.Reason {
	if r := (*identity.Refusal)(nil); errors.As(err, &r) {
		return r.Reason
	}
	return ""
}

func TestLogin(t *testing.T) {
	for _, form := range []testidp.Userinfo{testidp.JSON, testidp.Signed, testidp.Nested} {
		b := newBench(t, form)
		want := testidp.Citizens(0)[0]
		id, err := b.login("")
		if err != nil {
			t.Errorf("userinfo %d: %v", form, err)
			continue
		}
		if string(id.Code) != want.Code || id.Name != want.Name || id.FamilyName != want.FamilyName ||
			id.DateOfBirth != want.DateOfBirth || id.Email != want.Email ||
			id.Level != identity.Level2 {
			t.Errorf("userinfo %d: got %+v, want %+v", form, id, want)
		}
		e := id.Evidence
		documents := 1
		if form != testidp.JSON {
			documents = 2
		}
		if e.Issuer != b.server.URL || e.Subject == "" || e.ResponseID == "" ||
			e.IssuedAt.IsZero() || len(e.Documents) != documents {
			t.Errorf("userinfo %d: evidence %+v", form, e)
		}
	}
}

// Every way to be wrong is refused, for its own reason.
func TestFaults(t *testing.T) {
	want := map[testidp.Fault]identity.Reason{testidp.WrongState: identity.Stray,
		testidp.Denied: identity.Cancelled, testidp.LevelBelow: identity.Weak,
		testidp.NoLevel: identity.Weak, testidp.Minor: identity.Young,
		testidp.NoBirth: identity.Incomplete}
	for _, f := range []testidp.Fault{testidp.Company, testidp.CompanyOnly, testidp.Eleven,
		testidp.NoPrefix, testidp.LowerCase, testidp.LookAlike} {
		want[f] = identity.NotPerson
	}
	b := newBench(t, testidp.Nested)
	if _, err := b.login(""); err != nil { // whose ID token is replayed below
		t.Fatal(err)
	}
	for _, f := range testidp.Faults() {
		reason := want[f]
		if reason == "" {
			reason = identity.Invalid
		}
		id, err := b.login(f)
		if got := reasonOf(err); id != nil || got != reason {
			t.Errorf("%s: %v, want %s", f, err, reason)
		}
		if _, err := b.login(""); err != nil {
			t.Fatalf("after %s: %v", f, err)
		}
	}
}

// A code is taken once.
func TestCodeOnce(t *testing.T) {
	b := newBench(t, testidp.JSON)
	a := b.begin("")
	if _, err := b.ours.Finish(t.Context(), a); err != nil {
		t.Fatal(err)
	}
	if _, err := b.ours.Finish(t.Context(), a); reasonOf(err) != identity.Invalid {
		t.Errorf("again: %v", err)
	}
	a = b.begin("")
	a.Pending = []byte("another verifier")
	if _, err := b.ours.Finish(t.Context(), a); reasonOf(err) != identity.Invalid {
		t.Errorf("with another verifier: %v", err)
	}
}

// Whatever its servers answer, a login fails and the gateway goes on.
func TestBroken(t *testing.T) {
	for _, place := range []string{"discovery", "jwks", "token", "userinfo"} {
		for _, f := range []testidp.Fault{testidp.Slow, testidp.Huge, testidp.Garbage,
			testidp.Down, testidp.Redirect} {
			b := newBench(t, testidp.JSON)
			if place == "token" || place == "userinfo" { // what is published is known
				if _, err := b.ours.Begin(t.Context(), start); err != nil {
					t.Fatal(err)
				}
			}
			b.idp.Break(place, f)
			if f == testidp.Slow && place == "userinfo" {
				continue // behind an exchange that is not slow; the client's bound is the same
			}
			if f == testidp.Slow {
				b.ours.cfg.Client.Timeout = 100 * time.Millisecond
			}
			var err error
			if place == "discovery" || place == "jwks" {
				_, err = b.ours.Begin(t.Context(), start)
			} else {
				_, err = b.login("")
			}
			reason := identity.Away
			if place == "userinfo" && (f == testidp.Garbage || f == testidp.Redirect) {
				reason = identity.Invalid
			}
			if got := reasonOf(err); got != reason {
				t.Errorf("%s %s: %v, want %s", place, f, err, reason)
			}
			b.idp.Break(place, "")
			b.ours.cfg.Client.Timeout = time.Minute
			b.pass(askAgain)
			if _, err := b.login(""); err != nil {
				t.Errorf("after %s %s: %v", place, f, err)
			}
		}
	}
}

// Keys roll: the new one is fetched, the old one holds for a login that is under way.
func TestRoll(t *testing.T) {
	b := newBench(t, testidp.Signed)
	if _, err := b.login(""); err != nil {
		t.Fatal(err)
	}
	b.pass(askAgain)
	b.idp.Roll(true)
	if _, err := b.login(""); err != nil {
		t.Errorf("under the new key: %v", err)
	}
	b.idp.Roll(false)
	if _, err := b.login(""); reasonOf(err) != identity.Invalid {
		t.Errorf("the keys are fetched as often as a token asks: %v", err)
	}
	b.pass(askAgain)
	if _, err := b.login(""); err != nil {
		t.Errorf("under the newest key: %v", err)
	}
}

// The last good copy is kept while no newer one can be had.
func TestLastGoodCopy(t *testing.T) {
	b := newBench(t, testidp.JSON)
	source := b.ours.cfg.Source.(*Kept)
	if err := source.Refresh(t.Context()); err != nil {
		t.Fatal(err)
	}
	for _, f := range []testidp.Fault{testidp.Down, testidp.Garbage, testidp.Huge} {
		b.pass(keepFor + time.Hour)
		b.idp.Break("discovery", f)
		if err := source.Refresh(t.Context()); err == nil {
			t.Errorf("a refresh is done while discovery is %s", f)
		}
		if _, err := b.login(""); err != nil {
			t.Errorf("while discovery is %s: %v", f, err)
		}
	}
}

func TestConfig(t *testing.T) {
	good := Config{Source: Discover("https://a.example", "a", nil, nil), ClientID: "us", Secret: "s",
		Redirect: "https://us.example/back"}
	if _, err := New(good); err != nil {
		t.Error(err)
	}
	for name, change := range map[string]func(*Config){
		"no source":         func(c *Config) { c.Source = nil },
		"no client":         func(c *Config) { c.ClientID = "" },
		"no secret":         func(c *Config) { c.Secret = "" },
		"secret and key":    func(c *Config) { c.Key = ourKey() },
		"unsigned":          func(c *Config) { c.Dialect.SignedRequest = true },
		"redirect in clear": func(c *Config) { c.Redirect = "http://us.example/back" },
		"no redirect":       func(c *Config) { c.Redirect = "" },
	} {
		cfg := good
		change(&cfg)
		if _, err := New(cfg); err == nil {
			t.Errorf("%s passes", name)
		}
	}
}

func TestAddresses(t *testing.T) {
	for address, want := range map[string]bool{"https://a.example/b": true,
		"http://127.0.0.1:80/b": true, "http://[::1]/": true, "http://localhost": true,
		"http://a.example": false, "ftp://a.example": false, "https://u:p@a.example": false,
		"https://a.example/#b": false, "//a.example": false, "": false, "javascript:alert(1)": false,
		"http://127.0.0.1.evil.example": false, "http://localhost.evil.example": false} {
		if err := CheckAddress(address); (err == nil) != want {
			t.Errorf("%q: %v", address, err)
		}
	}
}

// A signed request says all of it, and repeats only what is to stand outside.
func TestSignedRequest(t *testing.T) {
	b := newBench(t, testidp.Nested)
	b.ours.cfg.Dialect.SignedRequest = true
	b.ours.cfg.Dialect.Outside = []string{"client_id", "response_type"}
	b.ours.cfg.Dialect.AskClaims = true
	started, err := b.ours.Begin(context.Background(), start)
	if err != nil {
		t.Fatal(err)
	}
	u, _ := url.Parse(started.URL)
	q := u.Query()
	if len(q) != 3 || q.Get("client_id") != "https://us.example" || q.Get("response_type") != "code" {
		t.Errorf("beside the request: %v", q)
	}
	set, err := jose(b.ours.cfg.Key)
	if err != nil {
		t.Fatal(err)
	}
	c, err := jwt.Verify(q.Get("request"), set)
	if err != nil {
		t.Fatal(err)
	}
	if err := c.CheckAudience(b.server.URL); err != nil || c.Text("state") != start.State ||
		c.Text("nonce") != start.Nonce || c.Text("acr_values") != identity.Level2.URL() ||
		c.Text("redirect_uri") != redirect || c.Text("code_challenge_method") != "S256" ||
		!c.Child("claims").Child("userinfo").Has(StandardNames.FiscalNumber) ||
		c.CheckTimes(b.clock(), time.Minute) != nil {
		t.Errorf("the request says %v, %v", c, err)
	}
}

// jose is the public half of a key as a set.
func jose(k *jwt.Private) (*jwt.Keys, error) {
	public := k.Public("sig")
	text, err := public.MarshalJSON()
	if err != nil {
		return nil, err
	}
	return jwt.ParseKeys([]byte(`{"keys":[` + string(text) + `]}`))
}
