package node

import (
	"context"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/staffetta/staffetta/wire"
	"github.com/staffetta/staffetta/wire/link"
)

const (
	// clockPeriod is how often a leader compares its clock.
	clockPeriod = 10 * time.Second
	// clockAsk bounds one comparison.
	clockAsk = time.Second
)

// clock compares the leader's wall clock with those of its region's other nodes, since the time
// in an entry is the leader's word. A leader more than ClockSkewMax off the majority's does not
// propose and hands leadership over.
type clock struct {
	n *Node

	// Guarded by mu.
	mu      sync.Mutex
	checked chan struct{} // closed after the first comparison of this leadership
	skew    time.Duration
}

func newClock(n *Node) *clock { return &clock{n: n, checked: make(chan struct{})} }

// trusted waits for the first comparison of a leadership and refuses when the clock is wrong.
func (c *clock) trusted(ctx context.Context) error {
	c.mu.Lock()
	checked, skew := c.checked, c.skew
	c.mu.Unlock()
	select {
	case <-checked:
	default:
		select {
		case <-checked:
		case <-ctx.Done():
			return wire.Errorf(wire.Unavailable, "the leader has not compared its clock yet")
		}
		c.mu.Lock()
		skew = c.skew
		c.mu.Unlock()
	}
	if skew.Abs() > wire.ClockSkewMax {
		return wire.Errorf(wire.Unavailable, "the leader's clock is %s off its majority's",
			skew.Round(time.Millisecond))
	}
	return nil
}

// run compares for as long as this node leads.
func (c *clock) run(ctx context.Context) error {
	tick := time.NewTicker(clockPeriod)
	defer tick.Stop()
	defer func() {
		c.mu.Lock()
		c.checked, c.skew = make(chan struct{}), 0
		c.mu.Unlock()
	}()
	for first := true; ; first = false {
		skew := c.compare(ctx)
		c.mu.Lock()
		c.skew = skew
		if first {
			close(c.checked)
		}
		c.mu.Unlock()
		if skew.Abs() > wire.ClockSkewMax {
			c.n.log.LogAttrs(ctx, slog.LevelError, "the clock is wrong, handing leadership over",
				slog.Duration("skew", skew))
			if err := c.n.regionGroup.TransferLeadership(ctx); err != nil {
				c.n.log.Warn("leadership could not be handed over", "reason", err.Error())
			}
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return nil
		}
	}
}

// compare returns how far this clock is ahead of the median of the region's clocks, its own
// included. Nodes that do not answer are left out: without a majority nothing commits anyway.
func (c *clock) compare(ctx context.Context) time.Duration {
	ctx, cancel := context.WithTimeout(ctx, clockAsk)
	defer cancel()
	others := c.n.nodesOf(c.n.cfg.Region)
	offsets := make(chan time.Duration, len(others))
	var asked sync.WaitGroup
	for _, node := range others {
		if node == c.n.cfg.ID {
			continue
		}
		asked.Go(func() {
			sent := c.n.cfg.Now()
			answer, err := c.n.link.Call(ctx, link.Peer{Node: node}, wire.MethodClock, nil)
			var k wire.Clock
			if err != nil || wire.Decode(answer, &k) != nil {
				return
			}
			got := c.n.cfg.Now()
			middle := sent.Add(got.Sub(sent) / 2)
			offsets <- middle.Sub(k.Now.Std())
		})
	}
	asked.Wait()
	close(offsets)
	all := []time.Duration{0}
	for o := range offsets {
		all = append(all, o)
	}
	slices.Sort(all)
	// Of two middle ones the smaller stands: one dissenting clock proves nothing.
	low, high := all[(len(all)-1)/2], all[len(all)/2]
	if low.Abs() < high.Abs() {
		return low
	}
	return high
}

// tellClock answers MethodClock.
func (n *Node) tellClock(context.Context, link.Identity, []byte) ([]byte, error) {
	return wire.Encode(&wire.Clock{Now: n.clockNow()}), nil
}
