package web

import (
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"github.com/staffetta/staffetta/gateway/identity"
	"github.com/staffetta/staffetta/gateway/login"
)

// TestWays: the first page leads to each provider, grouped by what people know.
func TestWays(t *testing.T) {
	b := newBench(t)
	got := b.want(b.get("/"), 200, `href="/login?provider=cie&amp;to=%2Finbox"`, "Entra con CIE",
		"Entra con &lt;i&gt;Poste&lt;/i&gt;", "Altri modi per entrare", "Accesso di prova")
	checkPage(t, "/", got.body)
	b.pages.cfg.Providers, b.pages.cfg.TestLogin = nil, false
	b.want(b.get("/"), 200, "non è stato ancora configurato")
	b.want(b.post("/sign-in", url.Values{"code": {string(codeA)}, "password": {"test"}}), 404)
}

// TestShowLogin: what a login shows is a page like the others, and nothing of the address is in it.
func TestShowLogin(t *testing.T) {
	b := newBench(t)
	show := func(p *login.Page) answer {
		w := httptest.NewRecorder()
		r := httptest.NewRequest("GET", "/error.html?errorMessage=<script>x</script>", nil)
		b.pages.ShowLogin(w, r, p)
		resp := w.Result()
		return answer{resp, w.Body.String()}
	}
	for reason := range reasons {
		got := b.want(show(&login.Page{Kind: login.PageRefused, Reason: reason, To: "/"}), 200,
			"Accesso non riuscito", `href="/login?provider=cie&amp;to=%2F"`, `role="alert"`)
		checkPage(t, "error.html", got.body)
	}
	b.want(show(&login.Page{Kind: login.PageRefused, Reason: "<script>"}), 200, "non ha confermato")
	b.want(show(&login.Page{Kind: login.PageArrived}), 200, "Puoi tornare all’app")
	b.want(show(&login.Page{Kind: login.PageProviders, To: "/inbox"}), 200, "Entra con CIE")
	got := b.want(show(&login.Page{Kind: login.PagePost, Post: &identity.Started{
		URL: "https://idp.example/sso?a=b", Fields: map[string]string{"SAMLRequest": `"><script>`}}}),
		200, `action="https://idp.example/sso?a=b"`, `value="&#34;&gt;&lt;script&gt;"`)
	if policy := got.Header.Get("Content-Security-Policy"); !strings.Contains(policy,
		"form-action 'self' https://idp.example;") {
		t.Errorf("the policy is %q", policy)
	}
	got = show(&login.Page{Kind: login.PagePost, Post: &identity.Started{URL: "javascript:alert(1)"}})
	if strings.Contains(got.body, "javascript:") ||
		strings.Contains(got.Header.Get("Content-Security-Policy"), "javascript") {
		t.Error("a form leads to a script")
	}
}
