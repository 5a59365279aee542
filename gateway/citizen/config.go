package citizen

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/staffetta/staffetta/gateway/remote"
	"github.com/staffetta/staffetta/gateway/session"
	"github.com/staffetta/staffetta/internal/codec"
	"github.com/staffetta/staffetta/internal/fiscalcode"
	"github.com/staffetta/staffetta/wire"
)

const (
	// tokenTextMax bounds an Authorization header that is looked at; a token has 96 characters.
	tokenTextMax = 256
	// blockedMax bounds the services that a LEGACY profile blocks, languagesMax its languages.
	blockedMax   = wire.ListMax
	languagesMax = 16
	// emailBytesMax is the longest address that SMTP can carry (RFC 5321, 4.5.3.1.3).
	emailBytesMax = 254
	// versionMax is the largest integer that every JSON reader keeps exact.
	versionMax = 1<<53 - 1
	// pageDefault is the page size when none is asked for. The contract declares no default: the
	// service behind this path answers 12, what the app asks for, the retired one answered 100.
	pageDefault = 12
	// senderLookups bounds how many senders of one page are looked up at once, senderWait how
	// long all of them together may take before the page shows substitutes.
	senderLookups = 8
	senderWait    = 2 * time.Second
	// sessionMax bounds a session's life; a region takes no longer one.
	sessionMax = 365 * 24 * time.Hour
	// featuredMax bounds the featured services: a client shows them on one screen.
	featuredMax = 50
	// remoteRetry is when an attachment may be made whose institution does not say.
	remoteRetry = 10 * time.Second
	// retryAfter is when an answer may be better: a region elects a leader within seconds.
	retryAfter = 2 * time.Second
)

// Relay is the way to the regions, as far as citizens need it: a *route.Router.
type Relay interface {
	// Hasher is nil until the gateway has met its federation. Until then nothing is answered.
	Hasher() *wire.Hasher
	Home() wire.Region
	RegionByTag(tag wire.RegionTag) (wire.Region, bool)
	RegionByID(id wire.RegionID) (wire.Region, bool)
	// RegionOf names the owner of a code: the region that claimed it, or its anchor.
	RegionOf(ctx context.Context, code fiscalcode.Code) (owner wire.RegionID, claimed bool,
		err error)
	// CallRegion asks the region's leader. Errors are *wire.Error.
	CallRegion(ctx context.Context, region wire.RegionID, m wire.Method,
		req, resp codec.Message) error
	ServiceByID(ctx context.Context, id wire.ServiceID) (*wire.ServiceAccess, error)
	// RemoteContent returns a configuration of remote content, or NotFound.
	RemoteContent(ctx context.Context, id wire.RemoteContentID) (*wire.RemoteContent, error)
	// Catalogue returns every service, as of a few seconds ago: the same value until it changes.
	Catalogue(ctx context.Context) (*wire.CataloguePage, error)
}

// TestLogin enables POST /test-login. It is for federations of tests: whoever knows the password
// is any of the citizens.
type TestLogin struct {
	// Codes may log in, each with what an identity provider would say of them.
	Codes map[fiscalcode.Code]TestCitizen
	// Any lets every fiscal code in.
	Any bool
	// Password of all; default "test".
	Password string
}

// TestCitizen is what an identity provider would say of a citizen. Empty names get a
// placeholder, other empty fields stay absent.
type TestCitizen struct {
	Name        string
	FamilyName  string
	Email       string
	DateOfBirth string // YYYY-MM-DD
}

// Config of an API.
type Config struct {
	Relay Relay // required
	// TestLogin nil: /test-login answers 404.
	TestLogin *TestLogin
	// SessionTTL is how long a session lives, at most 365 days; default 30 days, as the
	// contract's login without a device key.
	SessionTTL time.Duration
	// OneSession has a login end the citizen's other sessions, as the contract has it.
	OneSession bool
	// Logins counts them; default: a counter that nobody sees.
	Logins *session.Logins
	// InFlightMax bounds the requests that one region works on at once, and those whose bodies
	// are being read; more are answered 429 (500 where the contract has no 429). Default 1024: a
	// request waits for a region a few milliseconds, and holds less than 1 MiB.
	InFlightMax int
	// Remote fetches what institutions keep of their messages; nil: from public addresses.
	Remote *remote.Client
	// Featured are the services that the catalogue shows first, with their institutions.
	Featured   []wire.ServiceID
	Logger     *slog.Logger          // default: none
	Registerer prometheus.Registerer // default: none
}

// withDefaults fills what is zero and reports everything that cannot work.
func (c Config) withDefaults() (Config, error) {
	var errs []error
	if c.Relay == nil {
		errs = append(errs, errors.New("citizen: no relay"))
	}
	if c.SessionTTL < 0 || c.SessionTTL > sessionMax {
		errs = append(errs, errors.New("citizen: session lifetime not within 365 days"))
	}
	if len(c.Featured) > featuredMax {
		errs = append(errs, fmt.Errorf("citizen: %d featured services, %d allowed", len(c.Featured),
			featuredMax))
	}
	for _, id := range c.Featured {
		if !id.Valid() {
			errs = append(errs, fmt.Errorf("citizen: featured service %q is no service's id", id))
		}
	}
	if c.InFlightMax < 0 {
		errs = append(errs, errors.New("citizen: negative bound of requests in flight"))
	}
	if c.SessionTTL == 0 {
		c.SessionTTL = 30 * 24 * time.Hour
	}
	if c.Remote == nil {
		c.Remote = remote.New(remote.Config{})
	}
	if c.InFlightMax == 0 {
		c.InFlightMax = 1024
	}
	if c.Logins == nil {
		c.Logins, _ = session.NewLogins(nil) // which fails to register only
	}
	if c.TestLogin != nil && c.TestLogin.Password == "" {
		login := *c.TestLogin
		login.Password = "test"
		c.TestLogin = &login
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	return c, errors.Join(errs...)
}
