package login

import (
	"context"
	"net/http"
	"net/url"
	"strings"

	"github.com/staffetta/staffetta/gateway/identity"
	"github.com/staffetta/staffetta/gateway/lollipop"
	"github.com/staffetta/staffetta/gateway/session"
	"github.com/staffetta/staffetta/wire"
)

// beginApp begins the app's login, as the contract has it: entityID is the provider.
func (c *call) beginApp() error {
	q, err := c.query()
	if err != nil {
		return err
	}
	b := newBegun()
	b.App = true
	key, err := lollipop.FromLogin(c.R.Header)
	if err != nil {
		return problemParameter.With("The key of the device cannot be read: " +
			strings.TrimPrefix(err.Error(), "lollipop: ") + ".")
	}
	if key != nil {
		b.Ref, b.Key = key.Ref, key.JWK
	}
	if b.Person, err = readPerson(c.R.Header); err != nil {
		return err
	}
	if b.Level, err = c.level(q, "authLevel"); err != nil {
		return err
	}
	return c.begin(b, q.Get("entityID"), "entityID")
}

// beginBrowser begins a browser's login, or shows the providers. With an entityID it is the app's:
// it was, before the contract had base paths.
func (c *call) beginBrowser() error {
	if c.R.URL.Query().Has("entityID") {
		return c.beginApp()
	}
	q, err := c.query()
	if err != nil {
		return err
	}
	b := newBegun()
	b.To = target(q.Get("to"))
	if !q.Has("provider") {
		c.flow.cfg.Show(c.W, c.R, &Page{Kind: PageProviders, Providers: c.flow.Providers(), To: b.To})
		return nil
	}
	if b.Level, err = c.level(q, "level"); err != nil {
		return err
	}
	return c.begin(b, q.Get("provider"), "provider")
}

// query is the request's, each parameter once.
func (c *call) query() (url.Values, error) {
	q, err := url.ParseQuery(c.R.URL.RawQuery)
	if err != nil {
		return nil, problemParameter.With("The query cannot be read.")
	}
	for _, name := range []string{"entityID", "authLevel", "provider", "level", "to"} {
		if len(q[name]) > 1 {
			return nil, problemParameter.With("The parameter " + name + " is given more than once.")
		}
	}
	return q, nil
}

// level is the one that a login asks for. None is the least one.
func (c *call) level(q url.Values, name string) (identity.Level, error) {
	if !q.Has(name) {
		return c.flow.cfg.LevelMin, nil
	}
	l, ok := identity.ParseLevelName(q.Get(name))
	if !ok || l < c.flow.cfg.LevelMin {
		return 0, problemParameter.With("value at " + name + " is not a valid [level from " +
			c.flow.cfg.LevelMin.Name() + " to " + identity.Level3.Name() + "]")
	}
	return l, nil
}

// begin sends the browser to the provider.
func (c *call) begin(b *begun, id, name string) error {
	p, ok := c.flow.byID[id]
	if !ok {
		return problemParameter.With("value at " + name +
			" is not a valid [identity provider of this gateway]")
	}
	hasher := c.flow.cfg.Relay.Hasher()
	if hasher == nil {
		return problemNotReady.With("This gateway has not yet met its federation.")
	}
	now := c.flow.cfg.Rules.Now()
	b.Provider, b.At = id, wire.TimeOf(now)
	ctx, cancel := context.WithTimeout(c.R.Context(), beginWait)
	defer cancel()
	started, err := p.Begin(ctx, b.begin())
	if err != nil {
		return c.deny(b, p, err)
	}
	if b.Pending = started.Pending; len(b.Pending) > identity.PendingMax {
		return c.deny(b, p, identity.Refuse(identity.Away, "the provider keeps too much"))
	}
	value, ok := b.seal(hasher.Key())
	if !ok {
		return problemParameter.With("The request's values are too long together.")
	}
	c.makeRoom(hasher.Key(), now)
	c.setCookie(cookieName(b.begin().State), value, p.Info().Posts)
	if started.Fields != nil {
		c.flow.cfg.Show(c.W, c.R, &Page{Kind: PagePost, Post: started})
		return nil
	}
	http.Redirect(c.W, c.R, started.URL, http.StatusFound)
	return nil
}

// deny ends a login that was refused, here or at the provider: it is counted, and told.
func (c *call) deny(b *begun, p identity.Provider, err error) error {
	r := identity.AsRefusal(err)
	result := session.Refused
	if r.Reason == identity.Away {
		result = session.Failed
	}
	info := p.Info()
	c.flow.cfg.Logins.Count(string(info.Kind), result)
	c.flow.cfg.Logger.Info("login refused", "provider", info.ID, "reason", string(r.Reason),
		"detail", r.Detail)
	c.leave(b.App, refusedAddress(r))
	return nil
}

// leave sends the browser on.
func (c *call) leave(app bool, to string) {
	status := http.StatusSeeOther
	if app { // the contract's
		status = http.StatusFound
	}
	c.W.Header().Set("Location", to)
	c.W.WriteHeader(status)
}

// personHeader says, in the contract, who is expected at a login again.
const personHeader = "X-Pagopa-Current-User"

// readPerson reads who is expected.
func readPerson(h http.Header) (string, error) {
	s := strings.ToLower(h.Get(personHeader))
	if s != "" && !isState(s) { // which has as many digits
		return "", problemParameter.With("value at " + personHeader +
			" is not a valid [SHA-256 in hexadecimal]")
	}
	return s, nil
}
