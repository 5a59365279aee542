package consensus

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/staffetta/staffetta/wire"
)

func TestElectionAndPropose(t *testing.T) {
	bubble(t, 3, func(t *testing.T, c *cluster) {
		c.start()
		l := c.leader()
		got, err := l.Propose(t.Context(), entryOf("a"))
		if err != nil {
			t.Fatal(err)
		}
		c.ack("a")
		if want := l.state.Position().Index; got != want {
			t.Errorf("result %v, want the state's %d", got, want)
		}
		for _, id := range c.others(l.id) {
			f := c.nodes[id]
			_, err := f.Propose(t.Context(), entryOf("b"))
			var e *wire.Error
			if !errors.As(err, &e) || e.Code != wire.NotLeader || e.Leader != l.id {
				t.Errorf("propose on a follower: %v, want not-leader with %s", err, l.id)
			}
			if err := f.Read(t.Context()); !errors.Is(err, wire.NotLeader) {
				t.Errorf("read on a follower: %v, want not-leader", err)
			}
			if err := f.Ready(); err != nil {
				t.Errorf("follower is not ready: %v", err)
			}
		}
		s := l.Status()
		if s.Role != "leader" || s.Leader != l.id || s.AppliedIndex != got || len(s.Digest) != 64 {
			t.Errorf("status %+v", s)
		}
		c.check()
	})
}

func TestLeaderKilledUnderLoad(t *testing.T) {
	bubble(t, 3, func(t *testing.T, c *cluster) {
		c.start()
		c.leader()
		ctx, stop := context.WithCancel(t.Context())
		defer stop()
		wg := c.load(ctx, 8)
		for range 5 {
			time.Sleep(3 * time.Second)
			l := c.leader()
			c.kill(l.id)
			c.leader()
			time.Sleep(time.Second)
			c.start(l.id)
		}
		stop()
		wg.Wait()
		if len(c.acked) < 100 {
			t.Errorf("only %d commands acknowledged", len(c.acked))
		}
		c.check()
	})
}

// load proposes on whoever leads until ctx is over.
func (c *cluster) load(ctx context.Context, proposers int) *sync.WaitGroup {
	var wg sync.WaitGroup
	for p := range proposers {
		wg.Go(func() {
			for i := 0; ctx.Err() == nil; i++ {
				body := fmt.Sprintf("load-%d-%d", p, i)
				for _, id := range c.order {
					g := c.get(id).Group
					if g == nil || !g.IsLeader() {
						continue
					}
					short, cancel := context.WithTimeout(ctx, 5*time.Second)
					_, err := g.Propose(short, g.stamped(entryOf(body)))
					cancel()
					if err == nil {
						c.ack(body)
					}
				}
				time.Sleep(5 * time.Millisecond)
			}
		})
	}
	return &wg
}
