package web

import (
	"net/http"
	"net/url"

	"github.com/staffetta/staffetta/gateway/identity"
	"github.com/staffetta/staffetta/gateway/login"
	"github.com/staffetta/staffetta/gateway/operation"
)

// way is a way to sign in.
type way struct{ Path, Text string }

// ways are the ways to sign in that lead to a page of ours, by the providers' kinds: each kind is a
// group of its own, as people know them by their names.
type ways struct {
	CIE, SPID, Others []way
}

// Any reports whether there is any.
func (w ways) Any() bool { return len(w.CIE)+len(w.SPID)+len(w.Others) > 0 }

func (c *call) ways(to string) (w ways) {
	for _, p := range c.web.cfg.Providers {
		at := way{"/login?" + url.Values{"provider": {p.ID}, "to": {to}}.Encode(),
			c.lang.text("welcome.with", "name", plain(p.Name))}
		switch p.Kind {
		case identity.CIE:
			w.CIE = append(w.CIE, at)
		case identity.SPID:
			w.SPID = append(w.SPID, at)
		default:
			w.Others = append(w.Others, at)
		}
	}
	return w
}

// loginPage is what a browser is shown in a login.
type loginPage struct {
	*page
	What   string // a text
	Failed bool
	Post   *identity.Started
	Ways   ways
}

// reasons are the texts of refused logins. What happened to somebody else's mistake, and what is
// none of a citizen's business, has one of the few that say what to do.
var reasons = map[identity.Reason]string{
	"": "login.failed", identity.Denied: "login.failed", identity.Invalid: "login.failed",
	identity.Young: "login.young", identity.Locked: "login.locked", identity.Stray: "login.stray",
	identity.Another: "login.another", identity.NotPerson: "login.company",
	identity.Incomplete: "login.incomplete", identity.Weak: "login.weak",
	identity.NoLevel: "login.weak", identity.Away: "login.away",
	identity.Credentials: "login.credentials", identity.Timeout: "login.stray",
	identity.NoConsent: "login.consent", identity.Suspended: "login.suspended",
	identity.Cancelled: "login.cancelled",
}

// ShowLogin draws what package login shows a browser.
func (w *Web) ShowLogin(rw http.ResponseWriter, r *http.Request, p *login.Page) {
	setHeaders(rw.Header())
	c := &call{web: w, lang: langOf(r, nil), Call: operation.Call{W: rw, R: r}}
	l := loginPage{page: c.page("welcome.title"), Ways: c.ways(p.To)}
	l.Back = ""
	switch p.Kind {
	case login.PageProviders:
		l.What = c.lang.text("welcome.enter")
	case login.PagePost:
		l.What, l.Post, l.Ways = c.lang.text("login.go-on"), p.Post, ways{}
		letForm(rw.Header(), p.Post.URL)
	case login.PageArrived:
		l.What, l.Ways = c.lang.text("login.arrived"), ways{}
	case login.PageRefused:
		text, ok := reasons[p.Reason]
		if !ok {
			text = reasons[""]
		}
		l.What, l.Failed = c.lang.text(text), true
	}
	if c.write(http.StatusOK, "login", l) != nil {
		c.fail(http.StatusInternalServerError, "")
	}
}

// letForm lets the page's forms go to a provider's site too, which one of them is for.
func letForm(h http.Header, to string) {
	u, err := url.Parse(to)
	if err != nil || u.Scheme != "https" && u.Scheme != "http" || !hostPattern.MatchString(u.Host) {
		return
	}
	h["Content-Security-Policy"] = []string{policyFor("'self' " + u.Scheme + "://" + u.Host)}
}
