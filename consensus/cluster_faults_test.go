package consensus

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"
	"github.com/staffetta/staffetta/wire"
)

// farBehind starts the cluster and leaves a follower of its leader dead, and too far behind for the
// log.
func (c *cluster) farBehind() (leader *replica, behind wire.NodeID) {
	c.t.Helper()
	c.timing.TrailingLogs, c.timing.SnapshotThreshold = TrailingLogsMin, 500
	c.timing.SnapshotInterval = time.Second
	c.start()
	leader = c.leader()
	behind = c.others(leader.id)[0]
	c.kill(behind)
	c.eventually("the leader to miss it", func() bool { // until then the log stays for it
		_, there := leader.peers.lag(behind, leader.raft.CurrentTerm(), 0)
		return !there
	})
	c.fill(leader, "far", 5000)
	c.eventually("the log to be truncated behind a snapshot", func() bool {
		first, err := leader.stores.log.FirstIndex()
		return err == nil && first >= 3000
	})
	return leader, behind
}

// A follower that is far behind gets the state, while others go on writing.
func TestFollowerIsReinstalledUnderLoad(t *testing.T) {
	bubble(t, 3, func(t *testing.T, c *cluster) {
		l, behind := c.farBehind()
		ctx, stop := context.WithCancel(t.Context())
		defer stop()
		wg := c.load(ctx, 8)
		c.start(behind)
		r := c.nodes[behind]
		c.eventually("the follower to catch up", func() bool {
			return r.fsm.index.Load()+100 > l.fsm.index.Load()
		})
		if got := counterValue(t, r.stats.installs); got != 1 {
			t.Errorf("%v snapshots installed, want 1", got)
		}
		stop()
		wg.Wait()
		c.kill(behind) // and what it got is durable
		c.start(behind)
		c.check()
	})
}

// However long a state takes to be sent, the entries behind it are there when it has arrived.
func TestLogOfASentStateStays(t *testing.T) {
	bubble(t, 3, func(t *testing.T, c *cluster) {
		l, behind := c.farBehind()
		l.state.mu.Lock()
		l.state.slow = 8 * time.Second
		l.state.mu.Unlock()
		ctx, stop := context.WithCancel(t.Context())
		defer stop()
		wg := c.load(ctx, 8)
		c.start(behind)
		r, began := c.nodes[behind], l.fsm.index.Load()
		c.eventually("the follower to catch up", func() bool {
			return r.fsm.index.Load() > began && r.fsm.index.Load()+100 > l.fsm.index.Load()
		})
		if sent := l.fsm.index.Load() - began; sent < 3*TrailingLogsMin {
			t.Fatalf("only %d entries came meanwhile", sent)
		}
		if got := counterValue(t, r.stats.installs); got != 1 {
			t.Errorf("%v snapshots installed, want 1", got)
		}
		// Nobody wants them any more.
		c.eventually("the log to be shortened", func() bool {
			first, err := l.stores.log.FirstIndex()
			return err == nil && first+4*TrailingLogsMin > l.fsm.index.Load()
		})
		stop()
		wg.Wait()
		c.check()
	})
}

// A new member begins without a vote, catches up, and is promoted; the old leader goes.
func TestMembersComeAndGo(t *testing.T) {
	bubble(t, 3, func(t *testing.T, c *cluster) {
		c.start()
		l := c.leader()
		c.fill(l, "e", 3000)
		if err := l.Snapshot(t.Context()); err != nil {
			t.Fatal(err)
		}
		c.add("n4")
		c.start("n4")
		n4 := c.nodes["n4"]
		if err := n4.Ready(); err == nil {
			t.Error("a node that is no member is ready")
		}
		if err := l.Promote(t.Context(), "n4"); !errors.Is(err, wire.NotFound) {
			t.Errorf("promote a stranger: %v, want not-found", err)
		}
		for range 2 { // the second time nothing changes
			if err := l.AddNonvoter(t.Context(), "n4"); err != nil {
				t.Fatal(err)
			}
		}
		c.eventually("the new member to be promoted", func() bool {
			err := l.Promote(t.Context(), "n4")
			if err != nil && !errors.Is(err, wire.Conflict) {
				t.Fatal(err)
			}
			return err == nil
		})
		c.eventually("the new member to be ready", func() bool { return n4.Ready() == nil })
		c.eventually("the new member to know", func() bool {
			return n4.Status().Role == "follower"
		})
		if err := n4.AddNonvoter(t.Context(), "n9"); !errors.Is(err, wire.NotLeader) {
			t.Errorf("change of members on a follower: %v, want not-leader", err)
		}
		members, err := n4.Members()
		if err != nil || len(members) != 4 {
			t.Errorf("members %v, %v, want 4", members, err)
		}
		c.kill("n4")
		c.start("n4") // it remembers
		c.eventually("the restarted member to be ready", func() bool { return n4.Ready() == nil })
		c.check()
	})
}

// Two of three are cut off, the third goes on; then no two agree, and nobody commits.
func TestMinorityAndMajorityCut(t *testing.T) {
	bubble(t, 5, func(t *testing.T, c *cluster) {
		c.start()
		l := c.leader()
		ctx, stop := context.WithCancel(t.Context())
		defer stop()
		wg := c.load(ctx, 4)
		rest := c.others(l.id)
		minority, majority := rest[:2], append(rest[2:4:4], l.id)
		for _, id := range minority {
			c.net.cut(id, majority...)
		}
		time.Sleep(20 * time.Second)
		if !l.IsLeader() {
			t.Error("the leader of a majority went away")
		}
		c.net.cut(l.id, rest...)
		time.Sleep(20 * time.Second)
		if _, err := l.Propose(t.Context(), entryOf("alone")); err == nil {
			t.Error("a leader alone acknowledged an entry")
		}
		for _, id := range c.order {
			if g := c.nodes[id].Group; g.IsLeader() {
				t.Errorf("%s leads without a majority", id)
			}
		}
		c.net.heal()
		stop()
		wg.Wait()
		c.check()
	})
}

// The leader can send and not hear, or hear and not send.
func TestAsymmetricCut(t *testing.T) {
	for _, deaf := range []bool{true, false} {
		t.Run(fmt.Sprintf("deaf=%t", deaf), func(t *testing.T) {
			bubble(t, 3, func(t *testing.T, c *cluster) {
				c.start()
				l := c.leader()
				ctx, stop := context.WithCancel(t.Context())
				defer stop()
				wg := c.load(ctx, 4)
				if deaf {
					for _, id := range c.others(l.id) {
						c.net.hole(id, l.id)
					}
				} else {
					c.net.hole(l.id, c.others(l.id)...)
				}
				next := c.leader(c.others(l.id)...)
				c.eventually("entries under the new leader", func() bool {
					return next.state.Position().Term == next.raft.CurrentTerm()
				})
				c.net.heal()
				stop()
				wg.Wait()
				c.check()
			})
		})
	}
}

// An acknowledged entry survives the crash of everybody, unflushed.
func TestEverybodyCrashes(t *testing.T) {
	bubble(t, 3, func(t *testing.T, c *cluster) {
		c.start()
		for round := range 3 {
			c.fill(c.leader(), fmt.Sprint("round", round), 500)
			for _, id := range c.order {
				c.kill(id)
			}
			c.start()
		}
		c.check()
	})
}

// Handing over is quick, and nothing is lost.
func TestCleanStopHandsOver(t *testing.T) {
	bubble(t, 3, func(t *testing.T, c *cluster) {
		c.start()
		l := c.leader()
		c.fill(l, "e", 100)
		began := time.Now()
		if err := c.stop(l.id); err != nil {
			t.Fatal(err)
		}
		c.leader(c.others(l.id)...)
		if took := time.Since(began); took > time.Second {
			t.Errorf("a new leader took %s", took)
		}
		if l.state.flushes == 0 || l.state.durable.Pos.Index != l.state.now.Pos.Index {
			t.Error("the state was not flushed")
		}
		l.state = l.state.crashed()
		c.start(l.id)
		c.check()
	})
}

// A caller that stops waiting does not know.
func TestProposeEndsWithItsContext(t *testing.T) {
	bubble(t, 3, func(t *testing.T, c *cluster) {
		c.start()
		l := c.leader()
		c.net.hole(l.id, c.others(l.id)...)
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
		defer cancel()
		if _, err := l.Propose(ctx, entryOf("x")); !errors.Is(err, wire.OutcomeUnknown) {
			t.Errorf("propose: %v, want outcome-unknown", err)
		}
		if _, err := l.Propose(ctx, entryOf("y")); !errors.Is(err, wire.Unavailable) {
			t.Errorf("propose with a context that is over: %v, want unavailable", err)
		}
		c.check()
		for _, cmd := range l.state.commands() {
			if cmd.Body == "y" {
				t.Error("y was appended after all")
			}
		}
	})
}

// More than fits is refused, not queued.
func TestOverload(t *testing.T) {
	bubble(t, 3, func(t *testing.T, c *cluster) {
		c.start()
		l := c.leader()
		c.net.hole(l.id, c.others(l.id)...) // nothing commits
		big := wire.EncodeEntry(wire.CommandsEntry, 1, make([]byte, 1<<20))
		ctx, cancel := context.WithCancel(t.Context())
		for range inFlightBytes / (1 << 20) {
			go l.Propose(ctx, big)
		}
		time.Sleep(10 * time.Millisecond)
		if _, err := l.Propose(ctx, big); !errors.Is(err, wire.Overloaded) {
			t.Errorf("propose beyond the bound: %v, want overloaded", err)
		}
		cancel()
		time.Sleep(10 * time.Second)
		c.check()
	})
}

func TestWatchShowsTheNewest(t *testing.T) {
	bubble(t, 3, func(t *testing.T, c *cluster) {
		c.start()
		l := c.leader()
		watch, cancel := l.Watch()
		if got := <-watch; !got.Self || got.Leader != l.id {
			t.Errorf("leadership %+v, want %s itself", got, l.id)
		}
		if err := l.TransferLeadership(t.Context()); err != nil {
			t.Fatal(err)
		}
		next := c.leader()
		time.Sleep(time.Second)
		if got := <-watch; got.Self || got.Leader != next.id || got.Term != next.raft.CurrentTerm() {
			t.Errorf("leadership %+v, want %s", got, next.id)
		}
		cancel()
		if _, open := <-watch; open {
			t.Error("a cancelled watch is open")
		}
		other, cancel := next.Watch()
		defer cancel()
		<-other
		c.stop(next.id)
		for range other { // ends with the group
		}
	})
}

// The same registry can be used again after a restart, and every metric has its name and label.
func TestMetricsAreRegisteredAndGo(t *testing.T) {
	bubble(t, 1, func(t *testing.T, c *cluster) {
		registry := prometheus.NewRegistry()
		c.tweak = func(cfg *Config) { cfg.Registerer = registry }
		for range 2 {
			c.start()
			c.fill(c.leader(), "e", 1)
			families, err := registry.Gather()
			if err != nil || len(families) != 20 {
				t.Errorf("%d metrics (%v), want 20", len(families), err)
			}
			c.stop("n1")
			c.nodes["n1"].state = c.nodes["n1"].state.crashed()
		}
		if families, _ := registry.Gather(); len(families) != 0 {
			t.Errorf("%d metrics are left", len(families))
		}
	})
}

func TestConfigReportsEverything(t *testing.T) {
	_, err := Open(Config{Self: "No!", LogStore: "paper", Bootstrap: []Member{{"n1", false}}})
	if err == nil {
		t.Fatal("an empty configuration was opened")
	}
	for _, part := range []string{"group name", "node name", "log store", "state and transport",
		"no founding member votes"} {
		if !strings.Contains(err.Error(), part) {
			t.Errorf("%q is not in: %v", part, err)
		}
	}
}

func TestTimingIsChecked(t *testing.T) {
	for name, wrong := range map[string]func(*Timing){
		"fewer logs for one than for all": func(t *Timing) { t.WantedLogs = t.TrailingLogs - 1 },
		"no deadline":                     func(t *Timing) { t.RPC = 0 },
		"no cache":                        func(t *Timing) { t.LogCache = 0 },
	} {
		timing := RegionTiming()
		wrong(&timing)
		if err := timing.validate(guards{}); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
	for _, timing := range []Timing{RegionTiming(), FederationTiming()} {
		if err := timing.validate(guards{}); err != nil {
			t.Error(err)
		}
	}
}

func counterValue(t *testing.T, c prometheus.Counter) float64 {
	t.Helper()
	var m dto.Metric
	if err := c.Write(&m); err != nil {
		t.Fatal(err)
	}
	return m.GetCounter().GetValue()
}
