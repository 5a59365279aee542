package link

import (
	"context"
	"errors"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/staffetta/staffetta/wire"
)

const (
	// attemptMax bounds one attempt, so that a silent node costs two seconds and not the call.
	attemptMax = 2 * time.Second
	// roundPauseMin and roundPauseMax bound the jittered pause after every node was asked in
	// vain: an election takes some seconds, a leader's restart less.
	roundPauseMin = 20 * time.Millisecond
	roundPauseMax = 250 * time.Millisecond
)

// Caller makes one call to one peer; *Link is one.
type Caller interface {
	Call(ctx context.Context, to Peer, m wire.Method, req []byte) ([]byte, error)
}

// Leaders calls the leaders of Raft groups: it remembers who led last, follows NotLeader hints,
// and asks the group's other nodes when that one does not answer. Safe for concurrent use.
type Leaders struct {
	caller Caller

	// Guarded by mu.
	mu   sync.Mutex
	last map[string]wire.NodeID // by group
}

// NewLeaders returns a Leaders that makes its calls with caller.
func NewLeaders(caller Caller) *Leaders {
	return &Leaders{caller: caller, last: make(map[string]wire.NodeID)}
}

// Call calls method m on the leader of group, one of nodes, until it is answered, refused, or
// ctx ends. The error is the leader's own, or Unavailable when surely nothing was appended, or
// OutcomeUnknown. With again, an attempt of unknown outcome is followed by another with the same
// bytes: for calls of which a second copy is harmless.
func (l *Leaders) Call(ctx context.Context, group string, nodes []wire.NodeID, m wire.Method,
	req []byte, again bool) ([]byte, error) {
	var unknown, last error
	pause := roundPauseMin
	for {
		next := l.hint(group)
		for _, node := range order(next, nodes) {
			if next != "" {
				node = next
			}
			answer, err := l.attempt(ctx, node, m, req)
			if err == nil {
				l.remember(group, node)
				return answer, nil
			}
			e := wire.AsError(err)
			if next = ""; e.Code == wire.NotLeader && e.Leader != node {
				next = e.Leader
			}
			if e.Code == wire.OutcomeUnknown {
				if unknown = err; !again {
					return nil, err
				}
			} else if !wire.Retriable(err) {
				return nil, err
			}
			l.forget(group, node)
			last = err
			if ctx.Err() != nil {
				break
			}
		}
		timer := time.NewTimer(pause/2 + rand.N(pause))
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			if unknown != nil {
				return nil, unknown
			}
			return nil, unavailable(group, last)
		}
		pause = min(2*pause, roundPauseMax)
	}
}

func unavailable(group string, last error) error {
	if last == nil || errors.Is(last, wire.NotLeader) {
		return wire.Errorf(wire.Unavailable, "no leader of %s answers", group)
	}
	return wire.Errorf(wire.Unavailable, "no leader of %s answers; last: %s", group,
		wire.AsError(last))
}

func (l *Leaders) attempt(ctx context.Context, node wire.NodeID, m wire.Method, req []byte) (
	[]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, attemptMax)
	defer cancel()
	return l.caller.Call(ctx, Peer{Node: node}, m, req)
}

// order lists the nodes to try in one round: first the last leader, then the others from a
// random one on, so that many callers do not ask the same node.
func order(first wire.NodeID, nodes []wire.NodeID) []wire.NodeID {
	list := make([]wire.NodeID, 0, len(nodes)+1)
	if first != "" {
		list = append(list, first)
	}
	if len(nodes) == 0 {
		return list
	}
	start := rand.IntN(len(nodes))
	for i := range nodes {
		if n := nodes[(start+i)%len(nodes)]; n != first {
			list = append(list, n)
		}
	}
	return list
}

func (l *Leaders) hint(group string) wire.NodeID {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.last[group]
}

func (l *Leaders) remember(group string, node wire.NodeID) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.last[group] = node
}

func (l *Leaders) forget(group string, node wire.NodeID) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.last[group] == node {
		delete(l.last, group)
	}
}
