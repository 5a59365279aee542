package route

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/staffetta/staffetta/wire"
	"github.com/staffetta/staffetta/wire/link"
	"golang.org/x/sync/errgroup"
)

// Router routes for one gateway. Every method is safe for concurrent use. Until Run has spoken
// to a home node, calls return Unavailable and Hasher returns nil.
type Router struct {
	// Set at construction.
	cfg       Config
	coder     *wire.Coder
	ownCoder  bool
	home      *home
	directory *directory
	resolver  *resolver
	services  *services
	catalogue catalogue
	remotes   remotes
	stats     *stats
	spare     sync.Pool // submissions, for the next records

	fed  atomic.Pointer[federation]
	feed feedState

	// Guarded by mu. Owners and lanes are made when the map first names their region and stay.
	mu     sync.RWMutex
	owners map[wire.RegionID]*owner
}

// federation is what a router knows of the federation, replaced as a whole.
type federation struct {
	m       wire.Map
	hasher  *wire.Hasher
	home    wire.Region
	byTag   map[wire.RegionTag]wire.Region
	byID    map[wire.RegionID]wire.Region
	nodes   map[wire.RegionID][]link.Peer
	anchors [wire.Slots]wire.RegionID
}

func newFederation(m wire.Map, h *wire.Hasher, home wire.RegionID) (*federation, error) {
	f := &federation{m: m, hasher: h,
		byTag: make(map[wire.RegionTag]wire.Region, len(m.Regions)),
		byID:  make(map[wire.RegionID]wire.Region, len(m.Regions)),
		nodes: make(map[wire.RegionID][]link.Peer, len(m.Regions))}
	if len(m.Regions) > wire.RegionsMax || len(m.Nodes) > wire.NodesMax {
		return nil, wire.Errorf(wire.TooLarge, "map of %d regions and %d nodes",
			len(m.Regions), len(m.Nodes))
	}
	for _, r := range m.Regions {
		f.byTag[r.Tag], f.byID[r.ID] = r, r
	}
	for _, n := range m.Nodes {
		f.nodes[n.Region] = append(f.nodes[n.Region], link.Peer{Node: n.ID, Addr: n.Addr})
	}
	for s := range f.anchors {
		f.anchors[s] = m.Anchor(wire.Slot(s))
	}
	var ok bool
	if f.home, ok = f.byID[home]; !ok {
		return nil, wire.Errorf(wire.NotReady, "the federation's map has no region %q", home)
	}
	return f, nil
}

// normal gives an entry the form of an answer: who owns a code that nobody has claimed, or not
// yet, is its anchor at epoch 0, as of the map that we have.
func (f *federation) normal(r wire.Recipient, e wire.DirectoryEntry) wire.DirectoryEntry {
	if e.State == wire.Claimed {
		return e
	}
	e.Epoch, e.Active = 0, false
	if anchor := f.anchors[r.Slot()]; anchor != "" {
		e.Region = anchor
	}
	return e
}

// New returns a router; nothing happens before Run.
func New(cfg Config) (*Router, error) {
	if err := cfg.validate(); err != nil {
		return nil, err
	}
	cfg.setDefaults()
	r := &Router{cfg: cfg, coder: cfg.Coder, owners: make(map[wire.RegionID]*owner)}
	if r.coder == nil {
		var err error
		if r.coder, err = wire.NewCoder(2); err != nil {
			return nil, fmt.Errorf("route: %w", err)
		}
		r.ownCoder = true
	}
	var err error
	if r.stats, err = newStats(cfg.Registerer, r); err != nil {
		return nil, fmt.Errorf("route: %w", err)
	}
	r.feed.faults, r.feed.uptime = make(map[string]string), cfg.Uptime
	r.home = newHome(cfg.Caller, cfg.Nodes)
	r.directory = newDirectory(cfg.Limits.DirectoryBytes)
	r.resolver = newResolver(cfg.Limits.ResolveWaiting)
	r.services = newServices(cfg.Limits.ServiceBytes)
	r.remotes = newRemotes(cfg.Limits.ServiceBytes)
	return r, nil
}

// Run works until ctx ends; then every waiter has been answered and every goroutine is gone. It
// returns nil, since a router has no way to fail for good. It is called once.
func (r *Router) Run(ctx context.Context) error {
	if r.ownCoder {
		defer r.coder.Close()
	}
	g, ctx := errgroup.WithContext(ctx)
	for range r.cfg.Limits.ResolveCalls {
		g.Go(func() error { return r.resolveLoop(ctx) })
	}
	g.Go(func() error {
		return r.follow(ctx, func(o *owner) {
			for range r.cfg.Limits.BlocksInFlight {
				g.Go(func() error { return r.carry(ctx, o) })
				g.Go(func() error { return r.carrySpooled(ctx, o) })
			}
			g.Go(func() error { return r.watch(ctx, o) })
		})
	})
	err := g.Wait()
	r.resolver.close()
	r.mu.RLock()
	defer r.mu.RUnlock()
	for _, o := range r.owners {
		o.lane.close()
		o.spool.close()
	}
	return err
}

// adopt makes a map the current one, unless a newer one is known, and starts the lanes of
// regions that are new.
func (r *Router) adopt(m wire.Map, h *wire.Hasher, start func(*owner)) error {
	if before := r.fed.Load(); before != nil && m.Version < before.m.Version {
		return nil
	}
	f, err := newFederation(m, h, r.cfg.Region)
	if err != nil {
		return err
	}
	if r.cfg.Trust != nil {
		r.cfg.Trust(&m.Trust)
	}
	r.home.know(f.nodes[f.home.ID])
	var fresh []*owner
	r.mu.Lock()
	for _, region := range m.Regions {
		o := r.owners[region.ID]
		if o == nil {
			o = newOwner(region.ID, &r.cfg, r.stats)
			r.owners[region.ID] = o
			fresh = append(fresh, o)
		}
		o.Know(f.nodes[region.ID])
	}
	r.mu.Unlock()
	r.fed.Store(f)
	for _, o := range fresh {
		start(o)
	}
	return nil
}

// owner returns what reaches a region; nil when the map never named it.
func (r *Router) owner(id wire.RegionID) *owner {
	r.mu.RLock()
	defer r.mu.RUnlock()
	return r.owners[id]
}

// known returns what is known of the federation, or Unavailable before the first contact.
func (r *Router) known() (*federation, error) {
	if f := r.fed.Load(); f != nil {
		return f, nil
	}
	return nil, wire.Errorf(wire.Unavailable, "no home node has answered yet")
}

// Hasher computes recipients; nil before the first contact.
func (r *Router) Hasher() *wire.Hasher {
	if f := r.fed.Load(); f != nil {
		return f.hasher
	}
	return nil
}

// NewID mints a message id for the gateway's home region. It panics before the first contact,
// when the region's tag is not known: an id that names no region could never be found again.
func (r *Router) NewID() wire.MessageID {
	f := r.fed.Load()
	if f == nil {
		panic("route: NewID before the first contact with a home node")
	}
	return wire.NewMessageID(wire.TimeOf(r.cfg.Now()), f.home.Tag)
}

// Home is the gateway's home region; its tag is zero before the first contact.
func (r *Router) Home() wire.Region {
	if f := r.fed.Load(); f != nil {
		return f.home
	}
	return wire.Region{ID: r.cfg.Region}
}

// RegionByTag returns a region of the federation's map.
func (r *Router) RegionByTag(tag wire.RegionTag) (wire.Region, bool) {
	f := r.fed.Load()
	if f == nil {
		return wire.Region{}, false
	}
	region, ok := f.byTag[tag]
	return region, ok
}

// Regions are those of the federation's map, in no order; none before the first contact.
func (r *Router) Regions() []wire.Region {
	f := r.fed.Load()
	if f == nil {
		return nil
	}
	return slices.Collect(maps.Values(f.byID))
}

// RegionByID returns a region of the federation's map.
func (r *Router) RegionByID(id wire.RegionID) (wire.Region, bool) {
	f := r.fed.Load()
	if f == nil {
		return wire.Region{}, false
	}
	region, ok := f.byID[id]
	return region, ok
}
