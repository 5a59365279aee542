package consensus

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/hashicorp/raft"
	"github.com/staffetta/staffetta/wire"
)

// slowLogs lets a test stop StoreLogs, or make it fail without the guard noticing.
type slowLogs struct {
	raft.LogStore
	gate  chan struct{} // nil, or closed to let it go on
	armed atomic.Bool
	held  atomic.Bool
	fails atomic.Int32
}

func (s *slowLogs) StoreLogs(logs []*raft.Log) error {
	if s.armed.Load() {
		s.held.Store(true)
		<-s.gate
		s.held.Store(false)
	}
	if s.fails.Load() > 0 && s.fails.Add(-1) >= 0 {
		return errors.New("injected")
	}
	return s.LogStore.StoreLogs(logs)
}

// While the main loop writes, nothing may change the term under it.
func TestHeartbeatWaitsForTheMainLoop(t *testing.T) {
	bubble(t, 3, func(t *testing.T, c *cluster) {
		slow := map[wire.NodeID]*slowLogs{}
		c.tweak = func(cfg *Config) {
			self := cfg.Self
			cfg.hooks.wrapLogs = func(to raft.LogStore) raft.LogStore {
				slow[self] = &slowLogs{LogStore: to, gate: make(chan struct{})}
				return slow[self]
			}
		}
		c.start()
		old := c.leader()
		s := slow[old.id]
		s.armed.Store(true)
		ctx, cancel := context.WithCancel(t.Context())
		go old.Propose(ctx, entryOf("held"))
		c.eventually("the old leader to write", s.held.Load)
		term := old.raft.CurrentTerm()

		c.net.cut(old.id, c.others(old.id)...)
		c.leader(c.others(old.id)...)
		c.net.heal()
		time.Sleep(5 * time.Second) // heartbeats of the new leader arrive
		if got := old.raft.CurrentTerm(); got != term {
			t.Errorf("term changed from %d to %d in the middle of a write", term, got)
		}
		s.armed.Store(false)
		close(s.gate)
		cancel()
		c.eventually("the old leader to follow", func() bool {
			return !old.IsLeader() && old.raft.CurrentTerm() > term
		})
		c.check()
	})
}

// An old leader that is busy when its partition heals must not write under a new term: all
// replicas end equal.
func TestBusyOldLeaderHeals(t *testing.T) {
	bubble(t, 3, func(t *testing.T, c *cluster) {
		c.start()
		c.leader()
		ctx, stop := context.WithCancel(t.Context())
		defer stop()
		wg := c.load(ctx, 16)
		for range 4 {
			l := c.leader()
			c.net.cut(l.id, c.others(l.id)...)
			c.leader(c.others(l.id)...)
			c.net.heal()
			time.Sleep(2 * time.Second)
		}
		stop()
		wg.Wait()
		c.check()
	})
}

// With pipelining, a follower that refuses once must get entries again.
func TestPipelineNeverParks(t *testing.T) {
	bubble(t, 3, func(t *testing.T, c *cluster) {
		slow := map[wire.NodeID]*slowLogs{}
		c.tweak = func(cfg *Config) {
			self := cfg.Self
			cfg.hooks.maxRPCsInFlight = 2
			cfg.hooks.wrapLogs = func(to raft.LogStore) raft.LogStore {
				slow[self] = &slowLogs{LogStore: to}
				return slow[self]
			}
		}
		c.start()
		l := c.leader()
		follower := c.nodes[c.others(l.id)[0]]
		ctx, stop := context.WithCancel(t.Context())
		defer stop()
		wg := c.load(ctx, 64)
		time.Sleep(time.Second)
		for range 5 {
			slow[follower.id].fails.Store(1)
			time.Sleep(time.Second)
		}
		stop()
		wg.Wait()
		c.eventually("the follower to catch up", func() bool {
			return follower.state.Position().Index == l.state.Position().Index
		})
		c.check()
	})
}

func TestNoPipelineByDefault(t *testing.T) {
	bubble(t, 1, func(t *testing.T, c *cluster) {
		c.start()
		_, err := c.leader().trans.AppendEntriesPipeline("n2", "n2")
		if !errors.Is(err, raft.ErrPipelineReplicationNotSupported) {
			t.Errorf("pipeline: %v, want not supported", err)
		}
	})
}

// hungTransfer never delivers the last message of a leadership transfer.
type hungTransfer struct {
	*transport
	free chan struct{}
}

func (h hungTransfer) TimeoutNow(raft.ServerID, raft.ServerAddress, *raft.TimeoutNowRequest,
	*raft.TimeoutNowResponse) error {
	<-h.free
	return errors.New("injected")
}

// A transfer that never ends blocks every entry, until a restart.
func TestStuckTransferEndsTheLeader(t *testing.T) {
	bubble(t, 3, func(t *testing.T, c *cluster) {
		free := make(chan struct{})
		defer close(free)
		c.tweak = func(cfg *Config) {
			cfg.hooks.wrapTransport = func(to raft.Transport) raft.Transport {
				return hungTransfer{to.(*transport), free}
			}
		}
		c.start()
		l := c.leader()
		go l.TransferLeadership(t.Context())
		time.Sleep(time.Second)
		ctx, stop := context.WithCancel(t.Context())
		g := l.Group
		var wg sync.WaitGroup
		wg.Go(func() {
			for ctx.Err() == nil {
				if _, err := g.Propose(ctx, g.stamped(entryOf("x"))); err == nil {
					t.Error("proposal accepted during a transfer")
				}
				time.Sleep(100 * time.Millisecond)
			}
		})
		defer wg.Wait()
		defer stop()
		c.tweak = nil
		c.restarted(l.id, ErrRestart, 30*time.Second)
		c.check()
	})
}

// A follower whose contradicting tail is longer than the snapshot it gets must come back.
func TestStaleTailIsReinstalledOnce(t *testing.T) {
	bubble(t, 3, func(t *testing.T, c *cluster) {
		c.timing.TrailingLogs = TrailingLogsMin
		c.start()
		old := c.leader()
		c.fill(old, "common", 100)
		rest := c.others(old.id)
		// The old leader appends a long tail that nobody gets, before it notices.
		c.net.cut(old.id, rest...)
		ctx, cancel := context.WithCancel(t.Context())
		var wg sync.WaitGroup
		for i := range 3500 {
			wg.Go(func() { old.Propose(ctx, entryOf(fmt.Sprintf("tail-%d", i))) })
		}
		wg.Wait()
		cancel()
		l := c.leader(rest...)
		c.fill(l, "won", 2000)
		for _, id := range rest {
			if err := c.nodes[id].Snapshot(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		if tail, won := old.raft.LastIndex(), l.raft.LastIndex(); tail <= won {
			t.Fatalf("tail ends at %d, not behind %d", tail, won)
		}
		c.net.heal()
		c.restarted(old.id, ErrRestart, time.Minute)
		c.check()
	})
}

func TestTrailingLogsHaveAMinimum(t *testing.T) {
	timing := RegionTiming()
	timing.TrailingLogs = TrailingLogsMin - 1
	if err := timing.validate(offNow()); err == nil {
		t.Error("too few trailing logs were accepted")
	}
}

// Many committed entries since the last flush must not keep a replica from starting.
func TestManyEntriesReplay(t *testing.T) {
	bubble(t, 1, func(t *testing.T, c *cluster) {
		c.start()
		c.fill(c.leader(), "e", 9000)
		c.kill("n1")
		c.start()
		c.leader()
		c.check()
	})
}

// A replica that was cut off must not depose the leader when it comes back.
func TestReturningReplicaDoesNotDisturb(t *testing.T) {
	bubble(t, 3, func(t *testing.T, c *cluster) {
		c.start()
		l := c.leader()
		term := l.raft.CurrentTerm()
		away := c.others(l.id)[0]
		c.net.cut(away, c.others(away)...)
		time.Sleep(time.Minute)
		c.net.heal()
		time.Sleep(10 * time.Second)
		if got := c.leader(); got.id != l.id || got.raft.CurrentTerm() != term {
			t.Errorf("%s leads in term %d, want %s in term %d", got.id, got.raft.CurrentTerm(),
				l.id, term)
		}
		c.check()
	})
}

// A removed replica ends.
func TestRemovedReplicaEnds(t *testing.T) {
	bubble(t, 4, func(t *testing.T, c *cluster) {
		c.start()
		l := c.leader()
		gone := c.nodes[c.others(l.id)[0]]
		if err := l.Remove(t.Context(), gone.id); err != nil {
			t.Fatal(err)
		}
		select {
		case err := <-gone.done:
			if !errors.Is(err, ErrRemoved) {
				t.Errorf("removed follower ended with %v, want %v", err, ErrRemoved)
			}
		case <-time.After(time.Minute):
			t.Fatal("removed follower still runs")
		}
		gone.Group = nil
		if err := l.Remove(t.Context(), l.id); err != nil && !errors.Is(err, wire.OutcomeUnknown) {
			t.Errorf("remove the leader: %v", err)
		}
		if err := <-l.done; !errors.Is(err, ErrRemoved) {
			t.Errorf("removed leader ended with %v, want %v", err, ErrRemoved)
		}
		l.Group = nil
		c.check()
	})
}

// deafTo loses entries, but not heartbeats, on the way to one follower.
type deafTo struct {
	*transport
	node raft.ServerID
}

func (d deafTo) AppendEntries(id raft.ServerID, to raft.ServerAddress,
	req *raft.AppendEntriesRequest, resp *raft.AppendEntriesResponse) error {
	if id == d.node && len(req.Entries) > 0 {
		return errors.New("injected")
	}
	return d.transport.AppendEntries(id, to, req, resp)
}

// A follower that answers and does not move is noticed.
func TestStandingFollowerRaisesAnAlarm(t *testing.T) {
	bubble(t, 3, func(t *testing.T, c *cluster) {
		c.tweak = func(cfg *Config) {
			if cfg.Self == "n1" {
				cfg.hooks.wrapTransport = func(to raft.Transport) raft.Transport {
					return deafTo{to.(*transport), "n3"}
				}
			}
		}
		c.start()
		l := c.lead("n1")
		for i := range 20 {
			c.fill(l, fmt.Sprint("e", i), 1)
			time.Sleep(time.Second)
		}
		if got := gaugeValue(t, l.stats.stalled); got != 1 {
			t.Errorf("%v stalled followers, want 1", got)
		}
		c.tweak = nil
		c.kill("n1")
		c.start("n1")
		c.check()
	})
}

// Calls end with the group, even those that the library forgets.
func TestNobodyWaitsForAStoppedGroup(t *testing.T) {
	bubble(t, 1, func(t *testing.T, c *cluster) {
		c.start()
		l := c.leader()
		c.fill(l, "before", 1)
		gate, blocked := make(chan struct{}), make(chan struct{}, 1024)
		l.state.before = func([]wire.LogEntry) error {
			blocked <- struct{}{}
			<-gate
			return nil
		}
		var wg sync.WaitGroup
		for i := range 64 {
			wg.Go(func() { l.Propose(context.Background(), entryOf(fmt.Sprint("e", i))) })
			time.Sleep(time.Millisecond) // one batch each
		}
		<-blocked
		go l.Close()
		time.Sleep(time.Second)
		close(gate)
		returned := make(chan struct{})
		go func() { wg.Wait(); close(returned) }()
		select {
		case <-returned:
		case <-time.After(time.Minute):
			t.Error("proposals still wait for a stopped group")
		}
		l.cancel()
		<-l.done
		l.Group = nil
	})
}

func TestEntryAboveTheCapIsNotAppended(t *testing.T) {
	bubble(t, 1, func(t *testing.T, c *cluster) {
		c.start()
		l := c.leader()
		last := l.raft.LastIndex()
		big := wire.EncodeEntry(wire.CommandsEntry, 1,
			make([]byte, wire.EntryBytesMax-wire.EntryHeader+1))
		if _, err := l.Propose(t.Context(), big); !errors.Is(err, wire.TooLarge) {
			t.Errorf("propose %d bytes: %v, want too-large", len(big), err)
		}
		if _, err := l.Propose(t.Context(), []byte("junk")); !errors.Is(err, wire.Malformed) {
			t.Errorf("propose junk: %v, want malformed", err)
		}
		if got := l.raft.LastIndex(); got != last {
			t.Errorf("log ends at %d, want %d", got, last)
		}
		if _, err := l.Propose(t.Context(), big[:0]); !errors.Is(err, wire.Malformed) {
			t.Errorf("propose nothing: %v, want malformed", err)
		}
	})
}

// A leader whose clock is off does not propose, and does not stay one.
func TestLeaderWithAWrongClockGoes(t *testing.T) {
	bubble(t, 3, func(t *testing.T, c *cluster) {
		var off atomic.Int64
		c.tweak = func(cfg *Config) {
			if cfg.Self == "n1" {
				cfg.hooks.now = func() time.Time {
					return time.Now().Add(time.Duration(off.Load()))
				}
			}
		}
		c.start()
		l := c.lead("n1")
		c.fill(l, "right", 10)
		off.Store(int64(5 * time.Second))
		time.Sleep(time.Second)
		if _, err := l.Propose(t.Context(), entryOf("wrong")); err == nil {
			t.Error("a leader whose clock is off proposed")
		}
		c.eventually("another leader", func() bool { return !l.IsLeader() })
		off.Store(0)
		c.check()
	})
}

// A clock that is wrong for less than the time between two answers writes nothing wrong: neither
// by days nor by seconds, forwards or back, before the leader was heard of in its term or after.
func TestNoEntryOfAWrongTime(t *testing.T) {
	bubble(t, 3, func(t *testing.T, c *cluster) {
		var off [4]atomic.Int64 // by replica
		c.tweak = func(cfg *Config) {
			mine := &off[cfg.Self[1]-'0']
			cfg.hooks.now = func() time.Time { return time.Now().Add(time.Duration(mine.Load())) }
		}
		c.start()
		l := c.leader()
		for _, by := range []time.Duration{3 * time.Second, 60 * 24 * time.Hour,
			40 * 365 * 24 * time.Hour} {
			for _, by := range []time.Duration{by, -by} {
				c.fill(l, "right", 1)
				mine := &off[l.id[1]-'0']
				mine.Store(int64(by))
				if _, err := l.Propose(t.Context(), entryOf("wrong")); !errors.Is(err,
					wire.Unavailable) {
					t.Errorf("clock off by %s: proposed with %v, want unavailable", by, err)
				}
				if err := l.ConfirmTime(t.Context(), l.config.Now()); !errors.Is(err,
					wire.Unavailable) {
					t.Errorf("clock off by %s: confirmed with %v", by, err)
				}
				mine.Store(0)
				if err := l.ConfirmTime(t.Context(), l.config.Now()); err != nil {
					t.Errorf("clock right: %v", err)
				}
			}
		}
		next := c.nodes[c.others(l.id)[0]]
		off[next.id[1]-'0'].Store(int64(60 * 24 * time.Hour))
		if err := l.TransferLeadership(t.Context()); err != nil {
			t.Fatal(err)
		}
		c.leader().Propose(t.Context(), entryOf("wrong")) // whoever leads, in its first moment
		off[next.id[1]-'0'].Store(0)
		c.fill(c.leader(), "right again", 1)
		for _, r := range c.nodes {
			for _, cmd := range r.state.commands() {
				if skew := time.Since(cmd.Time.Std()); skew.Abs() > time.Minute {
					t.Errorf("%s has an entry %q that is %s off", r.id, cmd.Body, skew)
				}
			}
		}
		c.check()
	})
}

// One follower's wrong clock is its own affair.
func TestFollowerWithAWrongClockChangesNothing(t *testing.T) {
	bubble(t, 3, func(t *testing.T, c *cluster) {
		c.tweak = func(cfg *Config) {
			if cfg.Self == "n3" {
				cfg.hooks.now = func() time.Time { return time.Now().Add(-time.Minute) }
			}
		}
		c.start()
		l := c.lead("n1")
		time.Sleep(time.Minute)
		if !l.IsLeader() {
			t.Error("the leader went away")
		}
		c.check()
	})
}
