package route

import (
	"context"
	"sync"
	"time"

	"github.com/staffetta/staffetta/wire"
	"github.com/staffetta/staffetta/wire/link"
)

const (
	// attemptWait bounds one attempt on one node of a region: longer than a busy leader takes,
	// short enough to try the others within wire.OwnerWait.
	attemptWait = 2 * time.Second
	// suspectFor is how long a node that did not answer is left alone while others do. After
	// that it gets a call again only if it answers a greeting within probeWait: the others go on
	// naming a dead leader until they have elected another, and it must not cost us an attempt
	// each time; a leader that lives and was only slow must not be avoided either.
	suspectFor = 500 * time.Millisecond
	probeWait  = 250 * time.Millisecond
	// roundPauseMin and roundPauseMax bound the jittered pause after a round of a region's nodes
	// without a leader: an election takes seconds, and a new leader is to be found soon.
	roundPauseMin = 25 * time.Millisecond
	roundPauseMax = 250 * time.Millisecond
)

// owner reaches one region: its nodes, who leads them, and the lane of its blocks. Safe for
// concurrent use.
type owner struct {
	// Set at construction.
	id   wire.RegionID
	lane *lane

	// Guarded by mu.
	mu      sync.Mutex
	nodes   []link.Peer
	leader  wire.NodeID               // who led last, or is said to lead; empty: not known
	suspect map[wire.NodeID]time.Time // nodes that did not answer: until when they are avoided
	heard   map[wire.NodeID]time.Time // when a node last answered anything
	turn    int
}

func newOwner(id wire.RegionID, l Limits) *owner {
	return &owner{id: id, lane: newLane(l), suspect: make(map[wire.NodeID]time.Time),
		heard: make(map[wire.NodeID]time.Time)}
}

func (o *owner) know(nodes []link.Peer) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.nodes = nodes
	clear(o.suspect)
	clear(o.heard)
}

// pick chooses the node to ask next: who is said to lead, then the others in turn, those under
// suspicion last; none that was asked in this round. When another node has answered in this
// round, those under suspicion are left alone: the region lives and will name a leader. probe
// says that the node did not answer the last time.
func (o *owner) pick(asked map[wire.NodeID]bool, answered bool) (p link.Peer, probe, ok bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	now := time.Now()
	best, suspected := -1, -1
	for i := range o.nodes {
		at := (o.turn + i) % len(o.nodes)
		switch n := o.nodes[at].Node; {
		case asked[n]:
		case now.Before(o.suspect[n]):
			if suspected < 0 {
				suspected = at
			}
		case n == o.leader:
			_, probe = o.suspect[n]
			return o.nodes[at], probe, true
		case best < 0:
			best = at
		}
	}
	if best >= 0 {
		o.turn = (best + 1) % len(o.nodes)
	} else if best = suspected; best < 0 || answered {
		return link.Peer{}, false, false
	}
	_, probe = o.suspect[o.nodes[best].Node]
	return o.nodes[best], probe, true
}

// leads notes that n decided something, or is said by another node to lead.
func (o *owner) leads(n wire.NodeID, decided bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.leader = n; decided {
		delete(o.suspect, n)
		o.heard[n] = time.Now()
	}
}

// declined notes that n answered, and does not lead or can not decide now.
func (o *owner) declined(n wire.NodeID) {
	o.mu.Lock()
	defer o.mu.Unlock()
	delete(o.suspect, n)
	if o.heard[n] = time.Now(); o.leader == n {
		o.leader = ""
	}
}

// silent notes that n did not answer an attempt begun at since. When it has answered something
// else meanwhile, only that one call was lost.
func (o *owner) silent(n wire.NodeID, since time.Time) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.heard[n].After(since) {
		return
	}
	o.suspect[n] = time.Now().Add(suspectFor)
	if o.leader == n {
		o.leader = ""
	}
}

// call is one request to a region's leader.
type call struct {
	method wire.Method
	req    []byte
	again  bool          // a second copy is harmless: go on after an unknown outcome
	wait   time.Duration // for one attempt; 0: as long as ctx lasts
}

// errStopping answers whoever waits when the router stops.
var errStopping = &wire.Error{Code: wire.Unavailable, Detail: "the gateway is stopping"}

// ask brings a call to the region's leader: it follows NotLeader, asks the other nodes when one
// does not answer, and goes on until ctx ends. unknown says that an attempt may have been
// applied whose answer was lost. The error is the leader's own, Unavailable when surely nothing
// was appended, or OutcomeUnknown.
func (o *owner) ask(ctx context.Context, caller Caller, c call, s *stats) (answer []byte,
	unknown bool, err error) {
	wait, last := roundPauseMin, wire.Errorf(wire.Unavailable, "the map names no node")
	for {
		asked, answered := make(map[wire.NodeID]bool), false
		for ctx.Err() == nil {
			p, probe, ok := o.pick(asked, answered)
			if !ok {
				break
			}
			asked[p.Node] = true
			began := time.Now()
			if probe && !alive(ctx, caller, p) {
				o.silent(p.Node, began)
				continue
			}
			answer, err := o.attempt(ctx, caller, p, c)
			if err == nil {
				o.leads(p.Node, true)
				return answer, unknown, nil
			}
			last = wire.AsError(err)
			s.retries.WithLabelValues(last.Code.String()).Inc()
			if !wire.Retriable(last) {
				return nil, unknown, last
			}
			unknown = unknown || last.Code == wire.OutcomeUnknown
			// An attempt that our own caller cut short says nothing about the node.
			if ctx.Err() == nil || time.Since(began) >= attemptWait/2 {
				answered = o.note(p.Node, last, began) || answered
			}
			if unknown && !c.again {
				break
			}
		}
		if unknown && !c.again || !pause(ctx, wait) {
			return nil, unknown, o.gaveUp(unknown, last)
		}
		wait = min(2*wait, roundPauseMax)
	}
}

// note learns from an attempt that failed, and reports whether the node answered it.
func (o *owner) note(n wire.NodeID, err *wire.Error, began time.Time) bool {
	switch err.Code {
	case wire.NotLeader:
		if o.declined(n); err.Leader != "" && err.Leader != n {
			o.leads(err.Leader, false)
		}
		return true
	case wire.NotReady:
		o.declined(n)
	case wire.Overloaded: // it leads, and has too much to do
		return true
	default: // not reached, no answer, or by its own word not able to decide
		o.silent(n, began)
	}
	return false
}

// alive greets a node that did not answer the last time.
func alive(ctx context.Context, caller Caller, p link.Peer) bool {
	ctx, cancel := context.WithTimeout(ctx, probeWait)
	defer cancel()
	_, err := caller.Call(ctx, p, wire.MethodHello,
		wire.Encode(&wire.Hello{Version: protocolVersion}))
	return err == nil
}

func (o *owner) attempt(ctx context.Context, caller Caller, p link.Peer, c call) ([]byte, error) {
	if c.wait > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, c.wait)
		defer cancel()
	}
	return caller.Call(ctx, p, c.method, c.req)
}

// gaveUp is the error after the last attempt. The detail of a node's error stays: it is for
// people and names no citizen.
func (o *owner) gaveUp(unknown bool, last *wire.Error) error {
	if unknown {
		return wire.Errorf(wire.OutcomeUnknown, "region %s: the answer was lost", o.id)
	}
	if last.Code == wire.Overloaded {
		return last
	}
	return wire.Errorf(wire.Unavailable, "region %s: no leader answers (last: %s)", o.id, last.Code)
}
