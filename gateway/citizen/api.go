package citizen

import (
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"sync/atomic"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/staffetta/staffetta/gateway/operation"
	"github.com/staffetta/staffetta/gateway/remote"
	"github.com/staffetta/staffetta/gateway/session"
	"github.com/staffetta/staffetta/internal/codec"
	"github.com/staffetta/staffetta/internal/problem"
	"github.com/staffetta/staffetta/wire"
)

// API serves the citizens. It keeps no state; its methods are safe for concurrent use.
type API struct {
	// Set at construction.
	cfg    Config
	relay  Relay
	remote *remote.Client
	log    *slog.Logger
	bodies chan struct{} // one element per request whose body is being read

	regions *session.Regions

	catalogue atomic.Pointer[catalogue] // of the last list that was looked through

	logins       *session.Logins
	substitutes  prometheus.Counter
	remoteFaults *prometheus.CounterVec
}

// New makes an API. It starts nothing.
func New(cfg Config) (*API, error) {
	cfg, err := cfg.withDefaults()
	if err != nil {
		return nil, err
	}
	a := &API{
		cfg: cfg, relay: cfg.Relay, remote: cfg.Remote, log: cfg.Logger,
		bodies:  make(chan struct{}, cfg.InFlightMax),
		regions: session.New(cfg.Relay, cfg.InFlightMax),
		logins:  cfg.Logins,
		substitutes: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "staffetta_citizen_sender_substitutes_total",
			Help: "Messages shown without their sender's names, because no node knew them in time.",
		}),
		remoteFaults: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "staffetta_citizen_remote_faults_total",
			Help: "Reads of content that institutions keep which failed, by the problem's type.",
		}, []string{"problem"}),
	}
	if cfg.Registerer == nil {
		return a, nil
	}
	for _, c := range []prometheus.Collector{a.substitutes, a.remoteFaults} {
		if err := cfg.Registerer.Register(c); err != nil {
			return nil, fmt.Errorf("citizen: register metrics: %w", err)
		}
	}
	return a, nil
}

// Register serves the API's operations on mux.
func (a *API) Register(mux *http.ServeMux) {
	api := operation.API[*call]{
		Begin:  func(c operation.Call) *call { return &call{Call: c, api: a} },
		Admit:  (*call).admit,
		Refuse: (*call).refuse,
	}
	api.Register(mux, rows())
}

// call is one request with the session that it names.
type call struct {
	operation.Call
	api    *API
	secret string // the token
	token  wire.TokenHash
	region wire.RegionID // of the token
}

// admit finds the region of a session that the operation needs. What nobody serves is answered
// without anything.
func (c *call) admit() error {
	switch {
	case !c.Op.Served():
		return nil
	case c.api.relay.Hasher() == nil:
		// Without its map the gateway knows no region: every token would look foreign.
		return refuse(problemUnavailable, "This gateway has not yet met its federation.")
	case c.Op.By == operation.Session:
		return c.authenticate()
	}
	return nil
}

// ask calls the region of the session, and whereto the citizen moved from there.
func (c *call) ask(m wire.Method, req, resp codec.Message) error {
	return c.api.regions.Follow(c.R.Context(), &c.region, m, req, resp)
}

func take(places chan struct{}, otherwise string) (leave func(), err error) {
	select {
	case places <- struct{}{}:
		return func() { <-places }, nil
	default:
		return nil, refuse(problemBusy, "%s", otherwise)
	}
}

// authenticate finds the region of the request's token. Whether the session exists is the
// region's to say, in the call that follows.
func (c *call) authenticate() error {
	token := bearer(c.R.Header)
	if _, ok := session.Parse(token); !ok {
		return refuse(problemSession, "The request needs a session's bearer token.")
	}
	region, ok := c.api.regions.Find(token)
	if !ok {
		return refuse(problemSession, "The session does not exist or has ended.")
	}
	c.secret, c.token, c.region = token, session.Hash(token), region
	return nil
}

// refuse answers an error.
func (c *call) refuse(err error) {
	err = c.deadFirst(err)
	p := problemOf(c.Op, err)
	if p.Status >= 500 && c.Op.Served() && c.R.Context().Err() == nil {
		c.api.log.Warn("citizen request failed", "operation", c.Op.ID, "problem", p.Type,
			"error", wire.AsError(err).Code.String())
	}
	if p.Status == http.StatusUnauthorized {
		c.W.Header().Set("WWW-Authenticate", "Bearer")
	}
	problem.Write(c.W, p)
}

// deadFirst is the refusal to tell. One that was found here, without the region, comes after a dead
// session, and whether it is dead only the region knows. If it cannot be asked, the refusal is
// true anyhow.
func (c *call) deadFirst(err error) error {
	var local problem.Problem
	if c.region == "" || !errors.As(err, &local) {
		return err
	}
	var s wire.Session
	dead := c.ask(wire.MethodGetSession, &wire.SessionRef{Token: c.token}, &s)
	if errors.Is(dead, wire.Unauthenticated) {
		return dead
	}
	return err
}
