package gateway

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"sync/atomic"

	"github.com/staffetta/staffetta/gateway/citizen"
	"github.com/staffetta/staffetta/gateway/identity"
	"github.com/staffetta/staffetta/gateway/identity/keeper"
	"github.com/staffetta/staffetta/gateway/institution"
	"github.com/staffetta/staffetta/gateway/login"
	"github.com/staffetta/staffetta/gateway/remote"
	"github.com/staffetta/staffetta/gateway/route"
	"github.com/staffetta/staffetta/gateway/session"
	"github.com/staffetta/staffetta/gateway/web"
	"github.com/staffetta/staffetta/internal/adminhttp"
	"github.com/staffetta/staffetta/internal/renewal"
	"github.com/staffetta/staffetta/internal/room"
	"github.com/staffetta/staffetta/wire"
	"github.com/staffetta/staffetta/wire/link"
	"golang.org/x/sync/errgroup"
)

// Gateway is one gateway process.
type Gateway struct {
	// Set at construction.
	cfg    Config
	self   link.Identity
	link   *link.Link
	router *route.Router
	edge   *edge
	holder *renewal.Holder // of the gateway's certificate; nil: others renew it
	// institutions is told to drain: its bulk requests do not end by themselves.
	institutions *institution.API
	pages        *web.Web
	logins       *login.Flow
	keeper       *keeper.Keeper
	remote       *remote.Client
	descriptors  *room.Room // file descriptors of the process

	draining atomic.Bool
}

// New checks everything that can be checked without the network and wires the parts. It takes
// over the listeners: when it fails they are closed.
func New(cfg Config) (*Gateway, error) {
	g, err := build(cfg)
	if err != nil {
		if cfg.HTTP != nil {
			cfg.HTTP.Close()
		}
		if cfg.Admin != nil {
			cfg.Admin.Close()
		}
	}
	return g, err
}

func build(cfg Config) (*Gateway, error) {
	if err := cfg.validate(); err != nil {
		return nil, err
	}
	g := &Gateway{cfg: cfg, descriptors: room.Descriptors(),
		remote: remote.New(remote.Config{Allow: cfg.RemoteAllow})}
	cfg.Link.Logger, cfg.Link.Registerer = cfg.Logger, cfg.Registry
	var err error
	if g.link, err = link.New(cfg.Link); err != nil {
		return nil, fmt.Errorf("gateway: %w", err)
	}
	if g.self = g.link.Self(); g.self.Role != link.RoleGateway {
		return nil, fmt.Errorf("gateway: the certificate is of %s, no gateway", g.self)
	}
	g.router, err = route.New(route.Config{Caller: g.link, Nodes: cfg.Nodes,
		Region: g.self.Region, Trust: g.link.Trust, KeyGrace: cfg.KeyGrace,
		Limits: cfg.Limits.Route, Weights: cfg.Weights, Now: cfg.Now, Uptime: cfg.Uptime,
		Logger: cfg.Logger, Registerer: cfg.Registry})
	if err != nil {
		return nil, fmt.Errorf("gateway: %w", err)
	}
	if g.holder, err = g.newHolder(); err != nil {
		return nil, fmt.Errorf("gateway: %w", err)
	}
	mux, err := g.routes()
	if err != nil {
		return nil, fmt.Errorf("gateway: %w", err)
	}
	if err = g.registerRooms(); err != nil {
		return nil, fmt.Errorf("gateway: %w", err)
	}
	if g.edge, err = newEdge(mux, cfg.Limits.Requests, cfg.Logger, cfg.Registry); err != nil {
		return nil, fmt.Errorf("gateway: %w", err)
	}
	g.edge.page = g.pages.Failed
	return g, nil
}

// newHolder makes what renews the gateway's own certificate; nil: others do.
func (g *Gateway) newHolder() (*renewal.Holder, error) {
	if g.cfg.Renew == (renewal.Files{}) {
		return nil, nil
	}
	return renewal.NewHolder(renewal.Config{Files: g.cfg.Renew,
		Certificate: g.cfg.Link.Certificate, Judge: g.link.Judge, Logger: g.cfg.Logger,
		Registerer: g.cfg.Registry,
		Ask: func(ctx context.Context, a *wire.AskRenewal) (*wire.Renewal, error) {
			r := new(wire.Renewal)
			return r, g.router.CallRegion(ctx, g.self.Region, wire.MethodAskRenewal, a, r)
		}})
}

// routes registers every public path.
func (g *Gateway) routes() (*http.ServeMux, error) {
	mux := http.NewServeMux()
	var err error
	g.institutions, err = institution.New(institution.Config{Relay: g.router,
		Logger: g.cfg.Logger, Registerer: g.cfg.Registry, TrustedProxies: g.cfg.TrustedProxies,
		Capacity: g.cfg.Limits.Capacity, AcceptUnserved: g.cfg.AcceptUnserved})
	if err != nil {
		return nil, err
	}
	g.institutions.Register(mux)
	logins, err := session.NewLogins(g.cfg.Registry)
	if err != nil {
		return nil, err
	}
	citizens, err := citizen.New(citizen.Config{Relay: g.router, TestLogin: g.cfg.TestLogin,
		SessionTTL: g.cfg.SessionTTL, OneSession: g.cfg.OneSession, Featured: g.cfg.Featured,
		Remote: g.remote, Logins: logins, Logger: g.cfg.Logger, Registerer: g.cfg.Registry})
	if err != nil {
		return nil, err
	}
	citizens.Register(mux)
	g.pages, err = web.New(web.Config{Relay: g.router, Citizens: citizens,
		TestLogin: g.cfg.TestLogin != nil, Providers: infosOf(g.cfg.Identity.Providers),
		Contact: g.cfg.Contact, Logger: g.cfg.Logger})
	if err != nil {
		return nil, err
	}
	g.pages.Register(mux)
	if g.logins, err = login.New(login.Config{Relay: g.router, Regions: citizens.Regions(),
		Logins: logins, SessionTTL: citizens.SessionTTL(), OneSession: g.cfg.OneSession,
		Providers: g.cfg.Identity.Providers, Published: g.cfg.Identity.Published,
		Metadata: g.cfg.Identity.Metadata,
		Rules:    identity.Rules{AgeMin: g.cfg.Identity.AgeMin}, LevelMin: g.cfg.Identity.LevelMin,
		Show:   g.pages.ShowLogin,
		Logger: g.cfg.Logger}); err != nil {
		return nil, err
	}
	g.logins.Register(mux)
	if g.keeper, err = keeper.New(g.cfg.Identity.Sources, g.cfg.Now, g.cfg.Logger,
		g.cfg.Registry); err != nil {
		return nil, err
	}
	own.Register(mux, statuses(g.Ready, g.logins.Providers))
	return mux, registerDocuments(mux, g.cfg.Contact)
}

// infosOf is what the pages say of identity providers.
func infosOf(list []identity.Provider) []identity.Info {
	all := make([]identity.Info, len(list))
	for i, p := range list {
		all[i] = p.Info()
	}
	return all
}

// Run serves until ctx ends, or until it cannot: the link's socket or a listener fails. When
// ctx ends, requests under way are finished within DrainWait first. It returns after every
// goroutine that it started, nil when ctx ended. It is called once.
func (g *Gateway) Run(ctx context.Context) error {
	// The way to the federation outlives ctx, for the requests that are being drained.
	inner, stop := context.WithCancel(context.WithoutCancel(ctx))
	defer stop()
	group, inner := errgroup.WithContext(inner)
	group.Go(func() error {
		if err := g.link.Run(inner); err != nil {
			return err
		}
		return ended(inner, "the link")
	})
	group.Go(func() error { return g.router.Run(inner) })
	group.Go(func() error {
		g.watchDescriptors(inner)
		return nil
	})
	group.Go(func() error { return g.keeper.Run(inner) })
	if g.holder != nil {
		group.Go(func() error { return g.holder.Run(inner) })
	}
	if g.cfg.Admin != nil {
		admin := adminhttp.New(g.Health, func() any { return g.Status() }, g.cfg.Registry)
		group.Go(func() error {
			return adminhttp.Serve(inner, g.cfg.Admin, admin, g.cfg.Logger)
		})
	}
	group.Go(func() error {
		defer stop()
		defer context.AfterFunc(ctx, g.institutions.Drain)()
		return g.serve(ctx, inner)
	})
	err := group.Wait()
	g.remote.Close()
	if errors.Is(err, context.Canceled) && ctx.Err() != nil {
		err = nil
	}
	return err
}

// ended is the error of a part that ended although nobody told it to.
func ended(ctx context.Context, what string) error {
	if ctx.Err() != nil {
		return nil
	}
	return fmt.Errorf("gateway: %s ended", what)
}

// Ready returns nil when the gateway can do its job now.
func (g *Gateway) Ready() error {
	if g.draining.Load() {
		return wire.Errorf(wire.NotReady, "the gateway is stopping")
	}
	return g.router.Ready()
}

// Health is what /health says.
func (g *Gateway) Health() adminhttp.Health {
	h := adminhttp.Health{Ready: true, Degraded: g.router.Degraded()}
	if err := g.Ready(); err != nil {
		h.Ready, h.Reasons = false, []string{wire.AsError(err).Detail}
	}
	reasons, degraded := g.link.Concerns()
	h.Reasons, h.Degraded = append(h.Reasons, reasons...), append(h.Degraded, degraded...)
	reasons, degraded = g.roomConcerns()
	h.Reasons, h.Degraded = append(h.Reasons, reasons...), append(h.Degraded, degraded...)
	if g.holder != nil {
		if late := g.holder.Concern(); late != "" {
			h.Degraded = append(h.Degraded, late)
		}
	}
	if g.keeper != nil {
		h.Degraded = append(h.Degraded, g.keeper.Concerns()...)
	}
	h.Ready = len(h.Reasons) == 0
	return h
}

// Status is what /status says.
type Status struct {
	ID string `json:"id"`
	route.Status
	Connections int64 `json:"connections"`
	Requests    int64 `json:"requests"`
	Draining    bool  `json:"draining"`
}

// Status returns how the gateway is now.
func (g *Gateway) Status() Status {
	return Status{ID: g.self.Name, Status: g.router.Status(),
		Connections: g.edge.connections.Load(), Requests: g.edge.requests.Load(),
		Draining: g.draining.Load()}
}
