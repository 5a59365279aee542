package login

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/staffetta/staffetta/gateway/identity"
	"github.com/staffetta/staffetta/gateway/session"
	"github.com/staffetta/staffetta/wire"
)

// SessionCookie is the cookie in which a browser has its session's token.
const SessionCookie = "__Host-staffetta"

// finish takes a provider's answer. Every way out of it ends what was begun.
func (c *call) finish() error {
	hasher := c.flow.cfg.Relay.Hasher()
	if hasher == nil {
		return problemNotReady.With("This gateway has not yet met its federation.")
	}
	form, err := c.form()
	if err != nil {
		return err
	}
	b, ok := c.takeBegun(hasher.Key(), stateOf(form), c.flow.cfg.Rules.Now())
	if !ok {
		return c.strayed("no login of this browser has this state, or it took too long")
	}
	p, known := c.flow.byID[b.Provider]
	if id := c.R.PathValue("provider"); !known || id != "" && id != b.Provider {
		return c.strayed("the login began at another provider")
	}
	select {
	case c.flow.places <- struct{}{}:
		defer func() { <-c.flow.places }()
	default:
		return c.deny(b, p, identity.Refuse(identity.Away, "too many logins at once"))
	}
	ctx, cancel := context.WithTimeout(c.R.Context(), finishWait)
	defer cancel()
	id, err := c.identify(ctx, b, p, form)
	if err != nil {
		return c.deny(b, p, err)
	}
	return c.welcome(ctx, b, p, id)
}

// identify asks the provider who it is, and decides whether to believe it.
func (c *call) identify(ctx context.Context, b *begun, p identity.Provider,
	form url.Values) (*identity.Identity, error) {
	a, err := p.Finish(ctx, &identity.Answer{Begin: b.begin(), Form: form, Pending: b.Pending})
	if err != nil {
		return nil, err
	}
	return c.flow.cfg.Rules.Accept(p.Info(), a, identity.Asked{Level: b.Level, Person: b.Person})
}

// welcome opens the session and hands its token over.
func (c *call) welcome(ctx context.Context, b *begun, p identity.Provider,
	id *identity.Identity) error {
	cfg := &c.flow.cfg
	token, err := cfg.Regions.Open(ctx, cfg.Relay, &session.Opening{Code: id.Code, Name: id.Name,
		FamilyName: id.FamilyName, Email: id.Email, DateOfBirth: id.DateOfBirth,
		Level: wire.Level(id.Level), Provider: id.Provider, Device: session.DeviceName(c.R),
		Ref: b.Ref, Key: b.Key, TTL: cfg.SessionTTL, One: cfg.OneSession})
	if errors.Is(err, wire.Locked) {
		return c.deny(b, p, identity.Refuse(identity.Locked, "access is locked"))
	}
	if err != nil {
		cfg.Logger.Warn("no session for a login", "provider", id.Provider,
			"error", wire.AsError(err).Code.String())
		return c.deny(b, p, identity.Refuse(identity.Away, "the citizen's region cannot be reached"))
	}
	cfg.Logins.Count(string(id.Kind), session.Opened)
	if b.App {
		c.leave(true, arrivedPath+"#token="+token)
		return nil
	}
	http.SetCookie(c.W, &http.Cookie{Name: SessionCookie, Value: token, Path: "/", Secure: true,
		HttpOnly: true, SameSite: http.SameSiteLaxMode, MaxAge: int(cfg.SessionTTL / time.Second)})
	c.leave(false, target(b.To))
	return nil
}

// strayed refuses an answer without a login. Whose it was is not known: neither is whether it was
// the app's, so both are told the app's way.
func (c *call) strayed(detail string) error {
	c.flow.cfg.Logins.Count("unknown", session.Refused)
	c.leave(true, refusedAddress(identity.Refuse(identity.Stray, detail)))
	return nil
}

// form is what the provider sent through the browser: in the query, or posted.
func (c *call) form() (url.Values, error) {
	raw := c.R.URL.RawQuery
	if c.R.Method == http.MethodPost {
		b, err := c.ReadBody(nil)
		if err != nil {
			return nil, err
		}
		raw = string(b)
	}
	form, err := url.ParseQuery(raw)
	if err != nil {
		return url.Values{}, nil // which has no state
	}
	return form, nil
}

// stateOf is the answer's state: state, or as SAML calls it.
func stateOf(form url.Values) string {
	for _, name := range []string{"state", "RelayState"} {
		if list := form[name]; len(list) == 1 {
			return list[0]
		}
	}
	return ""
}

// refusedAddress is where a refused login leads: the app reads the query, and so does the page. It
// names the reason and nobody.
func refusedAddress(r *identity.Refusal) string {
	q := url.Values{"errorMessage": {string(r.Reason)}}
	if code := r.Code(); code != 0 {
		q.Set("errorCode", strconv.Itoa(code))
	}
	return refusedPath + "?" + q.Encode()
}
