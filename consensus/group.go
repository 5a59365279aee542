package consensus

import (
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hashicorp/raft"
	"github.com/staffetta/staffetta/wire"
	"golang.org/x/sync/semaphore"
)

const (
	// inFlightBytes bounds the entries that were proposed and are not applied yet. At the bound
	// Propose answers Overloaded. It is what a leader with a slow disk or state holds in memory;
	// some thousand blocks are ten times what two followers on a fast network need in flight.
	inFlightBytes = 64 << 20
	// inFlightMin is what even an empty entry counts, so that their number is bounded too.
	inFlightMin = 16 << 10
)

// Group is this node's replica of a Raft group. All methods are safe for concurrent use.
type Group struct {
	// Set at construction.
	config  Config
	logger  *slog.Logger
	stores  *Stores
	disk    *disk
	log     *diskLog
	fsm     *fsm
	snaps   *snapshots
	peers   *peers
	layer   *streams
	trans   raft.Transport
	raft    *raft.Raft
	stats   *stats
	watcher *watcher
	opened  time.Time
	heard   heard

	inFlight *semaphore.Weighted
	reads    chan *read
	transfer transferGuard

	// ending: no new calls. ended: the library is being shut down, nobody waits any longer.
	ending   atomic.Bool
	ended    chan struct{}
	fail     sync.Once
	failure  error         // set before failed is closed
	failed   chan struct{} // closed by the first fatal
	closing  atomic.Bool
	closeErr error         // set before closed is closed
	closed   chan struct{} // closed when everything is
	workers  sync.WaitGroup
}

// Open brings log and state of this replica into agreement and starts it. It refuses, with
// ErrCorrupt or ErrForeign, what it would have to guess about. On success the group owns the
// state and the transport, and Run or Close must be called; on an error the caller closes both.
func Open(c Config) (*Group, error) {
	if err := c.normalize(); err != nil {
		return nil, fmt.Errorf("open group %s: %w", c.Group, err)
	}
	stores, err := openStores(&c)
	if err != nil {
		return nil, fmt.Errorf("open group %s: %w", c.Group, err)
	}
	g, err := open(c, stores)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("open group %s: %w", c.Group, err), stores.close())
	}
	return g, nil
}

func open(c Config, stores *Stores) (*Group, error) {
	pos, err := c.State.Flush()
	if err != nil {
		return nil, fmt.Errorf("read state's position: %w", err)
	}
	rec := reconciler{config: &c, log: stores.log, mark: stores.mark, pos: pos,
		stable: markedStable{stores.stable, stores.mark}}
	if err := rec.run(); err != nil && stores.dir != "" {
		return nil, fmt.Errorf("the log in %s: %w", stores.dir, err)
	} else if err != nil {
		return nil, err
	}
	g := &Group{
		config: c, logger: c.Logger, stores: stores,
		inFlight: semaphore.NewWeighted(inFlightBytes),
		reads:    make(chan *read),
		ended:    make(chan struct{}), failed: make(chan struct{}),
		closed: make(chan struct{}),
		opened: time.Now(),
		peers:  newPeers(c.Self, c.hooks.now, c.Uptime, c.Now), watcher: newWatcher(),
	}
	g.transfer.limit = 5 * c.Timing.Election
	g.heard.last = c.Uptime()
	g.stats = newStats(g)
	g.assemble(pos)
	if err := g.start(); err != nil {
		return nil, err
	}
	if err := g.stats.register(c.Group, c.Registerer); err != nil {
		return nil, errors.Join(err, g.stopRaft())
	}
	return g, nil
}

// assemble puts the guards between the library and everything it uses.
func (g *Group) assemble(pos wire.Position) {
	c := &g.config
	g.disk = &disk{stall: c.Timing.Stall, guards: c.guards, fatal: g.fatal, stats: g.stats}
	g.snaps = &snapshots{state: c.State, durable: pos, guards: c.guards, ended: g.ended,
		fatal: g.fatal, stats: g.stats, sending: make(chan struct{}, 1)}
	g.fsm = &fsm{self: c.Self, state: c.State, guards: c.guards, fatal: g.fatal, stats: g.stats,
		snaps: g.snaps, peers: g.peers, log: g.stores.log, now: c.hooks.now,
		window: c.Timing.Installs}
	g.fsm.index.Store(pos.Index)
	if index, sum := c.State.Digest(); index > 0 {
		g.fsm.digests.note(index, sum)
	}
	if at, err := decodeConfiguration(pos.Configuration); err == nil {
		g.fsm.member = names(toMembers(at), c.Self)
	}
	g.log = newDiskLog(g.disk, g.stores, g.fsm.index.Load, g.wanted, c.Timing.WantedLogs)
	g.layer = newStreams(c.Transport)
}

// wanted answers the first entry of the log that followers want: those that are there, and one to
// which the state is being sent, which answers nothing meanwhile. 0: none is known.
func (g *Group) wanted() uint64 {
	index, sent := g.peers.wanted(), g.snaps.sentIndex()
	if index == 0 || sent > 0 && sent < index {
		return sent
	}
	return index
}

// start runs the library and our own goroutines.
func (g *Group) start() error {
	c := &g.config
	if err := g.log.recount(); err != nil {
		return fmt.Errorf("read log: %w", err)
	}
	cache, err := raft.NewLogCache(c.Timing.LogCache, g.log)
	if err != nil {
		return err
	}
	var logs raft.LogStore = cache
	if c.hooks.wrapLogs != nil {
		logs = c.hooks.wrapLogs(logs)
	}
	g.trans = newTransport(c, g.layer, g.peers)
	if !c.guards.on(guardPreVote) {
		g.trans = withoutPreVote{g.trans}
	}
	if c.hooks.wrapTransport != nil {
		g.trans = c.hooks.wrapTransport(g.trans)
	}
	stable := diskStable{g.disk, markedStable{g.stores.stable, g.stores.mark}}
	g.raft, err = raft.NewRaft(c.raftConfig(), g.fsm, logs, stable, g.snaps, g.trans)
	if err != nil {
		closeTransport(g.trans)
		return fmt.Errorf("start raft: %w", err)
	}
	g.disk.started.Store(true)
	g.peers.members(toMembers(g.raft.GetConfiguration().Configuration()))
	changes := make(chan raft.Observation, 16)
	observer := raft.NewObserver(changes, false, isLeadership)
	g.raft.RegisterObserver(observer)
	g.workers.Go(func() {
		defer g.raft.DeregisterObserver(observer)
		g.observe(changes)
	})
	g.workers.Go(g.serveReads)
	g.workers.Go(g.tick)
	g.workers.Go(g.keepMark)
	return nil
}

func closeTransport(t raft.Transport) {
	if c, ok := t.(raft.WithClose); ok {
		c.Close()
	}
}

// running reports whether calls are taken.
func (g *Group) running() error {
	if g.ending.Load() {
		return wire.Errorf(wire.NotReady, "the node is stopping")
	}
	return nil
}

// transferGuard notices a leadership transfer that never ends: interrupted at the wrong moment,
// the library refuses entries in every term that it leads from then on (hashicorp/raft#696).
type transferGuard struct {
	limit time.Duration

	mu    sync.Mutex
	since time.Time // guarded by mu; of the first refusal in a row
}

// note takes the outcome of every proposal and reports whether the transfer is stuck.
func (t *transferGuard) note(err error) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if !errors.Is(err, raft.ErrLeadershipTransferInProgress) {
		t.since = time.Time{}
		return false
	}
	if t.since.IsZero() {
		t.since = time.Now()
	}
	return time.Since(t.since) > t.limit
}
