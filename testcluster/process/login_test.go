package process_test

import (
	"html"
	"io"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/staffetta/staffetta/internal/localfile"
)

// browser keeps cookies as a browser does for 127.0.0.1: whatever the port, and secure ones too,
// since what is on this machine is trustworthy.
type browser struct {
	t       *testing.T
	cookies map[string]string
}

// do makes a request and follows nothing.
func (b *browser) do(method, address string, form url.Values) (*http.Response, string) {
	b.t.Helper()
	r, err := http.NewRequest(method, address, strings.NewReader(form.Encode()))
	if err != nil {
		b.t.Fatal(err)
	}
	if form != nil {
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	for name, value := range b.cookies {
		r.AddCookie(&http.Cookie{Name: name, Value: value})
	}
	client := http.Client{Timeout: 30 * time.Second,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	resp, err := client.Do(r)
	if err != nil {
		b.t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, 1<<20))
	if err != nil {
		b.t.Fatal(err)
	}
	for _, c := range resp.Cookies() {
		if delete(b.cookies, c.Name); c.MaxAge >= 0 {
			b.cookies[c.Name] = c.Value
		}
	}
	return resp, string(body)
}

// location is where an answer leads.
func (b *browser) location(resp *http.Response, body string) string {
	b.t.Helper()
	to, err := resp.Location()
	if err != nil {
		b.t.Fatalf("%s leads nowhere: %s\n%s", resp.Request.URL.Path, resp.Status, body)
	}
	return to.String()
}

// TestLogin follows the link that a local federation prints, as the first citizen: it begins at one
// gateway and ends at the other.
func TestLogin(t *testing.T) {
	t.Parallel()
	f := startLocal(t, "--demo=false", "--nodes", "1", "--regions", "lazio,sicilia",
		"--gateways", "2")
	file := f.file()
	if file.Provider == nil || !running(file.Provider.PID) ||
		!strings.Contains(f.out.String(), file.Provider.Login) {
		t.Fatalf("no link to log in by: %+v\n%s", file.Provider, f.out)
	}
	b := &browser{t: t, cookies: map[string]string{}}
	asks := b.location(b.do("GET", file.Provider.Login, nil))
	if !strings.HasPrefix(asks, file.Provider.URL+"/authorize?") {
		t.Fatalf("a login leads to %s", asks)
	}
	_, page := b.do("GET", asks, nil)
	first := file.Citizens[0].FiscalCode
	if i := strings.Index(page, first); i < 0 || strings.Count(page[:i], "<button>") != 1 {
		t.Fatalf("the first citizen is not the first of the page:\n%s", page)
	}
	back := b.location(b.do("POST", asks, url.Values{"citizen": {"0"}}))
	if !strings.HasPrefix(back, file.Gateways[0].URL+"/login/callback/test?") {
		t.Fatalf("the provider leads back to %s", back)
	}
	other := strings.Replace(back, file.Gateways[0].URL, file.Gateways[1].URL, 1)
	if to := b.location(b.do("GET", other, nil)); to != file.Gateways[1].URL+"/" {
		t.Fatalf("the login leads to %s", to)
	}
	token := b.cookies["__Host-staffetta"]
	if len(b.cookies) != 1 || token == "" {
		t.Fatalf("%d cookies after a login, want the session's", len(b.cookies))
	}
	for _, g := range file.Gateways {
		var profile struct {
			Code string `json:"fiscal_code"`
		}
		insist(t, http.StatusOK, http.MethodGet, g.URL+"/api/identity/v1/profile", nil,
			"Authorization", "Bearer "+token).decode(t, &profile)
		if profile.Code != first {
			t.Error("the session is another citizen's")
		}
	}
	// The same answer again, in a browser that did not begin: nothing.
	again := (&browser{t: t, cookies: map[string]string{}})
	if to := again.location(again.do("GET", other, nil)); !strings.Contains(to, "errorCode=1003") ||
		len(again.cookies) > 0 {
		t.Errorf("an answer without its login leads to %s", to)
	}
	// With a fault: refused, and told.
	asks = b.location(b.do("GET", file.Provider.Login, nil))
	back = b.location(b.do("POST", asks, url.Values{"citizen": {"0"}, "fault": {"minor"}}))
	if to := b.location(b.do("GET", back, nil)); !strings.Contains(to, "errorCode=1001") {
		t.Errorf("a child's login leads to %s", to)
	}
	samlLogin(t, file, first)
}

// hidden are a form's values that nobody sees.
var hidden = regexp.MustCompile(`type="hidden" name="(\w+)" value="([^"]*)"`)

func hiddenOf(page string) url.Values {
	all := url.Values{}
	for _, m := range hidden.FindAllStringSubmatch(page, -1) {
		all.Set(m[1], html.UnescapeString(m[2]))
	}
	return all
}

// samlLogin logs the first citizen in at the same provider by SAML, from the page that lists both
// ways: it begins at one gateway, and the provider's form is posted to the other.
func samlLogin(t *testing.T, file *localfile.File, first string) {
	t.Helper()
	at, other := file.Gateways[0].URL, file.Gateways[1].URL
	b := &browser{t: t, cookies: map[string]string{}}
	_, page := b.do("GET", at+"/login", nil)
	for _, id := range []string{"provider=test&", "provider=test-saml&"} {
		if !strings.Contains(html.UnescapeString(page), id) {
			t.Fatalf("the page of ways to log in lacks %s:\n%s", id, page)
		}
	}
	asks := b.location(b.do("GET", at+"/login?provider=test-saml", nil))
	if !strings.HasPrefix(asks, file.Provider.URL+"/saml/sso?") {
		t.Fatalf("a login by SAML leads to %s", asks)
	}
	_, page = b.do("GET", asks, nil)
	choice := hiddenOf(page)
	choice.Set("citizen", first)
	_, page = b.do("POST", file.Provider.URL+"/saml/answer", choice)
	const callback = "/api/auth/v1/assertionConsumerService"
	if !strings.Contains(page, `action="`+at+callback+`"`) {
		t.Fatalf("the provider's form goes elsewhere:\n%s", page)
	}
	if to := b.location(b.do("POST", other+callback, hiddenOf(page))); to != other+"/" {
		t.Fatalf("the login by SAML leads to %s", to)
	}
	var profile struct {
		Code string `json:"fiscal_code"`
	}
	insist(t, http.StatusOK, http.MethodGet, at+"/api/identity/v1/profile", nil,
		"Authorization", "Bearer "+b.cookies["__Host-staffetta"]).decode(t, &profile)
	if profile.Code != first {
		t.Error("the session that SAML opened is another citizen's")
	}
	if _, list := b.do("GET", at+"/spid/idps/list.json", nil); list !=
		`{"items":[{"id":"test-saml","name":"Provider di prova (SAML)"}]}` {
		t.Errorf("the providers that are listed: %s", list)
	}
}
