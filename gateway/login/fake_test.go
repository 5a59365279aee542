package login

import (
	"context"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/staffetta/staffetta/gateway/identity"
	"github.com/staffetta/staffetta/gateway/session"
	"github.com/staffetta/staffetta/internal/codec"
	"github.com/staffetta/staffetta/internal/fiscalcode"
	"github.com/staffetta/staffetta/wire"
)

var now = time.Date(2026, 12, 1, 12, 0, 0, 0, time.UTC)

const ttl = 30 * 24 * time.Hour

// federation is one region that takes every login, and its directory.
type federation struct {
	hasher *wire.Hasher
	logins []wire.OpenSession
	fault  error
}

var lazio = wire.Region{ID: "lazio", Tag: 12}

func (f *federation) Hasher() *wire.Hasher                           { return f.hasher }
func (f *federation) Home() wire.Region                              { return lazio }
func (f *federation) RegionByTag(wire.RegionTag) (wire.Region, bool) { return lazio, true }
func (f *federation) RegionByID(wire.RegionID) (wire.Region, bool)   { return lazio, true }
func (f *federation) RegionOf(context.Context, fiscalcode.Code) (wire.RegionID, bool, error) {
	return lazio.ID, true, nil
}

func (f *federation) CallRegion(_ context.Context, _ wire.RegionID, _ wire.Method,
	req, _ codec.Message) error {
	if f.fault != nil {
		return f.fault
	}
	f.logins = append(f.logins, *req.(*wire.OpenSession))
	return nil
}

// provider says what a test wants.
type provider struct {
	info    identity.Info
	begun   []identity.Begin
	started identity.Started
	asked   []*identity.Answer
	says    identity.Assertion
	fault   error
}

func (p *provider) Info() identity.Info { return p.info }

func (p *provider) Begin(_ context.Context, b identity.Begin) (*identity.Started, error) {
	p.begun = append(p.begun, b)
	s := p.started
	return &s, p.fault
}

func (p *provider) Finish(_ context.Context, a *identity.Answer) (*identity.Assertion, error) {
	p.asked = append(p.asked, a)
	says := p.says
	return &says, p.fault
}

func newProvider(id string) *provider {
	code := "RSSMRA80A01M500"
	code += string(fiscalcode.CheckCharacter(code))
	return &provider{info: identity.Info{ID: id, Name: "Il " + id, Kind: identity.SPID},
		started: identity.Started{URL: "https://" + id + ".example/authorize",
			Pending: []byte("of " + id)},
		says: identity.Assertion{FiscalNumber: "TINIT-" + code, Name: "Mario",
			FamilyName: "Rossi", DateOfBirth: "1980-01-01", Level: identity.Level2.URL()}}
}

// bench is two gateways of one federation, and a browser.
type bench struct {
	t        *testing.T
	fed      *federation
	uno, due *provider
	gateways [2]*http.ServeMux
	cookies  map[string]*http.Cookie
	now      time.Time
}

func newBench(t *testing.T) *bench {
	b := &bench{t: t, fed: &federation{hasher: wire.NewHasher(wire.DirectoryKey{1})},
		uno: newProvider("uno"), due: newProvider("due"), now: now,
		cookies: map[string]*http.Cookie{}}
	for i := range b.gateways {
		b.gateways[i] = b.gateway(b.fed)
	}
	return b
}

func (b *bench) gateway(fed *federation) *http.ServeMux {
	b.t.Helper()
	logins, err := session.NewLogins(nil)
	if err != nil {
		b.t.Fatal(err)
	}
	f, err := New(Config{Relay: fed, Regions: session.New(fed, 0), Logins: logins,
		SessionTTL: ttl, Providers: []identity.Provider{b.uno, b.due},
		Rules: identity.Rules{AgeMin: identity.AgeMinDefault,
			Now: func() time.Time { return b.now }}})
	if err != nil {
		b.t.Fatal(err)
	}
	mux := http.NewServeMux()
	f.Register(mux)
	return mux
}

// do is the browser's: it brings its cookies and keeps those that it is given.
func (b *bench) do(gateway int, r *http.Request) *http.Response {
	b.t.Helper()
	for _, c := range b.cookies {
		r.AddCookie(c)
	}
	w := httptest.NewRecorder()
	b.gateways[gateway].ServeHTTP(w, r)
	res := w.Result()
	for _, c := range res.Cookies() {
		if !c.Secure || !c.HttpOnly || c.Path != "/" || c.Domain != "" ||
			!strings.HasPrefix(c.Name, "__Host-") {
			b.t.Errorf("the cookie %s is open to others: %s", c.Name, c)
		}
		if c.MaxAge < 0 {
			delete(b.cookies, c.Name)
		} else {
			b.cookies[c.Name] = c
		}
	}
	return res
}

func get(target string) *http.Request { return httptest.NewRequest("GET", target, nil) }

// begin begins a login, and returns its state.
func (b *bench) begin(gateway int, r *http.Request) (state string) {
	b.t.Helper()
	before := len(b.uno.begun)
	res := b.do(gateway, r)
	if res.StatusCode != http.StatusFound || len(b.uno.begun) != before+1 {
		b.t.Fatalf("%s: %s", r.URL, res.Status)
	}
	if got := res.Header.Get("Location"); got != b.uno.started.URL {
		b.t.Fatalf("%s leads to %q", r.URL, got)
	}
	return b.uno.begun[before].State
}

// finish brings a provider's answer, and returns where it leads.
func (b *bench) finish(gateway int, id, state string) string {
	b.t.Helper()
	res := b.do(gateway, get("/login/callback/"+id+"?"+
		url.Values{"state": {state}, "code": {"c"}}.Encode()))
	if res.StatusCode != http.StatusFound && res.StatusCode != http.StatusSeeOther {
		b.t.Fatalf("the answer is met with %s", res.Status)
	}
	if got := res.Header.Get("Cache-Control"); got != "no-store" {
		b.t.Errorf("the answer may be kept: %q", got)
	}
	return res.Header.Get("Location")
}

// refused checks that a login was refused, and that it left nothing.
func (b *bench) refused(what, location string, reason identity.Reason) {
	b.t.Helper()
	want := refusedAddress(identity.Refuse(reason, ""))
	if location != want {
		b.t.Errorf("%s: leads to %q, want %q", what, location, want)
	}
	if len(b.fed.logins) > 0 || b.cookies[SessionCookie] != nil {
		b.t.Errorf("%s: a session was opened", what)
	}
}
