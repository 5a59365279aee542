package login

import (
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"regexp"
	"time"

	"github.com/staffetta/staffetta/gateway/identity"
	"github.com/staffetta/staffetta/gateway/session"
	"github.com/staffetta/staffetta/wire"
)

const (
	// begunMax is how long a citizen may take at the provider, as the contract's cache of requests
	// has it.
	begunMax = 10 * time.Minute
	// begunAtOnce bounds the logins that one browser is in the middle of, in tabs: each is a cookie.
	begunAtOnce = 4
	// cookieMax bounds a cookie's value: browsers keep 4 KiB with name and attributes.
	cookieMax = 3500
	// beginWait and finishWait bound what is asked of a provider at either end. A login ends with
	// two or three questions to it.
	beginWait  = 10 * time.Second
	finishWait = 20 * time.Second
	// retryAfter is when another try may be better.
	retryAfter = 2 * time.Second
	// inFlightMax bounds the answers that are worked on at once: each may wait for a provider.
	inFlightMax = 512
	// ProvidersMax bounds the providers: SPID has some ten.
	ProvidersMax = 64
)

// Relay is what a login has to know of the federation: a *route.Router.
type Relay interface {
	session.Directory
	// Hasher is nil until the gateway has met its federation. Until then no login begins or ends.
	Hasher() *wire.Hasher
}

// Config of a Flow.
type Config struct {
	Relay   Relay            // required
	Regions *session.Regions // required: where sessions are opened
	Logins  *session.Logins  // required: counts them
	// SessionTTL is how long a session lives.
	SessionTTL time.Duration
	// OneSession has a login end the citizen's other sessions.
	OneSession bool
	// Providers that a citizen may choose among, in the order in which they are shown.
	Providers []identity.Provider
	// Published are the documents that providers' machines look for here, by pattern.
	Published map[string]http.Handler
	// Metadata is the federation's as SAML's providers want it. Empty: nobody speaks SAML.
	Metadata []byte
	// Rules of every login.
	Rules identity.Rules
	// LevelMin is the least level that a login may ask for. 0: Level2.
	LevelMin identity.Level
	// Show draws what a browser is shown. nil: plain pages.
	Show   func(http.ResponseWriter, *http.Request, *Page)
	Logger *slog.Logger // default: none
}

var idPattern = regexp.MustCompile(`^[a-z0-9_-]{1,64}$`)

func (c *Config) setDefaults() error {
	var errs []error
	if c.Relay == nil || c.Regions == nil || c.Logins == nil {
		errs = append(errs, errors.New("login: no relay, regions or counter"))
	}
	if len(c.Providers) > ProvidersMax {
		errs = append(errs, fmt.Errorf("login: %d providers, at most %d", len(c.Providers),
			ProvidersMax))
	}
	seen := map[string]bool{}
	for _, p := range c.Providers {
		info := p.Info()
		if !idPattern.MatchString(info.ID) || seen[info.ID] || info.Name == "" ||
			!info.Kind.Valid() {
			errs = append(errs, fmt.Errorf("login: the provider %q has no name or kind, or an id "+
				"that is not of [a-z0-9_-] or another's", info.ID))
		}
		seen[info.ID] = true
	}
	if c.Rules.AgeMin < 0 || c.Rules.AgeMin > identity.AgeMinMax {
		errs = append(errs, fmt.Errorf("login: a least age of %d, 0 to %d", c.Rules.AgeMin,
			identity.AgeMinMax))
	}
	if c.LevelMin == 0 {
		c.LevelMin = identity.Level2
	}
	if !c.LevelMin.Valid() {
		errs = append(errs, errors.New("login: the least level is none"))
	}
	if c.Rules.Now == nil {
		c.Rules.Now = time.Now
	}
	if c.Show == nil {
		c.Show = showPlain
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	return errors.Join(errs...)
}
