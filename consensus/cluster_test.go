package consensus

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/staffetta/staffetta/wire"
)

var (
	guardsOff = flag.String("guards-off", "", "guards to switch off, comma separated")
	verbose   = flag.Bool("raft-log", false, "show the groups' logs")
)

// offNow are the guards that this run of the tests is without.
func offNow() guards {
	g := guards{}
	for _, name := range strings.Split(*guardsOff, ",") {
		if name != "" {
			g[name] = true
		}
	}
	return g
}

func testLogger() *slog.Logger {
	if !*verbose {
		return slog.New(slog.NewTextHandler(io.Discard, nil))
	}
	return slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelDebug}))
}

// cluster is a group of replicas in one bubble.
type cluster struct {
	t      *testing.T
	net    *fakeNet
	timing Timing
	nodes  map[wire.NodeID]*replica
	order  []wire.NodeID
	found  []Member
	tweak  func(*Config)

	mu    sync.Mutex
	acked []string
}

type replica struct {
	id     wire.NodeID
	stores *Stores
	state  *memState
	*Group
	cancel context.CancelFunc
	done   chan error
}

// newCluster makes voters n1, n2, … and starts none.
func newCluster(t *testing.T, voters int) *cluster {
	c := &cluster{t: t, net: newFakeNet(200 * time.Microsecond), timing: RegionTiming(),
		nodes: map[wire.NodeID]*replica{}}
	for i := range voters {
		id := wire.NodeID(fmt.Sprintf("n%d", i+1))
		c.found = append(c.found, Member{id, true})
		c.add(id)
	}
	return c
}

// Propose gives an entry the time of its replica first, as a node does.
func (r *replica) Propose(ctx context.Context, data []byte) (any, error) {
	return r.Group.Propose(ctx, r.Group.stamped(data))
}

func (g *Group) stamped(data []byte) []byte {
	e, err := wire.DecodeEntry(data)
	if err != nil {
		return data
	}
	return wire.EncodeEntry(e.Kind, wire.TimeOf(g.config.Now()), e.Body)
}

func (c *cluster) add(id wire.NodeID) *replica {
	r := &replica{id: id, stores: NewMemoryStores(), state: newMemState()}
	c.nodes[id] = r
	c.order = append(c.order, id)
	return r
}

func (c *cluster) config(r *replica) Config {
	cfg := Config{Group: "region/test", Self: r.id, Stores: r.stores, State: r.state,
		Transport: c.net.listen(r.id), Timing: c.timing, Logger: testLogger(), guards: offNow()}
	if names(c.found, r.id) {
		cfg.Bootstrap = c.found
	}
	if c.tweak != nil {
		c.tweak(&cfg)
	}
	return cfg
}

func (c *cluster) start(ids ...wire.NodeID) {
	c.t.Helper()
	if len(ids) == 0 {
		ids = c.order
	}
	for _, id := range ids {
		r := c.nodes[id]
		g, err := Open(c.config(r))
		if err != nil {
			c.t.Fatalf("open %s: %v", id, err)
		}
		ctx, cancel := context.WithCancel(context.Background())
		done := make(chan error, 1)
		c.mu.Lock()
		r.Group, r.cancel, r.done = g, cancel, done
		c.mu.Unlock()
		go func() { done <- g.Run(ctx) }()
	}
}

// stop ends a replica cleanly.
func (c *cluster) stop(id wire.NodeID) error {
	r := c.nodes[id]
	r.cancel()
	defer c.gone(r, r.state)
	select {
	case err := <-r.done:
		return err
	case <-time.After(time.Minute):
		return errors.New("does not stop")
	}
}

// kill ends a replica as a crash does: what was not durable is gone.
func (c *cluster) kill(id wire.NodeID) {
	r := c.nodes[id]
	c.net.cut(id, c.others(id)...)
	left := r.state.crashed()
	r.Close()
	r.cancel()
	<-r.done
	c.gone(r, left)
	c.net.mu.Lock()
	for _, o := range c.order {
		delete(c.net.cuts, [2]wire.NodeID{id, o})
	}
	c.net.mu.Unlock()
}

// restarted waits for the replica to end with want and starts it again, after a crash.
func (c *cluster) restarted(id wire.NodeID, want error, within time.Duration) {
	c.t.Helper()
	r := c.nodes[id]
	select {
	case err := <-r.done:
		if !errors.Is(err, want) {
			c.t.Fatalf("%s ended with %v, want %v", id, err, want)
		}
	case <-time.After(within):
		c.t.Fatalf("%s still runs after %s, want %v", id, within, want)
	}
	r.cancel()
	c.gone(r, r.state.crashed())
	c.start(id)
}

// gone notes that r ended and what state it left.
func (c *cluster) gone(r *replica, left *memState) {
	c.mu.Lock()
	defer c.mu.Unlock()
	r.Group, r.state = nil, left
}

// get answers a replica as it is now, for goroutines beside the test's own.
func (c *cluster) get(id wire.NodeID) replica {
	c.mu.Lock()
	defer c.mu.Unlock()
	return *c.nodes[id]
}

func (c *cluster) others(id wire.NodeID) []wire.NodeID {
	return slices.DeleteFunc(slices.Clone(c.order), func(o wire.NodeID) bool { return o == id })
}

func (c *cluster) close() {
	for _, id := range c.order {
		if c.nodes[id].Group != nil {
			if err := c.stop(id); err != nil {
				c.t.Errorf("stop %s: %v", id, err)
			}
		}
	}
}

// eventually polls in virtual time.
func (c *cluster) eventually(what string, cond func() bool) {
	c.t.Helper()
	eventually(c.t, what, cond)
}

func eventually(t *testing.T, what string, cond func() bool) {
	t.Helper()
	for end := time.Now().Add(2 * time.Minute); !cond(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("not within two minutes: %s", what)
		}
	}
}

// leader waits for a leader among ids that can commit.
func (c *cluster) leader(ids ...wire.NodeID) *replica {
	c.t.Helper()
	if len(ids) == 0 {
		ids = c.order
	}
	var leader *replica
	c.eventually("a leader", func() bool {
		for _, id := range ids {
			r := c.nodes[id]
			if r.Group != nil && r.IsLeader() && r.Ready() == nil {
				leader = r
				return true
			}
		}
		return false
	})
	return leader
}

// lead makes id the leader.
func (c *cluster) lead(id wire.NodeID) *replica {
	c.t.Helper()
	for range 20 {
		l := c.leader()
		if l.id == id {
			return l
		}
		l.TransferLeadership(c.t.Context())
	}
	c.t.Fatalf("%s does not become leader", id)
	return nil
}

// propose retries until the command is acknowledged; retries may apply it more than once.
func (c *cluster) propose(body string) {
	c.t.Helper()
	c.eventually("proposal of "+body, func() bool {
		_, err := c.leader().Propose(c.t.Context(), entryOf(body))
		return err == nil
	})
	c.ack(body)
}

func (c *cluster) ack(body string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.acked = append(c.acked, body)
}

// fill proposes n commands to r, many at a time, which must all be acknowledged.
func (c *cluster) fill(r *replica, prefix string, n int) {
	c.t.Helper()
	var wg sync.WaitGroup
	for w := range 32 {
		wg.Go(func() {
			for i := w; i < n; i += 32 {
				body := fmt.Sprintf("%s-%d", prefix, i)
				if _, err := r.Propose(c.t.Context(), entryOf(body)); err != nil {
					c.t.Errorf("propose %s: %v", body, err)
					return
				}
				c.ack(body)
			}
		})
	}
	wg.Wait()
}

// check is what every cluster test ends with: all replicas come to the same state, and it holds
// everything that was acknowledged.
func (c *cluster) check() {
	c.t.Helper()
	c.net.heal()
	c.propose("last")
	var states []*memState
	for _, id := range c.order {
		if r := c.nodes[id]; r.Group != nil {
			states = append(states, r.state)
		}
	}
	c.eventually("equal positions", func() bool {
		for _, s := range states[1:] {
			if s.Position().Index != states[0].Position().Index {
				return false
			}
		}
		return true
	})
	_, want := states[0].Digest()
	for i, s := range states {
		if _, got := s.Digest(); got != want {
			c.t.Errorf("digest of replica %d is %x, want %x", i, got[:4], want[:4])
		}
	}
	present := map[string]bool{}
	for _, cmd := range states[0].commands() {
		present[cmd.Body] = true
	}
	for _, body := range c.acked {
		if !present[body] {
			c.t.Errorf("acknowledged %q is lost", body)
		}
	}
}

// bubble runs f with a cluster in virtual time.
func bubble(t *testing.T, voters int, f func(t *testing.T, c *cluster)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		c := newCluster(t, voters)
		// What a closed stream still carries arrives after its latency, and who reads it ends then:
		// no time passes in a bubble whose test has ended.
		defer time.Sleep(time.Second)
		defer c.close()
		f(t, c)
	})
}
