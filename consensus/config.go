package consensus

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"time"

	"github.com/hashicorp/raft"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/staffetta/staffetta/wire"
)

// StateMachine is the state that a group replicates. Apply and Install are called by one
// goroutine; the others at any time, beside them and each other.
type StateMachine interface {
	// Apply applies committed entries in order and returns one result per entry, nil for a
	// configuration entry. One atomic batch carries the changes and the position. An error means
	// that the state can no longer be trusted: the group stops.
	Apply(entries []wire.LogEntry) ([]any, error)
	// Position is what is applied, in memory.
	Position() wire.Position
	// Flush makes everything applied durable; it answers the position read back from disk.
	Flush() (wire.Position, error)
	// Checkpoint streams a consistent copy of size bytes, and says where it stands.
	Checkpoint() (stream io.ReadCloser, size int64, at wire.Position, err error)
	// Stage receives a Checkpoint's stream; Close verifies and makes durable. At most one stage
	// exists; a new one replaces the old.
	Stage() (io.WriteCloser, error)
	// Install switches to the closed stage, atomically and durably, and marks the position
	// Installed. at must equal what the staged state says, else nothing changes.
	Install(at wire.Position) error
	// Digest is a chain over everything written, equal on replicas at equal index.
	Digest() (index uint64, sum [32]byte)
	Close() error
}

// Transport carries the group's streams. Accepted and dialled streams are authenticated already;
// the group closes the listener and every stream when it ends.
type Transport interface {
	net.Listener
	Dial(to wire.NodeID, timeout time.Duration) (net.Conn, error)
}

// Member is a replica of a group.
type Member struct {
	Node  wire.NodeID
	Voter bool
}

// The log stores.
const (
	LogWAL    = "wal"    // raft-wal: one fsync per append
	LogBolt   = "bolt"   // raft-boltdb: two
	LogMemory = "memory" // for tests in virtual time
)

// Config describes a group's replica on this node.
type Config struct {
	// Group names the group in logs and metrics, and in the log store: "region/lazio".
	Group string
	Self  wire.NodeID
	// Dir holds the log; it is created with mode 0700.
	Dir string
	// LogStore is LogWAL when empty.
	LogStore string
	// Stores replaces Dir and LogStore, for tests. The group does not close them.
	Stores *Stores
	// Bootstrap lists the founding members; every one of them is given the same list. It is used
	// when nothing was ever stored here and it names Self. A later member has none, and waits to
	// be added.
	Bootstrap []Member
	// Seeded says that the replica is opened for the first time, on a copy of another one's state
	// that was installed before.
	Seeded bool
	// Incarnation counts how often the group was restored from a backup. The log of another one
	// is another group's.
	Incarnation uint32
	// State belongs to the group from a successful Open on; the group closes it.
	State     StateMachine
	Transport Transport
	// Timing is RegionTiming when zero.
	Timing Timing
	// Logger is slog.Default when nil; Registerer may be nil.
	Logger     *slog.Logger
	Registerer prometheus.Registerer
	// Now is the wall clock that this replica shows to others and compares with theirs; time.Now
	// when nil. Durations are measured without it, as no jump of a wall clock touches them.
	Now func() time.Time
	// Uptime is the time since some moment, of a clock that goes on while the machine is suspended
	// and that nobody sets. By default it stands still then, as Go's own does.
	Uptime func() time.Duration

	// Replaced by tests.
	guards guards
	hooks  hooks
}

// hooks let tests stand between the library and what it uses.
type hooks struct {
	wrapLogs        func(raft.LogStore) raft.LogStore
	wrapTransport   func(raft.Transport) raft.Transport
	maxRPCsInFlight int
	now             func() time.Time
}

// Timing holds a group's clocks and sizes.
type Timing struct {
	// Heartbeat is how long a follower waits for its leader before it stands for election;
	// heartbeats go out ten times as often. Election bounds one election.
	Heartbeat, Election time.Duration
	// LeaderLease is how long a leader stays one without hearing from a majority.
	LeaderLease time.Duration
	// Commit bounds, within a factor of two, how late an idle follower learns what is committed.
	Commit time.Duration
	// AppendEntries bounds the entries of one message and of one batch to apply. The library
	// holds up to 128 such batches between commit and apply: with 8 entries of 64 KiB 64 MiB,
	// with 8 entries at the hard cap of wire.EntryBytesMax 1.1 GiB.
	AppendEntries int
	// TrailingLogs is how many entries stay in the log behind a snapshot, at least
	// TrailingLogsMin; SnapshotThreshold is after how many new ones a snapshot is due, looked
	// for every SnapshotInterval to twice that.
	TrailingLogs, SnapshotThreshold uint64
	SnapshotInterval                time.Duration
	// WantedLogs is how many entries stay, at most, for a follower that catches up or to which the
	// state is being sent. Without them it would get the state again, and then once more.
	WantedLogs uint64
	// LogCache is how many recent entries are kept in memory for followers.
	LogCache int
	// RPC is the deadline of one message and its answer.
	RPC time.Duration
	// Enqueue is how long Propose waits for the library to take an entry.
	Enqueue time.Duration
	// Stall is how long one disk operation may take before the group gives up.
	Stall time.Duration
	// Lag is how long a follower that answers may stand still before the leader raises an alarm.
	Lag time.Duration
	// Installs is the time within which a second snapshot installed here ends the group.
	Installs time.Duration
}

// TrailingLogsMin is the least that a log keeps behind a snapshot: with none, a restarted
// follower cannot be caught up (hashicorp/raft#86).
const TrailingLogsMin = 1024

// RegionTiming suits a group whose members are milliseconds apart. Commit is what an idle node
// costs, since a leader sends each follower a message in that time; it holds nothing up, since the
// leader answers reads. Who needs followers to know sooner appends another entry.
func RegionTiming() Timing {
	return Timing{
		Heartbeat: 2 * time.Second, Election: 2 * time.Second, LeaderLease: time.Second,
		Commit: 500 * time.Millisecond, AppendEntries: 8,
		TrailingLogs: 32768, SnapshotThreshold: 4096, SnapshotInterval: time.Minute,
		WantedLogs: 1 << 18, LogCache: 64,
		RPC: 10 * time.Second, Enqueue: 2 * time.Second, Stall: 10 * time.Second,
		Lag: 10 * time.Second, Installs: 10 * time.Minute,
	}
}

// FederationTiming suits a group spread over a country.
func FederationTiming() Timing {
	t := RegionTiming()
	t.Heartbeat, t.Election, t.LeaderLease = 3*time.Second, 3*time.Second, 1500*time.Millisecond
	t.TrailingLogs, t.SnapshotThreshold, t.SnapshotInterval = 8192, 8192, 2*time.Minute
	t.LogCache, t.Commit = 128, time.Second
	return t
}

// normalize fills in defaults and reports everything that is wrong.
func (c *Config) normalize() error {
	if c.LogStore == "" {
		c.LogStore = LogWAL
	}
	if c.Timing == (Timing{}) {
		c.Timing = RegionTiming()
	}
	if c.Logger == nil {
		c.Logger = slog.Default()
	}
	if c.hooks.now == nil {
		c.hooks.now = time.Now
	}
	if c.Now == nil {
		c.Now = c.hooks.now
	}
	if c.Uptime == nil {
		began := time.Now()
		c.Uptime = func() time.Duration { return time.Since(began) }
	}
	c.Logger = c.Logger.With("group", c.Group)
	var errs []error
	wrong := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }
	if c.Group == "" || len(c.Group) > 128 {
		wrong("group name is empty or too long")
	}
	if !c.Self.Valid() {
		wrong("node name %q is not valid", c.Self)
	}
	if c.Stores == nil {
		switch c.LogStore {
		case LogWAL, LogBolt:
			if c.Dir == "" {
				wrong("no directory for the log")
			}
		case LogMemory:
		default:
			wrong("log store %q is neither %s nor %s", c.LogStore, LogWAL, LogBolt)
		}
	}
	if c.State == nil || c.Transport == nil {
		wrong("state and transport are required")
	}
	errs = append(errs, c.checkMembers(), c.Timing.validate(c.guards))
	return errors.Join(errs...)
}

func (c *Config) checkMembers() error {
	voters, seen := 0, map[wire.NodeID]bool{}
	for _, m := range c.Bootstrap {
		if !m.Node.Valid() || seen[m.Node] {
			return fmt.Errorf("founding member %q is not valid or named twice", m.Node)
		}
		seen[m.Node] = true
		if m.Voter {
			voters++
		}
	}
	if len(c.Bootstrap) > 0 && voters == 0 {
		return errors.New("no founding member votes")
	}
	return nil
}

func (t Timing) validate(g guards) error {
	if g.on(guardTrailing) && t.TrailingLogs < TrailingLogsMin {
		return fmt.Errorf("%d trailing logs, at least %d are needed", t.TrailingLogs,
			TrailingLogsMin)
	}
	if g.on(guardSentLog) && t.WantedLogs < t.TrailingLogs {
		return fmt.Errorf("%d logs for followers that want them, and %d for everybody",
			t.WantedLogs, t.TrailingLogs)
	}
	for _, d := range []time.Duration{t.RPC, t.Enqueue, t.Stall, t.Lag, t.Installs} {
		if d <= 0 {
			return errors.New("every duration of the timing must be positive")
		}
	}
	if t.LogCache <= 0 {
		return errors.New("the log cache must hold at least one entry")
	}
	return nil
}

// raftConfig translates to the library's terms.
func (c *Config) raftConfig() *raft.Config {
	t := c.Timing
	return &raft.Config{
		ProtocolVersion:    raft.ProtocolVersionMax,
		LocalID:            raft.ServerID(c.Self),
		HeartbeatTimeout:   t.Heartbeat,
		ElectionTimeout:    t.Election,
		LeaderLeaseTimeout: t.LeaderLease,
		CommitTimeout:      t.Commit,
		MaxAppendEntries:   t.AppendEntries,
		BatchApplyCh:       true,
		ShutdownOnRemove:   true,
		TrailingLogs:       t.TrailingLogs,
		SnapshotInterval:   t.SnapshotInterval,
		SnapshotThreshold:  t.SnapshotThreshold,
		Logger:             newHclog(c.Logger),
		// The state recovers by itself; snapshots only say where it stands.
		NoSnapshotRestoreOnStart: true,
		NoLegacyTelemetry:        true,
		// It fills a channel of 128 batches before anybody reads it: with more committed entries
		// than fit, the library never starts.
		RestoreCommittedLogs: !c.guards.on(guardNoRestoreCommitted),
	}
}
