package node

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/staffetta/staffetta/consensus"
	"github.com/staffetta/staffetta/internal/renewal"
	"github.com/staffetta/staffetta/internal/store"
	"github.com/staffetta/staffetta/node/federation"
	"github.com/staffetta/staffetta/node/region"
	"github.com/staffetta/staffetta/wire"
	"github.com/staffetta/staffetta/wire/link"
	"golang.org/x/sync/errgroup"
)

const (
	// RegionMemTableBytes is the region's write buffer. Blocks fill it and never move again, rows
	// are a quarter of it and are merged again and again, the less the more come at once.
	RegionMemTableBytes = 32 << 20
	// CacheBytes is what the node's two states share for write buffers and Pebble's block cache.
	// Pebble takes two write buffers of each off it, of 32 and 8 MiB, which leaves 64 MiB, taken
	// on demand. Look-ups of idempotency keys want the tables' filters in there: with 16 MiB a
	// keyed message costs 35 µs to apply once there are half a million, with 64 MiB 16 µs.
	CacheBytes = 64<<20 + 2*RegionMemTableBytes + 2*store.MemTableDefault
)

// Node is one relay node. Its exported methods may be called concurrently.
type Node struct {
	// Set at construction.
	cfg             Config
	log             *slog.Logger
	dir             *dataDir
	hasher          *wire.Hasher
	coder           *wire.Coder
	blocks          sync.Pool // of *wire.Block, to decode submissions into
	cache           *pebble.Cache
	link            *link.Link
	table           map[wire.Method]*call // what is answered here
	leaders         *link.Leaders
	region          *region.State
	federation      *federation.State
	regionGroup     *consensus.Group
	federationGroup *consensus.Group
	regionLog       *timed
	federationLog   *timed
	witness         *witness
	regionQueue     *queue
	federationQueue *queue
	claims          *claims
	owners          *owners
	spool           *spool
	stopping        chan struct{} // closed when Run begins to stop
	opened          time.Time
	contact         *contact   // with the federation
	deals           *contact   // when this replica was last known to have every deal of slots
	membersMu       sync.Mutex // held while an operator's change of members is judged and logged
	disk            *disk
	seeds           *seeds
	renewals        *renewals
	holder          *renewal.Holder // of this node's certificate; nil: others renew it
	addrs           sync.Map        // of wire.NodeID to the last address known, a string
	backups         *backups
	probing         chan struct{} // holds one token per probe under way

	fit       atomic.Pointer[fit] // of slots
	admission atomic.Pointer[admission]
}

// New opens the data directory, both states and both groups, or says why it cannot: an Ending.
// Nothing is served before Run. A Node that was made must be Run, which also closes it.
func New(cfg Config) (*Node, error) {
	cfg.setDefaults()
	if err := cfg.validate(); err != nil {
		return nil, err
	}
	n, err := open(cfg)
	return n, ended(err)
}

func open(cfg Config) (_ *Node, err error) {
	n := &Node{cfg: cfg, log: cfg.Logger, hasher: wire.NewHasher(cfg.DirectoryKey),
		blocks:   sync.Pool{New: func() any { return new(wire.Block) }},
		stopping: make(chan struct{}), probing: make(chan struct{}, probesMax), opened: time.Now()}
	n.dir, err = openDataDir(cfg.Dir, owner{Format: ownerFormat, Node: cfg.ID,
		Federation: cfg.Founding.Federation, Region: cfg.Region})
	if err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, n.close())
		}
	}()
	if err := n.dir.checkMarks(); err != nil {
		return nil, err
	}
	n.disk = newDisk(&n.cfg)
	n.disk.look()
	if err := n.setBallast(); err != nil {
		return nil, err
	}
	if err := n.openContact(); err != nil {
		return nil, err
	}
	if err := n.openWitness(); err != nil {
		return nil, err
	}
	if n.coder, err = wire.NewCoder(2); err != nil {
		return nil, err
	}
	if err := n.openLink(); err != nil {
		return nil, err
	}
	if err := n.openStates(); err != nil {
		return nil, err
	}
	n.takeTrust()
	if err := n.openGroups(); err != nil {
		return nil, err
	}
	if n.cfg.Stores == nil {
		if err := n.dir.founded(); err != nil {
			return nil, err
		}
	}
	n.registerMetrics()
	return n, nil
}

func (n *Node) openLink() error {
	key, err := n.resetKey()
	if err != nil {
		return err
	}
	n.link, err = link.New(link.Config{
		Federation: n.cfg.Founding.Federation, PacketConn: n.cfg.PacketConn, Listen: true,
		Certificate: n.cfg.Certificate, Roots: n.cfg.Roots, Problem: n.cfg.Problem, Addr: n.addr,
		ResetKey: key, Admit: n.admitPeer, Permit: n.permit,
		Logger: n.log, Registerer: n.cfg.Registerer,
	})
	if err != nil {
		return err
	}
	self := n.link.Self()
	if self.Role != link.RoleNode || self.Name != string(n.cfg.ID) ||
		self.Region != n.cfg.Region {
		return fmt.Errorf("the certificate is for %s, not for node %s of region %s", self,
			n.cfg.ID, n.cfg.Region)
	}
	n.leaders = link.NewLeaders(n.link)
	n.seeds = &seeds{n: n, open: map[string]*seed{}}
	n.backups = newBackups(n)
	n.renewals = newRenewals(n)
	n.answerCalls()
	return n.openHolder()
}

// resetKey is the node's stateless reset key: kept, so that peers notice a restart at once.
func (n *Node) resetKey() (*[32]byte, error) {
	const name = "reset.key"
	key := new([32]byte)
	b, err := n.dir.read(name)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, err
	}
	if len(b) == len(key) {
		copy(key[:], b)
		return key, nil
	}
	rand.Read(key[:])
	if err := writeSynced(n.dir.path, name, key[:]); err != nil {
		return nil, fmt.Errorf("data directory: %w", err)
	}
	return key, nil
}

func (n *Node) openStates() (err error) {
	n.cache = pebble.NewCache(CacheBytes)
	config := func(group, dir string, sync bool) store.Config {
		return store.Config{Dir: n.dir.sub(dir, "state"), FS: n.cfg.FS, Sync: sync,
			Cache: n.cache, Logger: n.log.With("group", group),
			Identity: store.Identity{Federation: n.cfg.Founding.Federation, Group: group,
				Key: n.cfg.DirectoryKey.Fingerprint()}}
	}
	n.federation, err = federation.Open(federation.Config{Hasher: n.hasher, Logger: n.log,
		Store: config(federationGroup, "federation", true)})
	if err != nil {
		return fmt.Errorf("federation state: %w", err)
	}
	messages := config(regionGroup(n.cfg.Region), "region", false)
	messages.MemTableBytes = RegionMemTableBytes
	n.region, err = region.Open(region.Config{Region: n.cfg.Region, Hasher: n.hasher,
		Coder: n.coder, Logger: n.log, EraseAfter: n.cfg.EraseAfter,
		RejectionRetention: n.cfg.RejectionRetention, KeepMoved: n.cfg.KeepMoved,
		Store: messages})
	if err != nil {
		return fmt.Errorf("region state: %w", err)
	}
	return nil
}

func (n *Node) openGroups() (err error) {
	regionMembers, federationMembers := n.founders()
	open := func(group, dir string, members []consensus.Member, state replica) (
		*consensus.Group, error) {
		joined := n.cfg.Joined && missing(n.dir.sub(foundedFile))
		cfg := consensus.Config{Group: group, Self: n.cfg.ID, Dir: n.dir.sub(dir, "log"),
			LogStore: n.cfg.LogStore, Bootstrap: members, State: n.cfg.State(group, state),
			Seeded: joined || n.dir.restored(dir), Incarnation: state.Incarnation(),
			Transport: metLayer{n.link.Raft(link.Incarnated(group, state.Incarnation())), n.witness},
			Logger:    n.log, Now: n.cfg.Now, Uptime: n.cfg.Uptime, Timing: n.cfg.Timing(group),
			Registerer: n.cfg.Registerer}
		if n.cfg.Stores != nil {
			cfg.Stores = n.cfg.Stores(group)
		}
		g, err := consensus.Open(cfg)
		if err != nil {
			return nil, fmt.Errorf("group %s: %w", group, err)
		}
		return g, n.dir.begun(dir)
	}
	n.federationGroup, err = open(federationGroup, "federation", federationMembers,
		n.federation)
	if err != nil {
		return err
	}
	n.regionGroup, err = open(regionGroup(n.cfg.Region), "region", regionMembers, n.region)
	if err != nil {
		return err
	}
	n.federationLog = newTimed(n.federationGroup, n.federation, n.clockNow,
		wire.CmdConfirmFederationTime)
	n.regionLog = newTimed(n.regionGroup, n.region, n.clockNow, wire.CmdConfirmTime)
	n.federationQueue = newQueue(n.federationGroup, n.federationLog.stamp)
	n.federationQueue.applied = make(chan struct{}, 1)
	n.federationQueue.active = n.federation.ActiveVersion
	n.regionQueue = newQueue(n.regionGroup, n.regionLog.stamp)
	n.regionQueue.active = n.region.ActiveVersion
	n.owners = &owners{n: n}
	n.claims = &claims{n: n, waits: make(map[wire.Recipient][]chan error)}
	n.spool = newSpool(n)
	return nil
}

// Run serves until ctx ends (nil) or the node cannot go on (why, an Ending). It returns after
// everything that it started has ended and all files are closed.
func (n *Node) Run(ctx context.Context) error {
	// The groups and the link outlive the duties, which need them to end well.
	groups, stopGroups := context.WithCancel(context.WithoutCancel(ctx))
	defer stopGroups()
	g, ctx := errgroup.WithContext(ctx)
	base, baseCtx := errgroup.WithContext(groups)
	base.Go(func() error { return n.dir.noteDamage("region", n.regionGroup.Run(baseCtx)) })
	base.Go(func() error {
		return n.dir.noteDamage("federation", n.federationGroup.Run(baseCtx))
	})
	base.Go(func() error { return n.link.Run(baseCtx) })
	g.Go(func() error { // what ends below ends what is above
		select {
		case <-baseCtx.Done():
			return context.Cause(baseCtx)
		case <-ctx.Done():
			return nil
		}
	})
	g.Go(func() error { return n.regionQueue.run(ctx) })
	g.Go(func() error { return n.federationQueue.run(ctx) })
	g.Go(func() error { return n.announce(ctx) })
	g.Go(func() error { return n.followTrust(ctx) })
	g.Go(func() error { return n.keepCertificate(ctx) })
	g.Go(func() error { return n.whileLeading(ctx, n.regionGroup, n.leadRegion) })
	g.Go(func() error { return n.whileLeading(ctx, n.federationGroup, n.leadFederation) })
	g.Go(func() error { return n.whileLeading(ctx, n.regionGroup, n.tendRegion) })
	g.Go(func() error { return n.whileLeading(ctx, n.federationGroup, n.tendFederation) })
	g.Go(func() error { return n.attestAll(ctx) })
	g.Go(func() error { return n.noticeRemoval(ctx) })
	g.Go(func() error { return n.watchDisk(ctx) })
	g.Go(func() error { return n.watchIncarnations(ctx) })
	g.Go(func() error { return n.keepFormat(ctx) })
	g.Go(func() error { return n.keepContact(ctx) })
	g.Go(func() error {
		return n.dir.noteDamage("region", fatal(ctx, "region state", n.region.Err()))
	})
	g.Go(func() error {
		return n.dir.noteDamage("federation", fatal(ctx, "federation state", n.federation.Err()))
	})
	g.Go(func() error {
		<-ctx.Done()
		close(n.stopping)
		return nil
	})
	err := g.Wait()
	stopGroups()
	err = n.noteRemoval(errors.Join(err, base.Wait()))
	return ended(errors.Join(err, n.noteDivergence(err), n.close()))
}

// fatal waits for a background error of a state's database, after which nothing it says can be
// trusted.
func fatal(ctx context.Context, what string, errs <-chan error) error {
	select {
	case err := <-errs:
		return fmt.Errorf("%s: %w", what, err)
	case <-ctx.Done():
		return nil
	}
}

// close releases what New opened, as far as it came. A state belongs to its group once that is
// open; why a group failed is what its Run returned.
func (n *Node) close() error {
	var errs []error
	if n.seeds != nil {
		n.seeds.close()
	}
	if n.regionGroup != nil {
		n.regionGroup.Close()
	} else if n.region != nil {
		errs = append(errs, n.region.Close())
	}
	if n.federationGroup != nil {
		n.federationGroup.Close()
	} else if n.federation != nil {
		errs = append(errs, n.federation.Close())
	}
	if n.cache != nil {
		n.cache.Unref()
	}
	if n.coder != nil {
		n.coder.Close()
	}
	return errors.Join(append(errs, n.dir.close())...)
}

// clockNow is the wall clock.
func (n *Node) clockNow() wire.Time { return wire.TimeOf(n.cfg.Now()) }

func (n *Node) registerMetrics() {
	n.cfg.Registerer.MustRegister(n.diskMetrics()...)
	n.cfg.Registerer.MustRegister(n.moveMetrics()...)
	n.cfg.Registerer.MustRegister(n.owners.metrics()...)
	n.cfg.Registerer.MustRegister(
		n.region.Store().Collector(), n.federation.Collector(), n.spool.stats,
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "staffetta_node_ready",
			Help: "1 when the node can do its job, as /health says."},
			func() float64 { return boolGauge(n.Health().Ready) }),
	)
}

func boolGauge(b bool) float64 {
	if b {
		return 1
	}
	return 0
}

// Region is the replica of the region's state, for checkers.
func (n *Node) Region() *region.State { return n.region }

// Federation is the replica of the federation's state, for checkers.
func (n *Node) Federation() *federation.State { return n.federation }
