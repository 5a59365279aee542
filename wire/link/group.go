package link

import (
	"context"
	"slices"
	"sync"
	"time"

	"github.com/staffetta/staffetta/internal/backoff"
	"github.com/staffetta/staffetta/wire"
)

const (
	// AttemptWait bounds one attempt on one node of a group: longer than a busy leader takes,
	// short enough to try the others within wire.OwnerWait.
	AttemptWait = 2 * time.Second
	// suspectFor is how long a node that did not answer is left alone while others do. After
	// that it gets a call again only if it answers a greeting within probeWait: the others go on
	// naming a dead leader until they have elected another, and it must not cost us an attempt
	// each time; a leader that lives and was only slow must not be avoided either.
	suspectFor = 500 * time.Millisecond
	probeWait  = 250 * time.Millisecond
	// roundPauseMin and roundPauseMax bound the jittered pause after a round of a group's nodes
	// without a leader: an election takes seconds, and a new leader is to be found soon.
	roundPauseMin = 25 * time.Millisecond
	roundPauseMax = 250 * time.Millisecond
)

// Caller makes one call to one peer; *Link is one.
type Caller interface {
	Call(ctx context.Context, to Peer, m wire.Method, req []byte) ([]byte, error)
}

// Group calls the leader of one Raft group: it remembers who led last, follows NotLeader, and
// asks the group's other nodes when one does not answer. Safe for concurrent use.
type Group struct {
	// Set at construction.
	name   string
	caller Caller

	// Guarded by mu.
	mu      sync.Mutex
	nodes   []Peer
	leader  wire.NodeID               // who led last, or is said to lead; empty: not known
	suspect map[wire.NodeID]time.Time // nodes that did not answer: until when they are avoided
	heard   map[wire.NodeID]time.Time // when a node last answered anything
	turn    int
}

// NewGroup returns a group of which no node is known yet.
func NewGroup(name string, caller Caller) *Group {
	return &Group{name: name, caller: caller, suspect: make(map[wire.NodeID]time.Time),
		heard: make(map[wire.NodeID]time.Time)}
}

// Know says which nodes the group has. The same ones again change nothing.
func (g *Group) Know(nodes []Peer) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if slices.Equal(g.nodes, nodes) {
		return
	}
	g.nodes = nodes
	clear(g.suspect)
	clear(g.heard)
}

// Leader is who led last, or is said to lead; empty when not known.
func (g *Group) Leader() wire.NodeID {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.leader
}

// pick chooses the node to ask next: who is said to lead, then the others in turn, those under
// suspicion last; none that was asked in this round. When another node has answered in this
// round, those under suspicion are left alone: the group lives and will name a leader. probe
// says that the node did not answer the last time.
func (g *Group) pick(asked map[wire.NodeID]bool, answered bool) (p Peer, probe, ok bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	now := time.Now()
	best, suspected := -1, -1
	for i := range g.nodes {
		at := (g.turn + i) % len(g.nodes)
		switch n := g.nodes[at].Node; {
		case asked[n]:
		case now.Before(g.suspect[n]):
			if suspected < 0 {
				suspected = at
			}
		case n == g.leader:
			_, probe = g.suspect[n]
			return g.nodes[at], probe, true
		case best < 0:
			best = at
		}
	}
	if best >= 0 {
		g.turn = (best + 1) % len(g.nodes)
	} else if best = suspected; best < 0 || answered {
		return Peer{}, false, false
	}
	_, probe = g.suspect[g.nodes[best].Node]
	return g.nodes[best], probe, true
}

// noteLeader notes that n decided something, or is said by another node to lead.
func (g *Group) noteLeader(n wire.NodeID, decided bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.leader = n; decided {
		delete(g.suspect, n)
		g.heard[n] = time.Now()
	}
}

// declined notes that n answered, and does not lead or cannot decide now.
func (g *Group) declined(n wire.NodeID) {
	g.mu.Lock()
	defer g.mu.Unlock()
	delete(g.suspect, n)
	if g.heard[n] = time.Now(); g.leader == n {
		g.leader = ""
	}
}

// silent notes that n did not answer an attempt begun at since. When it has answered something
// else meanwhile, only that one call was lost.
func (g *Group) silent(n wire.NodeID, since time.Time) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.heard[n].After(since) {
		return
	}
	g.suspect[n] = time.Now().Add(suspectFor)
	if g.leader == n {
		g.leader = ""
	}
}

// Ask is one request to a group's leader.
type Ask struct {
	Method wire.Method
	Req    []byte
	Again  bool            // a second copy is harmless: go on after an unknown outcome
	Wait   time.Duration   // for one attempt; 0: as long as ctx lasts
	Failed func(wire.Code) // told of every attempt that failed; may be nil
}

// Ask brings a request to the group's leader, and goes on until ctx ends. unknown says that an
// attempt may have been applied whose answer was lost. The error is the leader's own, Unavailable
// when surely nothing was appended, or OutcomeUnknown.
func (g *Group) Ask(ctx context.Context, c Ask) (answer []byte, unknown bool, err error) {
	pauses := backoff.Backoff{Min: roundPauseMin, Max: roundPauseMax}
	last := wire.Errorf(wire.Unavailable, "no node is known")
	for {
		asked, answered := make(map[wire.NodeID]bool), false
		for ctx.Err() == nil {
			p, probe, ok := g.pick(asked, answered)
			if !ok {
				break
			}
			asked[p.Node] = true
			began := time.Now()
			if probe && !g.alive(ctx, p) {
				g.silent(p.Node, began)
				continue
			}
			answer, err := g.attempt(ctx, p, c)
			if err == nil {
				g.noteLeader(p.Node, true)
				return answer, unknown, nil
			}
			last = wire.AsError(err)
			if c.Failed != nil {
				c.Failed(last.Code)
			}
			if !wire.Retriable(last) {
				return nil, unknown, last
			}
			unknown = unknown || last.Code == wire.OutcomeUnknown
			// An attempt that our own caller cut short says nothing about the node.
			if ctx.Err() == nil || time.Since(began) >= AttemptWait/2 {
				answered = g.note(p.Node, last, began) || answered
			}
			if unknown && !c.Again {
				break
			}
		}
		if unknown && !c.Again || !pauses.Pause(ctx) {
			return nil, unknown, g.gaveUp(unknown, last)
		}
	}
}

// note learns from an attempt that failed, and reports whether the node answered it.
func (g *Group) note(n wire.NodeID, err *wire.Error, began time.Time) bool {
	switch err.Code {
	case wire.NotLeader:
		if g.declined(n); err.Leader != "" && err.Leader != n {
			g.noteLeader(err.Leader, false)
		}
		return true
	case wire.NotReady:
		g.declined(n)
	case wire.Overloaded: // it leads, and has too much to do
		return true
	default: // not reached, no answer, or by its own word not able to decide
		g.silent(n, began)
	}
	return false
}

// alive greets a node that did not answer the last time.
func (g *Group) alive(ctx context.Context, p Peer) bool {
	ctx, cancel := context.WithTimeout(ctx, probeWait)
	defer cancel()
	_, err := g.caller.Call(ctx, p, wire.MethodHello,
		wire.Encode(&wire.Hello{Version: wire.ProtocolVersion}))
	return err == nil
}

func (g *Group) attempt(ctx context.Context, p Peer, c Ask) ([]byte, error) {
	if c.Wait > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, c.Wait)
		defer cancel()
	}
	return g.caller.Call(ctx, p, c.Method, c.Req)
}

// gaveUp is the error after the last attempt. The detail of a node's error stays: it is for
// people and names no citizen.
func (g *Group) gaveUp(unknown bool, last *wire.Error) error {
	if unknown {
		return wire.Errorf(wire.OutcomeUnknown, "%s: the answer was lost", g.name)
	}
	if last.Code == wire.Overloaded {
		return last
	}
	return wire.Errorf(wire.Unavailable, "%s: no leader answers (last: %s)", g.name, last.Code)
}
