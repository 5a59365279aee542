package login

import (
	"html"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/staffetta/staffetta/gateway/identity"
	"github.com/staffetta/staffetta/gateway/session"
	"github.com/staffetta/staffetta/internal/openapitest"
	"github.com/staffetta/staffetta/wire"
)

// An app begins at one gateway and ends at the other.
func TestApp(t *testing.T) {
	for _, path := range []string{"/api/auth/v1/login", "/login"} {
		b := newBench(t)
		r := get(path + "?entityID=uno&authLevel=SpidL2")
		r.Header.Set(keyHeader, ecKey(t))
		state := b.begin(0, r)
		to, token, ok := strings.Cut(b.finish(1, "uno", state), "#token=")
		if region, _ := session.Parse(token); !ok || to != "/profile.html" || region != lazio.Tag {
			t.Errorf("%s leads to %q with token %v", path, to, ok)
		}
		if len(b.fed.logins) != 1 || b.fed.logins[0].Session.Token != session.Hash(token) ||
			b.fed.logins[0].Session.Name != "Mario" || b.fed.logins[0].DateOfBirth != "1980-01-01" ||
			b.fed.logins[0].Session.Level != wire.Level2 || b.fed.logins[0].Session.Provider != "uno" ||
			b.fed.logins[0].Session.Ref != b.uno.begun[0].Request {
			t.Errorf("the region has %+v", b.fed.logins)
		}
		if len(b.cookies) != 0 {
			t.Errorf("cookies are left: %v", b.cookies)
		}
		a := b.uno.asked[0]
		if string(a.Pending) != "of uno" || a.Form.Get("code") != "c" || a.Begin != b.uno.begun[0] ||
			!strings.HasPrefix(a.Begin.Request, "sha256-") || len(a.Begin.Nonce) != 64 ||
			a.Begin.Nonce == a.Begin.State {
			t.Errorf("the provider was asked %+v", a)
		}
		if res := b.do(0, get(to)); res.StatusCode != 200 {
			t.Errorf("%s is %s", to, res.Status)
		}
	}
}

func TestBrowser(t *testing.T) {
	b := newBench(t)
	old := strings.Repeat("a", 96)
	b.cookies[SessionCookie] = &http.Cookie{Name: SessionCookie, Value: old}
	state := b.begin(0, get("/login?provider=uno&level=SpidL3&to=/messages"))
	if got := b.uno.begun[0].Level; got != identity.Level3 {
		t.Errorf("level %d is asked for", got)
	}
	b.uno.says.Level = identity.Level3.URL()
	if to := b.finish(1, "uno", state); to != "/messages" {
		t.Errorf("the login leads to %q", to)
	}
	c := b.cookies[SessionCookie]
	if c == nil || c.Value == old || c.SameSite != http.SameSiteLaxMode ||
		c.MaxAge != int(ttl/time.Second) {
		t.Fatalf("the session's cookie is %v", c)
	}
	if len(b.fed.logins) != 1 || b.fed.logins[0].Session.Token != session.Hash(c.Value) {
		t.Errorf("the region has %+v", b.fed.logins)
	}
}

// What is not this browser's login, now, at this federation, opens nothing.
func TestStray(t *testing.T) {
	for name, change := range map[string]func(b *bench, state string) (id, sent string){
		"no state":    func(*bench, string) (string, string) { return "uno", "" },
		"short state": func(_ *bench, s string) (string, string) { return "uno", s[:16] },
		"another state": func(_ *bench, s string) (string, string) {
			return "uno", s[:63] + other(s[63])
		},
		"upper case": func(_ *bench, s string) (string, string) { return "uno", strings.ToUpper(s) },
		"no cookie": func(b *bench, s string) (string, string) {
			clear(b.cookies)
			return "uno", s
		},
		"another provider": func(_ *bench, s string) (string, string) { return "due", s },
		"too long ago": func(b *bench, s string) (string, string) {
			b.now = b.now.Add(begunMax + time.Millisecond)
			return "uno", s
		},
		"begun in the future": func(b *bench, s string) (string, string) {
			b.now = b.now.Add(-2 * time.Minute)
			return "uno", s
		},
		"another login's cookie": func(b *bench, s string) (string, string) {
			value := b.cookies[cookieName(s)].Value
			s = b.begin(0, get("/login?provider=uno"))
			b.cookies[cookieName(s)].Value = value
			return "uno", s
		},
		"a bit of the cookie": func(b *bench, s string) (string, string) {
			c := b.cookies[cookieName(s)]
			c.Value = c.Value[:40] + other(c.Value[40]) + c.Value[41:]
			return "uno", s
		},
		"another federation": func(b *bench, s string) (string, string) {
			b.gateways[1] = b.gateway(&federation{hasher: wire.NewHasher(wire.DirectoryKey{2})})
			return "uno", s
		},
	} {
		b := newBench(t)
		id, state := change(b, b.begin(0, get("/login?provider=uno")))
		b.refused(name, b.finish(1, id, state), identity.Stray)
		if len(b.uno.asked)+len(b.due.asked) > 0 {
			t.Errorf("%s: a provider was asked", name)
		}
	}
}

func other(c byte) string {
	if c == '0' {
		return "1"
	}
	return "0"
}

// A login ends with the answer, whatever came of it.
func TestOnce(t *testing.T) {
	b := newBench(t)
	state := b.begin(0, get("/login?provider=uno"))
	b.uno.fault = identity.Refuse(identity.Cancelled, "")
	b.refused("cancelled", b.finish(0, "uno", state), identity.Cancelled)
	b.uno.fault = nil
	b.refused("again", b.finish(0, "uno", state), identity.Stray)
}

// What is refused says why, in the app's numbers where it has them.
func TestRefused(t *testing.T) {
	for name, x := range map[string]struct {
		change func(*bench)
		want   identity.Reason
		query  string
	}{
		"a child": {func(b *bench) { b.uno.says.DateOfBirth = "2020-01-01" }, identity.Young,
			"errorCode=1001&errorMessage=young"},
		"level": {func(b *bench) { b.uno.says.Level = identity.Level1.URL() }, identity.Weak,
			"errorMessage=level"},
		"company": {func(b *bench) { b.uno.says.FiscalNumber = "VATIT-01234567890" },
			identity.NotPerson, "errorMessage=not-a-person"},
		"provider away": {func(b *bench) { b.uno.fault = io.ErrUnexpectedEOF }, identity.Away,
			"errorMessage=away"},
		"region away": {func(b *bench) { b.fed.fault = wire.Errorf(wire.NotFound, "x") },
			identity.Away, "errorMessage=away"},
		"access locked": {func(b *bench) { b.fed.fault = wire.Errorf(wire.Locked, "x") },
			identity.Locked, "errorCode=1002&errorMessage=locked"},
		"denied": {func(b *bench) { b.uno.fault = identity.Refuse(identity.Suspended, "") },
			identity.Suspended, "errorCode=23&errorMessage=nr23"},
	} {
		b := newBench(t)
		state := b.begin(0, get("/login?provider=uno"))
		x.change(b)
		to := b.finish(1, "uno", state)
		b.refused(name, to, x.want)
		if want := "/error.html?" + x.query; to != want {
			t.Errorf("%s: leads to %q, want %q", name, to, want)
		}
		res := b.do(0, get(to))
		page, _ := io.ReadAll(res.Body)
		if !strings.Contains(html.UnescapeString(string(page)), texts[x.want]) {
			t.Errorf("%s: the page says %s", name, page)
		}
	}
}

// A login again is for the person of the session.
func TestAnotherPerson(t *testing.T) {
	for _, x := range []struct {
		person string
		want   string
	}{
		{"RSSMRA80A01M500", "/error.html?errorCode=1004&errorMessage=another-person"},
		{"", "/profile.html"},
	} {
		b := newBench(t)
		r := get("/api/auth/v1/login?entityID=uno")
		if x.person != "" {
			r.Header.Set(personHeader, strings.ToUpper(digest(x.person)))
		} else {
			r.Header.Set(personHeader, digest(strings.TrimPrefix(b.uno.says.FiscalNumber, "TINIT-")))
		}
		if to := b.finish(1, "uno", b.begin(0, r)); !strings.HasPrefix(to, x.want) {
			t.Errorf("leads to %q, want %q", to, x.want)
		}
	}
}

func TestBeginRefused(t *testing.T) {
	for target, want := range map[string]int{
		"/api/auth/v1/login":                                        400,
		"/api/auth/v1/login?entityID=tre":                           400,
		"/api/auth/v1/login?entityID=uno&entityID=due":              400,
		"/api/auth/v1/login?entityID=uno&authLevel=SpidL1":          400,
		"/api/auth/v1/login?entityID=uno&authLevel=SpidL4":          400,
		"/api/auth/v1/login?entityID=uno&authLevel=":                400,
		"/api/auth/v1/login?entityID=%zz":                           400,
		"/login?provider=tre":                                       400,
		"/login?provider=uno&level=SpidL1":                          400,
		"/login?provider=uno&to=/" + strings.Repeat("a", targetMax): 302,
	} {
		b := newBench(t)
		if res := b.do(0, get(target)); res.StatusCode != want {
			t.Errorf("%s: %s, want %d", target, res.Status, want)
		}
		if want == 400 && len(b.cookies) > 0 {
			t.Errorf("%s: a login began", target)
		}
	}
	b := newBench(t)
	b.fed.hasher = nil
	for _, target := range []string{"/login?provider=uno", "/login/callback/uno?state=x"} {
		if res := b.do(0, get(target)); res.StatusCode != 500 || res.Header.Get("Retry-After") == "" {
			t.Errorf("%s before the federation is met: %s", target, res.Status)
		}
	}
	b = newBench(t)
	b.uno.started.Pending = make([]byte, identity.PendingMax+1)
	res := b.do(0, get("/login?provider=uno"))
	b.refused("much to keep", res.Header.Get("Location"), identity.Away)
}

// Several tabs do not meet, and a browser is not filled with logins.
func TestTabs(t *testing.T) {
	b := newBench(t)
	b.cookies[cookiePrefix+"0123456789abcdef"] = &http.Cookie{
		Name: cookiePrefix + "0123456789abcdef", Value: "x", Secure: true}
	var states []string
	for range begunAtOnce + 2 {
		b.now = b.now.Add(time.Second)
		states = append(states, b.begin(0, get("/login?provider=uno&to=/messages")))
	}
	if len(b.cookies) != begunAtOnce {
		t.Errorf("%d logins at once, at most %d", len(b.cookies), begunAtOnce)
	}
	for i, state := range slices.Backward(states) {
		to := b.finish(1, "uno", state)
		if ok := to == "/messages"; ok != (i >= 2) {
			t.Errorf("login %d of %d leads to %q", i, len(states), to)
		}
	}
}

// An answer that is posted arrives with a cookie that other sites' forms carry.
func TestPosted(t *testing.T) {
	b := newBench(t)
	b.uno.info.Posts = true
	b.uno.started.Fields = map[string]string{"SAMLRequest": `"><script>`}
	res := b.do(0, get("/api/auth/v1/login?entityID=uno"))
	page, _ := io.ReadAll(res.Body)
	if res.StatusCode != 200 || !strings.Contains(string(page),
		`<form method="post" action="https://uno.example/authorize">`) ||
		strings.Contains(string(page), "<script>") {
		t.Fatalf("%s\n%s", res.Status, page)
	}
	state := b.uno.begun[0].State
	if c := b.cookies[cookieName(state)]; c.SameSite != http.SameSiteNoneMode {
		t.Errorf("the cookie is %v", c)
	}
	post := func(body, kind string) *http.Response {
		r := httptest.NewRequest("POST", "/api/auth/v1/assertionConsumerService",
			strings.NewReader(body))
		r.Header.Set("Content-Type", kind)
		return b.do(1, r)
	}
	const form = "application/x-www-form-urlencoded"
	if res := post("RelayState="+state, "text/plain"); res.StatusCode != 415 {
		t.Errorf("another type: %s", res.Status)
	}
	long := post("RelayState="+state+"&a="+strings.Repeat("a", identity.AnswerMax), form)
	if long.StatusCode != 413 {
		t.Errorf("a long answer: %s", long.Status)
	}
	res = post(url.Values{"RelayState": {state}, "SAMLResponse": {"r"}}.Encode(), form)
	if to := res.Header.Get("Location"); !strings.HasPrefix(to, "/profile.html#token=") ||
		b.uno.asked[0].Form.Get("SAMLResponse") != "r" {
		t.Errorf("%s leads to %q", res.Status, to)
	}
}

// Pages show nothing of their address but where a login leads, which is a path.
func TestPages(t *testing.T) {
	b := newBench(t)
	for target, want := range map[string]string{
		"/login?to=/messages":                       `href="/login?provider=due&amp;to=%2fmessages"`,
		"/login?to=https://evil.example":            `href="/login?provider=due&amp;to=%2f"`,
		"/error.html?errorMessage=evil&errorCode=1": "Riprova",
		"/error.html":                               "Riprova",
		"/profile.html":                             "app",
	} {
		res := b.do(0, get(target))
		page, _ := io.ReadAll(res.Body)
		if res.StatusCode != 200 || !strings.Contains(string(page), want) ||
			strings.Contains(string(page), "evil") {
			t.Errorf("%s: %s\n%s", target, res.Status, page)
		}
	}
}

func TestConfig(t *testing.T) {
	b := newBench(t)
	twice := newProvider("uno")
	bad := newProvider("Uno!")
	if _, err := New(Config{Providers: []identity.Provider{b.uno, twice, bad}, LevelMin: 4,
		Rules: identity.Rules{AgeMin: -1}}); err == nil || strings.Count(err.Error(), "\n") != 4 {
		t.Errorf("got %v, want five faults", err)
	}
}

func TestProblemsAreDocumented(t *testing.T) {
	openapitest.CheckProblems(t, "../../docs/problems.md", "Login", problems)
}
