package node

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"slices"

	"github.com/staffetta/staffetta/consensus"
	"github.com/staffetta/staffetta/node/datadir"
	"github.com/staffetta/staffetta/node/federation"
	"github.com/staffetta/staffetta/node/membership"
	"github.com/staffetta/staffetta/node/operate"
	"github.com/staffetta/staffetta/node/recovery"
	"github.com/staffetta/staffetta/node/region"
	"github.com/staffetta/staffetta/node/seat"
	"github.com/staffetta/staffetta/node/spool"
	"github.com/staffetta/staffetta/node/transfer"
	"github.com/staffetta/staffetta/node/witness"
	"github.com/staffetta/staffetta/wire"
	"github.com/staffetta/staffetta/wire/link"
	"golang.org/x/sync/errgroup"
)

// Node is one relay node. Its exported methods may be called concurrently.
type Node struct {
	// Set at construction.
	seat     *seat.Seat
	cfg      Config
	citizens *citizens
	services *services
	witness  *witness.Witness
	transfer *transfer.Transfer
	spool    *spool.Spool
	desk     *operate.Desk
	members  *membership.Membership
	recovery *recovery.Recovery
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
	n := &Node{seat: &seat.Seat{ID: cfg.ID, RegionID: cfg.Region, Founding: cfg.Founding,
		Version: cfg.Version, Log: cfg.Logger, Clock: cfg.Now, Uptime: cfg.Uptime,
		StaleFor: cfg.StaleReadsFor, Stopping: make(chan struct{}),
		Hasher: wire.NewHasher(cfg.DirectoryKey)}, cfg: cfg}
	n.seat.Dir, err = datadir.Open(cfg.Dir, datadir.Owner{Format: datadir.Format, Node: cfg.ID,
		Federation: cfg.Founding.Federation, Region: cfg.Region})
	if err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, n.close())
		}
	}()
	if err := n.seat.Dir.CheckMarks(); err != nil {
		return nil, err
	}
	n.desk, err = operate.New(n.seat, operate.Config{Dir: cfg.Dir, Disk: cfg.Disk,
		BallastBytes: cfg.BallastBytes, Space: cfg.Space, Program: cfg.Program, Joined: cfg.Joined,
		Founds: cfg.Founds, Certificate: cfg.Certificate, Problem: cfg.Problem, Health: n.Health,
		Spool: func() []wire.SpoolStatus { return n.spool.Status() }})
	if err != nil {
		return nil, err
	}
	n.seat.Disk = n.desk.DiskSpace()
	if err := n.seat.OpenContact(); err != nil {
		return nil, err
	}
	if n.witness, err = witness.New(n.seat); err != nil {
		return nil, err
	}
	if n.seat.Coder, err = wire.NewCoder(2); err != nil {
		return nil, err
	}
	n.makeDuties()
	if err := n.openLink(); err != nil {
		return nil, err
	}
	if err := n.seat.OpenStates(cfg.states()); err != nil {
		return nil, err
	}
	n.members.TakeTrust()
	if err := n.openGroups(); err != nil {
		return nil, err
	}
	if n.cfg.Stores == nil {
		if err := n.seat.Dir.MarkFounded(); err != nil {
			return nil, err
		}
	}
	n.registerMetrics()
	return n, nil
}

// makeDuties makes what asks for the link, the states and the groups when these are there.
func (n *Node) makeDuties() {
	n.members = membership.New(n.seat, membership.Config{Joined: n.cfg.Joined, Founds: n.cfg.Founds,
		Renew: n.cfg.Renew, Certificate: n.cfg.Certificate, Registerer: n.cfg.Registerer,
		CheckSpools: func(ctx context.Context, r wire.RegionID) error {
			return n.spool.CheckEmpty(ctx, r)
		}})
	n.recovery = recovery.New(n.seat)
	n.transfer = transfer.New(n.seat)
	n.citizens = newCitizens(n.seat, n.transfer)
	n.services = &services{Seat: n.seat, key: n.cfg.DirectoryKey, admit: n.members.Admit}
	n.spool = spool.New(n.seat, n.cfg.Spool, n.transfer)
}

func (n *Node) openLink() error {
	key, err := n.resetKey()
	if err != nil {
		return err
	}
	n.seat.Link, err = link.New(link.Config{
		Federation: n.seat.Founding.Federation, PacketConn: n.cfg.PacketConn, Listen: true,
		Certificate: n.cfg.Certificate, Authorities: n.cfg.Authorities,
		Problem: n.cfg.Problem, Addr: n.seat.Addr, ResetKey: key,
		Admit: n.members.Admit, Permit: n.seat.Permit,
		Logger: n.seat.Log, Registerer: n.cfg.Registerer,
	})
	if err != nil {
		return err
	}
	self := n.seat.Link.Self()
	if self.Role != link.RoleNode || self.Name != string(n.seat.ID) ||
		self.Region != n.seat.RegionID {
		return fmt.Errorf("the certificate is for %s, not for node %s of region %s", self,
			n.seat.ID, n.seat.RegionID)
	}
	n.seat.Leaders = link.NewLeaders(n.seat.Link)
	n.seat.Answer(n.calls())
	return n.members.HoldCertificate()
}

// resetKey is the node's stateless reset key: kept, so that peers notice a restart at once.
func (n *Node) resetKey() (*[32]byte, error) {
	const name = "reset.key"
	key := new([32]byte)
	b, err := n.seat.Dir.Read(name)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, err
	}
	if len(b) == len(key) {
		copy(key[:], b)
		return key, nil
	}
	rand.Read(key[:])
	if err := datadir.WriteSynced(n.seat.Dir.Path, name, key[:]); err != nil {
		return nil, fmt.Errorf("data directory: %w", err)
	}
	return key, nil
}

func (n *Node) openGroups() (err error) {
	regionMembers, federationMembers := n.members.Founders()
	open := func(group, dir string, members []consensus.Member, state replica) (
		*consensus.Group, error) {
		joined := n.cfg.Joined && !n.seat.Dir.IsFounded()
		cfg := consensus.Config{Group: group, Self: n.seat.ID, Dir: n.seat.Dir.Sub(dir, "log"),
			LogStore: n.cfg.LogStore, Bootstrap: members, State: n.cfg.State(group, state),
			Seeded: joined || n.seat.Dir.IsRestored(dir), Incarnation: state.Incarnation(),
			Transport: n.witness.Between(n.seat.Link.Raft(link.Incarnated(group, state.Incarnation()))),
			Logger:    n.seat.Log, Now: n.cfg.Now, Uptime: n.seat.Uptime, Timing: n.cfg.Timing(group),
			Registerer: n.cfg.Registerer}
		if n.cfg.Stores != nil {
			cfg.Stores = n.cfg.Stores(group)
		}
		g, err := consensus.Open(cfg)
		if err != nil {
			return nil, fmt.Errorf("group %s: %w", group, err)
		}
		return g, n.seat.Dir.MarkBegun(dir)
	}
	n.seat.FederationGroup, err = open(seat.FederationGroup, "federation", federationMembers,
		n.seat.Federation)
	if err != nil {
		return err
	}
	n.seat.RegionGroup, err = open(seat.RegionGroup(n.seat.RegionID), "region", regionMembers,
		n.seat.Region)
	if err != nil {
		return err
	}
	n.seat.FederationLog = seat.NewTimed(n.seat.FederationGroup, n.seat.Federation, n.seat.Now,
		wire.CmdConfirmFederationTime)
	n.seat.RegionLog = seat.NewTimed(n.seat.RegionGroup, n.seat.Region, n.seat.Now,
		wire.CmdConfirmTime)
	n.seat.FederationQueue = seat.NewQueue(n.seat.FederationGroup, n.seat.FederationLog.Stamp)
	n.seat.FederationQueue.Applied = make(chan struct{}, 1)
	n.seat.FederationQueue.Active = n.seat.Federation.ActiveVersion
	n.seat.RegionQueue = seat.NewQueue(n.seat.RegionGroup, n.seat.RegionLog.Stamp)
	n.seat.RegionQueue.Active = n.seat.Region.ActiveVersion
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
	base.Go(func() error { return n.seat.Dir.NoteDamage("region", n.seat.RegionGroup.Run(baseCtx)) })
	base.Go(func() error {
		return n.seat.Dir.NoteDamage("federation", n.seat.FederationGroup.Run(baseCtx))
	})
	base.Go(func() error { return n.seat.Link.Run(baseCtx) })
	g.Go(func() error { // what ends below ends what is above
		select {
		case <-baseCtx.Done():
			return context.Cause(baseCtx)
		case <-ctx.Done():
			return nil
		}
	})
	g.Go(func() error { return n.seat.RegionQueue.Run(ctx) })
	g.Go(func() error { return n.seat.FederationQueue.Run(ctx) })
	g.Go(func() error { return n.announce(ctx) })
	g.Go(func() error { return n.members.FollowTrust(ctx) })
	g.Go(func() error { return n.members.KeepCertificate(ctx) })
	g.Go(func() error { return n.seat.WhileLeading(ctx, n.seat.RegionGroup, n.leadRegion) })
	g.Go(func() error { return n.seat.WhileLeading(ctx, n.seat.FederationGroup, n.leadFederation) })
	g.Go(func() error { return n.seat.WhileLeading(ctx, n.seat.RegionGroup, n.members.TendRegion) })
	g.Go(func() error {
		return n.seat.WhileLeading(ctx, n.seat.FederationGroup, n.members.TendFederation)
	})
	g.Go(func() error { return n.witness.Run(ctx) })
	g.Go(func() error { return n.members.NoticeRemoval(ctx) })
	g.Go(func() error { return n.desk.WatchDisk(ctx) })
	g.Go(func() error { return n.recovery.WatchIncarnations(ctx) })
	g.Go(func() error { return n.desk.KeepFormat(ctx) })
	g.Go(func() error { return n.seat.KeepContact(ctx) })
	g.Go(func() error { return n.seat.KeepFresh(ctx) })
	g.Go(func() error {
		return n.seat.Dir.NoteDamage("region", fatal(ctx, "region state", n.seat.Region.Err()))
	})
	g.Go(func() error {
		return n.seat.Dir.NoteDamage("federation", fatal(ctx, "federation state",
			n.seat.Federation.Err()))
	})
	g.Go(func() error {
		<-ctx.Done()
		close(n.seat.Stopping)
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
	return errors.Join(n.seat.Close(), n.seat.Dir.Close())
}

func (n *Node) registerMetrics() {
	n.cfg.Registerer.MustRegister(slices.Concat(n.desk.Metrics(), n.transfer.Metrics(),
		n.seat.Region.Store().Metrics(), n.seat.Federation.Metrics(), n.spool.Metrics())...)
}

// View is everything that the node knows of itself.
func (n *Node) View() *wire.NodeStatus { return n.desk.View() }

// Region is the replica of the region's state, for checkers.
func (n *Node) Region() *region.State { return n.seat.Region }

// Spool is what waits here for regions that are away, for checkers.
func (n *Node) Spool() *spool.Spool { return n.spool }

// Federation is the replica of the federation's state, for checkers.
func (n *Node) Federation() *federation.State { return n.seat.Federation }

// replica is a group's state as a node opens it.
type replica interface {
	consensus.StateMachine
	// Incarnation counts how often the group was restored from a backup.
	Incarnation() uint32
}
