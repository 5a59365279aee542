package web

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/staffetta/staffetta/internal/asof"
	"github.com/staffetta/staffetta/wire"
)

// Who has locked access is told so, and no error of ours.
func TestSignInLocked(t *testing.T) {
	b := newBench(t)
	b.fed.fault = wire.Locked
	got := b.post("/sign-in", url.Values{"code": {string(codeA)}, "password": {"test"}})
	b.want(got, 422, "L’accesso è bloccato")
	if set := got.Header["Set-Cookie"]; set != nil {
		t.Errorf("got cookies %v, want none", set)
	}
}

// TestFirstVisit: from the first page to the first message and out again.
func TestFirstVisit(t *testing.T) {
	b := newBench(t)
	id := b.fed.deliver(wire.Content{Subject: "Carta d’identità pronta",
		Markdown: "La **carta** è pronta."})
	b.want(b.get("/"), 200, `lang="it"`, "Accesso di prova")
	b.wantAt(b.get("/inbox"), "/")
	b.want(b.post("/sign-in", url.Values{"code": {"x"}, "password": {"test"}}), 422, "autofocus",
		`href="#code"`)
	b.wantAt(b.post("/sign-in", url.Values{"code": {string(codeA)}, "password": {"test"}}), "/inbox")
	b.wantAt(b.get("/inbox"), "/terms")
	b.wantAt(b.get("/"), "/inbox")
	b.want(b.get("/terms"), 200, `value="manual"`)
	b.want(b.post("/terms", nil), 422, `href="#mode-auto"`, `href="#accept"`)
	if b.fed.profile.AcceptedTos != 0 {
		t.Error("nothing was chosen, and the terms count as accepted")
	}
	b.wantAt(b.post("/terms", url.Values{"mode": {"manual"}, "accept": {"yes"}}), "/inbox?welcome=1")
	if p := b.fed.profile; p.AcceptedTos != termsVersion || p.Mode != wire.Manual {
		t.Errorf("terms %v, mode %v", p.AcceptedTos, p.Mode)
	}
	b.want(b.get("/inbox"), 200, "Carta d’identità pronta", "Comune di Prova", "Da leggere")
	path := "/inbox/" + id.String()
	b.want(b.get(path), 200, "<strong>carta</strong>", `<h1 lang="it">Carta d’identità pronta`)
	if !b.fed.inbox[0].Item.Read {
		t.Error("the message is not read")
	}
	b.wantAt(b.post(path+"/archive", nil), "/inbox?done=archived")
	b.want(b.get("/inbox?done=archived"), 200, "Non hai messaggi", "nell’archivio")
	b.want(b.get("/inbox?view=archived"), 200, path+"?view=archived")
	b.wantAt(b.post(path+"/archive?view=archived", url.Values{"archived": {"no"}}),
		"/inbox?view=archived&done=unarchived")
	out := b.post("/sign-out", nil)
	b.wantAt(out, "/?signed-out=1")
	if len(b.fed.sessions) != 0 || b.jar[cookieName] != "" ||
		!strings.Contains(out.Header.Get("Clear-Site-Data"), "cache") {
		t.Error("the session goes on")
	}
	b.wantAt(b.get("/inbox"), "/")
	b.want(b.get("/?signed-out=1"), 200, "Sei uscito")
}

// TestEnded: a session that the region does not know any more ends in the browser too.
func TestEnded(t *testing.T) {
	b := entered(t)
	clear(b.fed.sessions)
	b.wantAt(b.get("/inbox"), "/?ended=1")
	if b.jar[cookieName] != "" {
		t.Error("the cookie is still there")
	}
	b.want(b.get("/?ended=1"), 200, "La sessione è finita")
}

// TestAway: a region that does not answer is 503, with a way to try again, and takes no session.
func TestAway(t *testing.T) {
	b := entered(t)
	for _, err := range []error{wire.Unavailable, wire.NotLeader, wire.OutcomeUnknown, wire.Overloaded} {
		b.fed.fault = err
		got := b.want(b.get("/inbox?view=archived"), 503, `href="/inbox?view=archived"`, "Riprova")
		if got.Header.Get("Retry-After") == "" || b.jar[cookieName] == "" {
			t.Errorf("%v: no time to try again, or no session", err)
		}
		b.want(b.post("/sign-out", nil), 503)
		b.want(b.get("/help"), 200)
	}
	b.fed.fault = nil
	b.want(b.get("/inbox?view=archived"), 200)
	b.want(b.get("/inbox/01GQQDPM127KFGG6T3660D5TXD"), 404, "Questa pagina non c’è")
	b.want(b.get("/inbox/x"), 404)
}

// TestPaging: pages lead to all messages once, and a message leads back to its page.
func TestPaging(t *testing.T) {
	b := entered(t)
	for i := range 2*pageSize + 3 {
		b.fed.deliver(wire.Content{Subject: fmt.Sprintf("Avviso numero %03d.", i)})
	}
	path, seen := "/inbox", 0
	for pages := 0; path != ""; pages++ {
		got := b.want(b.get(path), 200)
		seen += strings.Count(got.body, `class="subject"`)
		_, older, ok := strings.Cut(got.body, `rel="next" href="`)
		if ok {
			path, _, _ = strings.Cut(older, `"`)
			continue
		}
		if pages != 2 {
			t.Errorf("%d pages", pages+1)
		}
		_, link, _ := strings.Cut(got.body, `<li><a href="/inbox/`)
		link, _, _ = strings.Cut(link, `"`)
		b.want(b.get("/inbox/"+link), 200, `<p class="way-back"><a href="`+path+`">`)
		path = ""
	}
	if seen != 2*pageSize+3 {
		t.Errorf("%d messages, want %d", seen, 2*pageSize+3)
	}
	b.want(b.get("/inbox?before=nothing"), 200, "Avviso numero 052")
}

// TestReadOnly: what only looks ahead marks nothing as read.
func TestReadOnly(t *testing.T) {
	for header, want := range map[[2]string]bool{
		{"Sec-Purpose", "prefetch;prerender"}: false, {"Purpose", "prefetch"}: false,
		{"X-Moz", "prefetch"}: false, {"Sec-Fetch-Dest", "image"}: false,
		{"Sec-Fetch-Dest", "empty"}: false, {"Sec-Fetch-Dest", "document"}: true, {"X", "y"}: true,
	} {
		b := entered(t)
		id := b.fed.deliver(wire.Content{Subject: "Un avviso qualunque", Markdown: "Testo."})
		r := httptest.NewRequest("GET", "/inbox/"+id.String(), nil)
		r.Header.Set(header[0], header[1])
		b.want(b.send(r), 200)
		if got := b.fed.inbox[0].Item.Read; got != want {
			t.Errorf("%v: read %v, want %v", header, got, want)
		}
	}
}

// TestAsOf: while the region answers as of an earlier time every page says so, and marks nothing.
func TestAsOf(t *testing.T) {
	b := entered(t)
	id := b.fed.deliver(wire.Content{Subject: "Un avviso qualunque", Markdown: "Testo."})
	if a := b.get("/inbox"); a.Header.Get(asof.Header) != "" || strings.Contains(a.body, "11:07") {
		t.Error("a page of now says that it is of an earlier time")
	}
	b.fed.asOf = time.Date(2026, 3, 4, 10, 7, 0, 0, time.UTC)
	for _, path := range []string{"/inbox", "/inbox/" + id.String(), "/profile"} {
		a := b.want(b.get(path), 200, "11:07. Quel che è arrivato dopo può mancare")
		if got := a.Header.Get(asof.Header); got != "2026-03-04T10:07:00Z" {
			t.Errorf("%s: as of %q", path, got)
		}
	}
	if n := b.fed.calls[wire.MethodSetMessageStatus]; n != 0 {
		t.Errorf("%d changes were tried", n)
	}
}

// TestHeaders: what every page says of itself, and what may be kept.
func TestHeaders(t *testing.T) {
	b := entered(t)
	for _, path := range []string{"/help", "/inbox", "/inbox/x", "/terms"} {
		got := b.get(path)
		for name, want := range map[string]string{
			"Cache-Control": "no-store", "Referrer-Policy": "same-origin",
			"Content-Language": "it", "Vary": "Cookie, Accept-Language",
			"Cross-Origin-Opener-Policy": "same-origin", "Content-Type": "text/html; charset=utf-8",
		} {
			if got.Header.Get(name) != want {
				t.Errorf("%s: %s is %q, want %q", path, name, got.Header.Get(name), want)
			}
		}
		policy := got.Header.Get("Content-Security-Policy")
		if strings.Contains(policy, "unsafe") || strings.Contains(policy, "data:") ||
			!strings.Contains(policy, "frame-ancestors 'none'") ||
			!strings.Contains(policy, "default-src 'none'") {
			t.Errorf("%s: the policy is %q", path, policy)
		}
		for _, inline := range []string{"<style", " style=", "<script>", " onclick=", "javascript:"} {
			if strings.Contains(got.body, inline) {
				t.Errorf("%s has %q, which the policy forbids", path, inline)
			}
		}
	}
	page := b.get("/help").body
	for _, part := range []string{`rel="stylesheet" href="`, `<script src="`, `rel="icon" href="`,
		`rel="preload" href="`} {
		_, path, ok := strings.Cut(page, part)
		path, _, _ = strings.Cut(path, `"`)
		got := b.get(path)
		if !ok || got.StatusCode != 200 ||
			got.Header.Get("Cache-Control") != "public, max-age=31536000, immutable" ||
			got.Header.Get("Content-Type") == "" {
			t.Errorf("%s: %d, %v", path, got.StatusCode, got.Header)
		}
	}
}

// TestOrigin: a form of another origin changes nothing.
func TestOrigin(t *testing.T) {
	b := entered(t)
	id := b.fed.deliver(wire.Content{Subject: "Un avviso qualunque", Markdown: "Testo."})
	for _, row := range rows() {
		if row.Method != http.MethodPost {
			continue
		}
		path := strings.NewReplacer("{id}", id.String()).Replace(row.Path)
		for name, value := range map[string]string{"Sec-Fetch-Site": "cross-site",
			"Origin": "https://evil.example"} {
			r := httptest.NewRequest("POST", path, strings.NewReader("language=de&archived=yes"))
			r.Header.Set(name, value)
			if got := b.send(r); got.StatusCode != http.StatusForbidden || len(got.Cookies()) > 0 {
				t.Errorf("%s with %s: %s is %d", path, name, value, got.StatusCode)
			}
		}
	}
	if len(b.fed.sessions) != 1 || b.fed.inbox[0].Item.Archived {
		t.Error("something changed")
	}
}

// TestCookie: the session's cookie cannot be read by a script, sent by other sites' forms, nor set
// by other hosts; and the one that came before a login is not the one after.
func TestCookie(t *testing.T) {
	b := newBench(t)
	b.jar[cookieName] = strings.Repeat("0", 96) // somebody else's choice
	got := b.post("/sign-in", url.Values{"code": {string(codeA)}, "password": {"test"}})
	c := got.Cookies()[0]
	if c.Name != "__Host-staffetta" || !c.HttpOnly || !c.Secure || c.Path != "/" || c.Domain != "" ||
		c.SameSite != http.SameSiteLaxMode || c.Value == strings.Repeat("0", 96) || len(c.Value) != 96 {
		t.Errorf("the cookie is %+v", c)
	}
	r := httptest.NewRequest("GET", "/inbox", nil)
	r.AddCookie(&http.Cookie{Name: cookieName, Value: "00"})
	if got := b.send(r); got.Header.Get("Location") != "/?ended=1" { // two of them: none
		t.Errorf("two cookies: %d to %q", got.StatusCode, got.Header.Get("Location"))
	}
}

// TestOwnPath: a form leads to no other place than a page of ours.
func TestOwnPath(t *testing.T) {
	for path, want := range map[string]string{
		"/inbox?view=archived": "/inbox?view=archived", "/help": "/help", "/": "/",
		"/inbox/01GQQDPM127KFGG6T3660D5TXD": "/inbox/01GQQDPM127KFGG6T3660D5TXD",
		"//evil.example":                    "/", "https://evil.example/": "/", "/\\evil.example": "/",
		"/help\r\nSet-Cookie: a=b": "/", "/%0d%0aX: y": "/", "javascript:alert(1)": "/", "": "/",
		"/sign-out": "/", "/api/v1/messages": "/", "/help#x": "/", "evil.example": "/",
		"/" + strings.Repeat("a", 600): "/", "/help/../x": "/", "/inbox//evil.example": "/",
	} {
		if got := ownPath(path); got != want {
			t.Errorf("%q leads to %q, want %q", path, got, want)
		}
		b := newBench(t)
		b.wantAt(b.post("/language", url.Values{"language": {"de"}, "back": {path}}), want)
	}
}
