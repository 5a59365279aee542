package citizen

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"sync"

	"github.com/go-json-experiment/json"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/staffetta/staffetta/internal/codec"
	"github.com/staffetta/staffetta/internal/contract"
	"github.com/staffetta/staffetta/internal/problem"
	"github.com/staffetta/staffetta/wire"
)

// API serves the citizens. It keeps no state; its methods are safe for concurrent use.
type API struct {
	// Set at construction.
	cfg    Config
	relay  Relay
	log    *slog.Logger
	bodies chan struct{} // one element per request whose body is being read

	// Guarded by mu.
	mu      sync.Mutex
	regions map[wire.RegionID]chan struct{} // one element per request that the region works on

	logins      *prometheus.CounterVec
	substitutes prometheus.Counter
}

// New makes an API. It starts nothing.
func New(cfg Config) (*API, error) {
	cfg, err := cfg.withDefaults()
	if err != nil {
		return nil, err
	}
	a := &API{
		cfg: cfg, relay: cfg.Relay, log: cfg.Logger,
		bodies:  make(chan struct{}, cfg.InFlightMax),
		regions: make(map[wire.RegionID]chan struct{}),
		logins: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "staffetta_citizen_logins_total",
			Help: "Logins by their result: opened, refused, failed.",
		}, []string{"result"}),
		substitutes: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "staffetta_citizen_sender_substitutes_total",
			Help: "Messages shown without their sender's names, because no node knew them in time.",
		}),
	}
	if cfg.Registerer == nil {
		return a, nil
	}
	for _, c := range []prometheus.Collector{a.logins, a.substitutes} {
		if err := cfg.Registerer.Register(c); err != nil {
			return nil, fmt.Errorf("citizen: register metrics: %w", err)
		}
	}
	return a, nil
}

// Register adds every path of operations.go to mux, and has what else the contract has answered
// that it is not served. Other methods on these paths, and other paths, are mux's.
func (a *API) Register(mux *http.ServeMux) {
	served := map[string]bool{}
	for op, work := range map[*operation]func(context.Context, *call) (any, error){
		opTestLogin:     a.testLogin,
		opSession:       a.session,
		opLogout:        a.logout,
		opGetProfile:    a.getProfile,
		opSetProfile:    a.setProfile,
		opGetPreference: a.getPreference,
		opSetPreference: a.setPreference,
		opGetHome:       a.getHome,
		opSetHome:       a.setHome,
		opListMessages:  a.listMessages,
		opGetMessage:    a.getMessage,
	} {
		for _, path := range op.paths {
			served[op.method+" "+path] = true
			mux.Handle(op.method+" "+path, a.handler(op, work))
		}
	}
	for i := range contract.Citizens {
		if pattern := contract.Citizens[i].Pattern(); !served[pattern] {
			mux.HandleFunc(pattern, func(w http.ResponseWriter, _ *http.Request) {
				problem.Write(w, problem.NotServed)
			})
		}
	}
}

// call is one request with the session that it names.
type call struct {
	api    *API
	w      http.ResponseWriter // to bound the body; the handler answers
	r      *http.Request
	token  wire.TokenHash
	region wire.RegionID // of the token
}

// ask calls the region of the session, and whereto the citizen moved from there.
func (c *call) ask(ctx context.Context, m wire.Method, req, resp codec.Message) error {
	return c.follow(ctx, m, req, resp)
}

// in calls a region.
func (a *API) in(ctx context.Context, region wire.RegionID, m wire.Method,
	req, resp codec.Message) error {
	leave, err := a.enter(region)
	if err != nil {
		return err
	}
	defer leave()
	return a.relay.CallRegion(ctx, region, m, req, resp)
}

func (a *API) handler(op *operation,
	work func(context.Context, *call) (any, error)) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		answer, err := a.serve(op, w, r, work)
		if err != nil {
			a.fail(w, r, op, err)
			return
		}
		body, err := json.Marshal(answer, json.Deterministic(true))
		if err != nil {
			a.fail(w, r, op, fmt.Errorf("citizen: encode answer: %w", err))
			return
		}
		problem.WriteJSONBytes(w, op.success(), body)
	})
}

// serve does one request and returns the body of its success.
func (a *API) serve(op *operation, w http.ResponseWriter, r *http.Request,
	work func(context.Context, *call) (any, error)) (any, error) {
	if a.relay.Hasher() == nil {
		// Without its map the gateway knows no region: every token would look foreign.
		return nil, refuse(problemUnavailable, "This gateway has not yet met its federation.")
	}
	c := &call{api: a, w: w, r: r}
	if !op.open {
		if err := c.authenticate(); err != nil {
			return nil, err
		}
	}
	answer, err := work(r.Context(), c)
	var local problem.Problem
	if op.open || !errors.As(err, &local) {
		return answer, err
	}
	// The refusal was found here, without the region. A dead session comes first; whether it is
	// dead only the region knows. If it can not be asked, the refusal is true anyhow.
	var s wire.Session
	dead := c.ask(r.Context(), wire.MethodGetSession, &wire.SessionRef{Token: c.token}, &s)
	if errors.Is(dead, wire.Unauthenticated) {
		return nil, dead
	}
	return nil, err
}

// enter takes a place among those who wait for a region of the map, until leave is called. Each
// region has its own places, so that one that is away, where requests wait for seconds, does not
// shut out the others' citizens.
func (a *API) enter(region wire.RegionID) (leave func(), err error) {
	a.mu.Lock()
	places := a.regions[region]
	if places == nil {
		places = make(chan struct{}, a.cfg.InFlightMax)
		a.regions[region] = places
	}
	a.mu.Unlock()
	return take(places, "The citizen's region is busy.")
}

// object reads the request's body. Places for that are bounded apart: a client may take its time.
func (c *call) object() (*object, error) {
	leave, err := take(c.api.bodies, "This gateway is busy.")
	if err != nil {
		return nil, err
	}
	defer leave()
	return readObject(c.w, c.r)
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
	token := bearer(c.r.Header)
	tag, ok := parseToken(token)
	if !ok {
		return refuse(problemSession, "The request needs a session's bearer token.")
	}
	region, ok := c.api.relay.RegionByTag(tag)
	if !ok {
		return refuse(problemSession, "The session does not exist or has ended.")
	}
	c.token, c.region = hashToken(token), region.ID
	return nil
}

// fail answers a problem.
func (a *API) fail(w http.ResponseWriter, r *http.Request, op *operation, err error) {
	p := problemOf(op, err)
	if p.Status >= 500 && r.Context().Err() == nil {
		a.log.Warn("citizen request failed", "operation", op.id, "problem", p.Type,
			"error", wire.AsError(err).Code.String())
	}
	if p.Status == http.StatusUnauthorized {
		w.Header().Set("WWW-Authenticate", "Bearer")
	}
	problem.Write(w, p)
}
