package consensus

import (
	"bytes"
	"context"
	"fmt"
	"math"
	"strconv"
	"sync"
	"time"

	"github.com/hashicorp/raft"
	"github.com/staffetta/staffetta/wire"
)

// A leader's time goes into the log, and every replica decides by it. So it is believed only while
// a majority of the voters bear it out, itself included, and what bears it out is never older than
// the time: followers tell their clocks with every answer, and between two answers each of those
// clocks is carried on by this machine's uptime, which no step of a wall clock moves. An entry's
// time is held against the clocks of others as they are now, not against what the own clock was
// found to be when it was last compared. It costs no message.

// clockPoll is how often a proposal that waits for the clocks of a majority looks again.
const clockPoll = 2 * time.Millisecond

// reading is what a follower's clock showed, some time between two moments of our uptime.
type reading struct {
	at        time.Time // zero: nothing is known
	sent, got time.Duration
}

// apart is the least by which the clock is now ahead of t; negative when it is behind, 0 when it
// may be the same.
func (r *reading) apart(t time.Time, uptime time.Duration) time.Duration {
	if early := r.at.Add(uptime - r.got); t.Before(early) {
		return early.Sub(t)
	}
	if late := r.at.Add(uptime - r.sent); t.After(late) {
		return late.Sub(t)
	}
	return 0
}

// bears says what the voters' clocks say of t as the present time.
type bears struct{ known, yes, voters int }

func (b bears) majority() bool { return b.yes >= b.voters/2+1 }

// refused: whatever those say that were not heard of, it will be no majority.
func (b bears) refused() bool { return b.voters > 0 && b.yes+b.voters-b.known < b.voters/2+1 }

// bear asks the clocks of voters that answered in term to messages sent at an uptime of since or
// later. This node bears itself out.
func (p *peers) bear(term uint64, t time.Time, since time.Duration) (b bears) {
	p.mu.Lock()
	defer p.mu.Unlock()
	b.voters = len(p.voters)
	uptime := p.uptime()
	for _, v := range p.voters {
		if v == p.self {
			b.known, b.yes = b.known+1, b.yes+1
			continue
		}
		f := p.of[v]
		if p.term != term || f == nil || f.clock.at.IsZero() || f.clock.sent < since {
			continue
		}
		if b.known++; f.clock.apart(t, uptime).Abs() <= wire.ClockSkewMax {
			b.yes++
		}
	}
	return b
}

// heard knows how long the machine was suspended since a contact with the leader, which the library
// dates by a clock that stands still meanwhile.
type heard struct {
	mu sync.Mutex
	// Guarded by mu.
	at   time.Time     // the newest contact seen
	then time.Duration // how long the machine had slept by then, at least
	last time.Duration // the same, when it was last looked
}

// slept is how long the machine slept since a contact: all that it slept since it was last looked,
// for one that is new. Total is counted from any moment.
func (h *heard) slept(at time.Time, total time.Duration) time.Duration {
	h.mu.Lock()
	defer h.mu.Unlock()
	if !at.Equal(h.at) {
		h.at, h.then = at, h.last
	}
	h.last = total
	return max(total-h.then, 0)
}

// clockOff reports whether this node's clock is further from those of so many voters than allowed
// that the rest, with itself, is no majority. Who was not heard of agrees.
func (g *Group) clockOff() bool {
	return g.peers.bear(g.raft.CurrentTerm(), g.config.Now(), math.MinInt64).refused()
}

// Believe returns nil when t is the present time by the clocks of a majority, as far as those are
// known: from answers of this term that are no older than an election timeout. A leader whose term
// has just begun waits for them, as long as a lease. Otherwise it is Unavailable.
func (g *Group) Believe(ctx context.Context, t time.Time) error {
	if !g.config.guards.on(guardClock) {
		return nil
	}
	var poll *time.Ticker
	var end <-chan time.Time
	for {
		term := g.raft.CurrentTerm()
		b := g.peers.bear(term, t, g.config.Uptime()-g.config.Timing.Heartbeat)
		switch {
		case b.majority():
			return nil
		case b.refused():
			return errClock()
		case g.raft.State() != raft.Leader:
			return g.notLeader()
		}
		if poll == nil {
			poll = time.NewTicker(clockPoll)
			defer poll.Stop()
			timer := time.NewTimer(g.config.Timing.LeaderLease)
			defer timer.Stop()
			end = timer.C
		}
		select {
		case <-poll.C:
		case <-end:
			return wire.Errorf(wire.Unavailable, "the clocks of a majority are not known")
		case <-ctx.Done():
			return wire.Errorf(wire.Unavailable, "the caller stopped waiting")
		case <-g.ended:
			return wire.Errorf(wire.NotReady, "the node is stopping")
		}
	}
}

// ConfirmTime returns nil when a majority, in answer to messages sent after the call, confirmed
// this leader and that t, taken before the call, was the time. Errors are those of Read, and
// Unavailable when the clocks say otherwise.
func (g *Group) ConfirmTime(ctx context.Context, t time.Time) error {
	begun := g.config.Uptime()
	if _, err := g.ReadIndex(ctx); err != nil {
		return err
	}
	passed := g.config.Uptime() - begun
	if !g.peers.bear(g.raft.CurrentTerm(), t.Add(passed), begun).majority() {
		return errClock()
	}
	return nil
}

func errClock() error {
	return wire.Errorf(wire.Unavailable, "the leader's clock is not that of a majority")
}

// A node's name in the library's messages is followed by its clock: "lazio-1@1795363200000".
func encodeClock(addr raft.ServerAddress, now time.Time) []byte {
	b := append([]byte(addr), '@')
	return strconv.AppendInt(b, now.UnixMilli(), 10)
}

func decodeClock(b []byte) (addr raft.ServerAddress, at time.Time, ok bool) {
	name, ms, found := bytes.Cut(b, []byte("@"))
	addr = raft.ServerAddress(name)
	if !found {
		return addr, time.Time{}, false
	}
	n, err := strconv.ParseInt(string(ms), 10, 64)
	return addr, time.UnixMilli(n), err == nil
}

// checkClock makes a leader whose clock is off hand over, and gives up when nobody takes it.
func (g *Group) checkClock(since time.Time) time.Time {
	if !g.IsLeader() || !g.clockOff() || !g.config.guards.on(guardClock) {
		return time.Time{}
	}
	if since.IsZero() {
		g.logger.Warn("clock is off", "allowed", wire.ClockSkewMax)
		since = time.Now()
	}
	if time.Since(since) > 5*g.config.Timing.Election {
		g.fatal(fmt.Errorf("%w: by more than %s", ErrClock, wire.ClockSkewMax))
		return since
	}
	ctx, cancel := context.WithTimeout(context.Background(), g.config.Timing.Election)
	defer cancel()
	if err := g.TransferLeadership(ctx); err != nil {
		g.logger.Warn("leadership not handed over", "err", err)
	}
	return since
}
