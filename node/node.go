package node

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"sync"
	"sync/atomic"

	"github.com/staffetta/staffetta/consensus"
	"github.com/staffetta/staffetta/node/datadir"
	"github.com/staffetta/staffetta/node/federation"
	"github.com/staffetta/staffetta/node/membership"
	"github.com/staffetta/staffetta/node/operate"
	"github.com/staffetta/staffetta/node/recovery"
	"github.com/staffetta/staffetta/node/region"
	"github.com/staffetta/staffetta/node/seat"
	"github.com/staffetta/staffetta/node/spool"
	"github.com/staffetta/staffetta/node/witness"
	"github.com/staffetta/staffetta/wire"
	"github.com/staffetta/staffetta/wire/link"
	"golang.org/x/sync/errgroup"
)

// Node is one relay node. Its exported methods may be called concurrently.
type Node struct {
	*seat.Seat
	// Set at construction.
	cfg      Config
	blocks   sync.Pool // of *wire.Block, to decode submissions into
	witness  *witness.Witness
	claims   *claims
	owners   *owners
	spool    *spool.Spool
	deals    *seat.Contact // when this replica was last known to have every deal of slots
	desk     *operate.Desk
	members  *membership.Membership
	recovery *recovery.Recovery

	fit atomic.Pointer[fit] // of slots
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
	n := &Node{Seat: &seat.Seat{ID: cfg.ID, RegionID: cfg.Region, Founding: cfg.Founding,
		Version: cfg.Version, Log: cfg.Logger, Clock: cfg.Now, Uptime: cfg.Uptime,
		Stopping: make(chan struct{}), Hasher: wire.NewHasher(cfg.DirectoryKey)}, cfg: cfg,
		blocks: sync.Pool{New: func() any { return new(wire.Block) }}}
	n.deals = seat.NewContact(cfg.Uptime, seat.LongAgo)
	n.Dir, err = datadir.Open(cfg.Dir, datadir.Owner{Format: datadir.Format, Node: cfg.ID,
		Federation: cfg.Founding.Federation, Region: cfg.Region})
	if err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, n.close())
		}
	}()
	if err := n.Dir.CheckMarks(); err != nil {
		return nil, err
	}
	n.desk, err = operate.New(n.Seat, operate.Config{Dir: cfg.Dir, Disk: cfg.Disk,
		BallastBytes: cfg.BallastBytes, Space: cfg.Space, Program: cfg.Program, Joined: cfg.Joined,
		Founds: cfg.Founds, Certificate: cfg.Certificate, Problem: cfg.Problem, Health: n.Health,
		Spool: func() []wire.SpoolStatus { return n.spool.Status() }})
	if err != nil {
		return nil, err
	}
	n.Disk = n.desk.Room()
	if err := n.OpenContact(); err != nil {
		return nil, err
	}
	if n.witness, err = witness.New(n.Seat); err != nil {
		return nil, err
	}
	if n.Coder, err = wire.NewCoder(2); err != nil {
		return nil, err
	}
	if err := n.openLink(); err != nil {
		return nil, err
	}
	if err := n.OpenStates(cfg.states()); err != nil {
		return nil, err
	}
	n.members.TakeTrust()
	if err := n.openGroups(); err != nil {
		return nil, err
	}
	if n.cfg.Stores == nil {
		if err := n.Dir.Founded(); err != nil {
			return nil, err
		}
	}
	n.registerMetrics()
	return n, nil
}

func (n *Node) openLink() error {
	n.members = membership.New(n.Seat, membership.Config{Joined: n.cfg.Joined, Founds: n.cfg.Founds,
		Renew: n.cfg.Renew, Certificate: n.cfg.Certificate, Registerer: n.cfg.Registerer,
		CheckSpools: func(ctx context.Context, r wire.RegionID) error {
			return n.spool.CheckEmpty(ctx, r)
		}})
	key, err := n.resetKey()
	if err != nil {
		return err
	}
	n.Link, err = link.New(link.Config{
		Federation: n.Founding.Federation, PacketConn: n.cfg.PacketConn, Listen: true,
		Certificate: n.cfg.Certificate, Roots: n.cfg.Roots, Problem: n.cfg.Problem, Addr: n.Addr,
		ResetKey: key, Admit: n.members.Admit, Permit: n.Permit,
		Logger: n.Log, Registerer: n.cfg.Registerer,
	})
	if err != nil {
		return err
	}
	self := n.Link.Self()
	if self.Role != link.RoleNode || self.Name != string(n.ID) ||
		self.Region != n.RegionID {
		return fmt.Errorf("the certificate is for %s, not for node %s of region %s", self,
			n.ID, n.RegionID)
	}
	n.Leaders = link.NewLeaders(n.Link)
	n.recovery = recovery.New(n.Seat)
	n.owners = &owners{n: n}
	n.claims = &claims{n: n, waits: make(map[wire.Recipient][]chan error)}
	n.spool = spool.New(n.Seat, n.cfg.Spool, n)
	n.Answer(n.calls())
	return n.members.HoldCertificate()
}

// resetKey is the node's stateless reset key: kept, so that peers notice a restart at once.
func (n *Node) resetKey() (*[32]byte, error) {
	const name = "reset.key"
	key := new([32]byte)
	b, err := n.Dir.Read(name)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, err
	}
	if len(b) == len(key) {
		copy(key[:], b)
		return key, nil
	}
	rand.Read(key[:])
	if err := datadir.WriteSynced(n.Dir.Path, name, key[:]); err != nil {
		return nil, fmt.Errorf("data directory: %w", err)
	}
	return key, nil
}

func (n *Node) openGroups() (err error) {
	regionMembers, federationMembers := n.members.Founders()
	open := func(group, dir string, members []consensus.Member, state replica) (
		*consensus.Group, error) {
		joined := n.cfg.Joined && !n.Dir.IsFounded()
		cfg := consensus.Config{Group: group, Self: n.ID, Dir: n.Dir.Sub(dir, "log"),
			LogStore: n.cfg.LogStore, Bootstrap: members, State: n.cfg.State(group, state),
			Seeded: joined || n.Dir.Restored(dir), Incarnation: state.Incarnation(),
			Transport: n.witness.Between(n.Link.Raft(link.Incarnated(group, state.Incarnation()))),
			Logger:    n.Log, Now: n.cfg.Now, Uptime: n.Uptime, Timing: n.cfg.Timing(group),
			Registerer: n.cfg.Registerer}
		if n.cfg.Stores != nil {
			cfg.Stores = n.cfg.Stores(group)
		}
		g, err := consensus.Open(cfg)
		if err != nil {
			return nil, fmt.Errorf("group %s: %w", group, err)
		}
		return g, n.Dir.Begun(dir)
	}
	n.FederationGroup, err = open(seat.FederationGroup, "federation", federationMembers,
		n.Seat.Federation)
	if err != nil {
		return err
	}
	n.RegionGroup, err = open(seat.RegionGroup(n.RegionID), "region", regionMembers, n.Seat.Region)
	if err != nil {
		return err
	}
	n.FederationLog = seat.NewTimed(n.FederationGroup, n.Seat.Federation, n.Now,
		wire.CmdConfirmFederationTime)
	n.RegionLog = seat.NewTimed(n.RegionGroup, n.Seat.Region, n.Now, wire.CmdConfirmTime)
	n.FederationQueue = seat.NewQueue(n.FederationGroup, n.FederationLog.Stamp)
	n.FederationQueue.Applied = make(chan struct{}, 1)
	n.FederationQueue.Active = n.Seat.Federation.ActiveVersion
	n.RegionQueue = seat.NewQueue(n.RegionGroup, n.RegionLog.Stamp)
	n.RegionQueue.Active = n.Seat.Region.ActiveVersion
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
	base.Go(func() error { return n.Dir.NoteDamage("region", n.RegionGroup.Run(baseCtx)) })
	base.Go(func() error {
		return n.Dir.NoteDamage("federation", n.FederationGroup.Run(baseCtx))
	})
	base.Go(func() error { return n.Link.Run(baseCtx) })
	g.Go(func() error { // what ends below ends what is above
		select {
		case <-baseCtx.Done():
			return context.Cause(baseCtx)
		case <-ctx.Done():
			return nil
		}
	})
	g.Go(func() error { return n.RegionQueue.Run(ctx) })
	g.Go(func() error { return n.FederationQueue.Run(ctx) })
	g.Go(func() error { return n.announce(ctx) })
	g.Go(func() error { return n.members.FollowTrust(ctx) })
	g.Go(func() error { return n.members.KeepCertificate(ctx) })
	g.Go(func() error { return n.WhileLeading(ctx, n.RegionGroup, n.leadRegion) })
	g.Go(func() error { return n.WhileLeading(ctx, n.FederationGroup, n.leadFederation) })
	g.Go(func() error { return n.WhileLeading(ctx, n.RegionGroup, n.members.TendRegion) })
	g.Go(func() error { return n.WhileLeading(ctx, n.FederationGroup, n.members.TendFederation) })
	g.Go(func() error { return n.witness.Run(ctx) })
	g.Go(func() error { return n.members.NoticeRemoval(ctx) })
	g.Go(func() error { return n.desk.WatchDisk(ctx) })
	g.Go(func() error { return n.recovery.WatchIncarnations(ctx) })
	g.Go(func() error { return n.desk.KeepFormat(ctx) })
	g.Go(func() error { return n.KeepContact(ctx) })
	g.Go(func() error {
		return n.Dir.NoteDamage("region", fatal(ctx, "region state", n.Seat.Region.Err()))
	})
	g.Go(func() error {
		return n.Dir.NoteDamage("federation", fatal(ctx, "federation state", n.Seat.Federation.Err()))
	})
	g.Go(func() error {
		<-ctx.Done()
		close(n.Stopping)
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

// close releases what New opened, as far as it came.
func (n *Node) close() error {
	if n.members != nil {
		n.members.Close()
	}
	return errors.Join(n.Seat.Close(), n.Dir.Close())
}

func (n *Node) registerMetrics() {
	n.cfg.Registerer.MustRegister(n.desk.Metrics()...)
	n.cfg.Registerer.MustRegister(n.moveMetrics()...)
	n.cfg.Registerer.MustRegister(n.owners.metrics()...)
	n.cfg.Registerer.MustRegister(
		n.Seat.Region.Store().Collector(), n.Seat.Federation.Collector(), n.spool.Collector())
}

// View is everything that the node knows of itself.
func (n *Node) View() *wire.NodeStatus { return n.desk.View() }

// Region is the replica of the region's state, for checkers.
func (n *Node) Region() *region.State { return n.Seat.Region }

// Spool is what waits here for regions that are away, for checkers.
func (n *Node) Spool() *spool.Spool { return n.spool }

// Federation is the replica of the federation's state, for checkers.
func (n *Node) Federation() *federation.State { return n.Seat.Federation }

// replica is a group's state as a node opens it.
type replica interface {
	consensus.StateMachine
	// Incarnation counts how often the group was restored from a backup.
	Incarnation() uint32
}
