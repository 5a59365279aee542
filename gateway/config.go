package gateway

import (
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/staffetta/staffetta/gateway/citizen"
	"github.com/staffetta/staffetta/gateway/identity"
	"github.com/staffetta/staffetta/gateway/route"
	"github.com/staffetta/staffetta/internal/renewal"
	"github.com/staffetta/staffetta/wire"
	"github.com/staffetta/staffetta/wire/link"
)

// Config is what a gateway is made of. The gateway closes the listeners when Run ends; the
// link's socket stays its caller's.
type Config struct {
	// HTTP takes the clients' connections. Required.
	HTTP net.Listener
	// TLS for them. nil: clear text, HTTP/1.1 and HTTP/2 alike.
	TLS *tls.Config
	// Admin takes the operator's connections. nil: none.
	Admin net.Listener
	// Link to the nodes. Its certificate says which gateway this is and its home region; logger
	// and registerer are filled in, Listen must be false.
	Link link.Config
	// Renew are the files that the link's certificate is read from, which are renewed through the
	// region's renewer before they expire; none: whoever writes them renews them.
	Renew renewal.Files
	// Nodes are addresses of home nodes, host:port, for the first contact. Required.
	Nodes []string

	// TestLogin enables the test login. nil: it does not exist.
	TestLogin *citizen.TestLogin
	// Identity is who may say who a citizen is. Zero: nobody, and only the test login is left.
	Identity Identity
	// SessionTTL is how long a citizen's session lives. 0: package citizen's default.
	SessionTTL time.Duration
	// OneSession has a login end the citizen's other sessions.
	OneSession bool
	// KeyGrace is how long known keys are accepted while the federation is away. 0: 24 hours.
	KeyGrace time.Duration
	// TrustedProxies are the addresses whose X-Forwarded-For is believed.
	TrustedProxies []netip.Prefix
	// AcceptUnserved has messages taken whose payment or third-party data nothing here can serve
	// yet, and marked in the answer. Else they are refused.
	AcceptUnserved bool
	// RemoteAllow are addresses at which institutions' servers may be although they are not public,
	// and without TLS.
	RemoteAllow []netip.Prefix
	// Featured are the services that the catalogue shows first.
	Featured []wire.ServiceID
	// Contact is whom the OpenAPI documents that it serves name as its operator, https://… or
	// mailto:…. "": the project.
	Contact string
	// DrainWait is how long requests under way may take once Run's context has ended. 0: 15 s,
	// more than a submission can wait.
	DrainWait time.Duration
	Limits    Limits
	// Weights say how many parts of a region's capacity an institution gets where others want it
	// too, 1 to 100. Institutions that it lacks get one.
	Weights map[wire.InstitutionID]int
	// Now is the wall clock that ids of messages are minted by. nil: time.Now.
	Now func() time.Time
	// Uptime measures how long ago the federation was heard, see route.Config.
	Uptime func() time.Duration

	// Logger. nil: nothing is logged.
	Logger *slog.Logger
	// Registry collects and shows the metrics. nil: a new one.
	Registry *prometheus.Registry
}

// Identity is who says who a citizen is, and what is asked of it.
type Identity struct {
	// Providers in the order in which citizens see them.
	Providers []identity.Provider
	// Published are documents that providers' machines look for at the gateway, by pattern.
	Published map[string]http.Handler
	// Sources are what the providers publish. The gateway keeps them fresh.
	Sources []identity.Source
	// Metadata is the federation's as SAML's providers want it. Empty: nobody speaks SAML.
	Metadata []byte
	// AgeMin is the age in years from which people are let in; 0: any.
	AgeMin int
	// LevelMin is the least level that a login may ask for. 0: identity.Level2.
	LevelMin identity.Level
}

// Limits bound what clients can hold. Zero fields have the documented default.
type Limits struct {
	// Connections from clients at once; more wait in the listener's backlog. Default 8,192.
	Connections int
	// Requests worked on at once; more are refused with Retry-After. Default 16,384: twice what
	// one region's lane may hold, so that a region that is away does not shut out the others.
	Requests int
	// Capacity is how many submissions a second are taken, of all institutions together; more
	// are refused with Retry-After before their body is read. 0: no limit. At most a million.
	Capacity int
	// Route bounds the router.
	Route route.Limits
}

func (c *Config) validate() error {
	var errs []error
	if c.HTTP == nil {
		errs = append(errs, errors.New("no HTTP listener"))
	}
	if len(c.Nodes) == 0 {
		errs = append(errs, errors.New("no home node's address"))
	}
	for id := range c.Weights {
		if !id.Valid() {
			errs = append(errs, fmt.Errorf("weight of %q, which is no institution's fiscal code of "+
				"11 digits", id))
		}
	}
	for _, addr := range c.Nodes {
		if err := link.CheckAddr(addr); err != nil {
			errs = append(errs, fmt.Errorf("home node's address: %w", err))
		}
	}
	if c.Link.Listen {
		errs = append(errs, errors.New("a gateway's link does not listen"))
	}
	if err := checkContact(c.Contact); err != nil {
		errs = append(errs, err)
	}
	if c.SessionTTL < 0 || c.KeyGrace < 0 || c.DrainWait < 0 {
		errs = append(errs, errors.New("a duration is negative"))
	}
	if c.Limits.Connections < 0 || c.Limits.Requests < 0 {
		errs = append(errs, errors.New("a limit is negative"))
	}
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("gateway: %w", err)
	}
	if c.DrainWait == 0 {
		c.DrainWait = 15 * time.Second
	}
	if c.Limits.Connections == 0 {
		c.Limits.Connections = 8192
	}
	if c.Limits.Requests == 0 {
		c.Limits.Requests = 16384
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	if c.Registry == nil {
		c.Registry = prometheus.NewRegistry()
	}
	return nil
}
