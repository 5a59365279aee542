package route

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/staffetta/staffetta/wire"
	"github.com/staffetta/staffetta/wire/link"
)

const (
	// attemptWait bounds one attempt on one node of a region: longer than a busy leader takes,
	// short enough to try the others within wire.OwnerWait.
	attemptWait = 2 * time.Second
	// suspectFor is how long a node that did not answer is asked last.
	suspectFor = 3 * time.Second
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
	leader  wire.NodeID // who led last, or is said to lead; empty: not known
	suspect map[wire.NodeID]time.Time
	turn    int
}

func newOwner(id wire.RegionID, l Limits) *owner {
	return &owner{id: id, lane: newLane(l), suspect: make(map[wire.NodeID]time.Time)}
}

func (o *owner) know(nodes []link.Peer) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.nodes = nodes
	clear(o.suspect)
}

// pick chooses the node to ask next: who is said to lead, then the others in turn, those under
// suspicion last; none that was asked in this round. When another node has answered in this
// round, those under suspicion are left alone: the region lives and will name a leader.
func (o *owner) pick(asked map[wire.NodeID]bool, answered bool) (link.Peer, bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	now := time.Now()
	var last link.Peer
	for i := range o.nodes {
		p := o.nodes[(o.turn+i)%len(o.nodes)]
		if p.Node == o.leader && !asked[p.Node] && !now.Before(o.suspect[p.Node]) {
			return p, true
		}
	}
	for i := range o.nodes {
		p := o.nodes[(o.turn+i)%len(o.nodes)]
		switch {
		case asked[p.Node]:
		case !now.Before(o.suspect[p.Node]):
			o.turn = (o.turn + i + 1) % len(o.nodes)
			return p, true
		case last.Node == "":
			last = p
		}
	}
	return last, last.Node != "" && !answered
}

// leads notes that n decided something, or is said by another node to lead.
func (o *owner) leads(n wire.NodeID, decided bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.leader = n; decided {
		delete(o.suspect, n)
	}
}

// failed notes that n does not lead, and with silent that it did not even answer.
func (o *owner) failed(n wire.NodeID, silent bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.leader == n {
		o.leader = ""
	}
	if silent {
		o.suspect[n] = time.Now().Add(suspectFor)
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
		for {
			p, ok := o.pick(asked, answered)
			if !ok {
				break
			}
			asked[p.Node] = true
			answer, err := o.attempt(ctx, caller, p, c)
			if err == nil {
				o.leads(p.Node, true)
				return answer, unknown, nil
			}
			last = wire.AsError(err)
			s.retries.WithLabelValues(last.Code.String()).Inc()
			switch last.Code {
			case wire.NotLeader:
				answered = true
				if o.failed(p.Node, false); last.Leader != "" && last.Leader != p.Node {
					o.leads(last.Leader, false)
				}
			case wire.OutcomeUnknown:
				unknown = true
				o.failed(p.Node, true)
			case wire.Unavailable:
				o.failed(p.Node, !errors.Is(ctx.Err(), context.Canceled))
			case wire.NotReady:
				o.failed(p.Node, false)
			case wire.Overloaded:
				answered = true
			default:
				return nil, unknown, last
			}
			if ctx.Err() != nil || unknown && !c.again {
				break
			}
		}
		if unknown && !c.again || !pause(ctx, wait) {
			return nil, unknown, o.gaveUp(unknown, last)
		}
		wait = min(2*wait, roundPauseMax)
	}
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
