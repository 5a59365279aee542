package link

import (
	"context"
	"sync"

	"github.com/staffetta/staffetta/wire"
)

// Leaders calls the leaders of several Raft groups, each a Group. Safe for concurrent use.
type Leaders struct {
	caller Caller

	// Guarded by mu.
	mu     sync.Mutex
	groups map[string]*Group
}

// NewLeaders returns a Leaders that makes its calls with caller.
func NewLeaders(caller Caller) *Leaders {
	return &Leaders{caller: caller, groups: make(map[string]*Group)}
}

// Call calls method m on the leader of group, one of nodes, until it is answered, refused, or
// ctx ends, as Group.Ask does. With again, an attempt of unknown outcome is followed by another
// with the same bytes: for calls of which a second copy is harmless.
func (l *Leaders) Call(ctx context.Context, group string, nodes []wire.NodeID, m wire.Method,
	req []byte, again bool) ([]byte, error) {
	l.mu.Lock()
	g := l.groups[group]
	if g == nil {
		g = NewGroup(group, l.caller)
		l.groups[group] = g
	}
	l.mu.Unlock()
	peers := make([]Peer, len(nodes))
	for i, n := range nodes {
		peers[i].Node = n
	}
	g.Know(peers)
	answer, _, err := g.Ask(ctx, Ask{Method: m, Req: req, Again: again, Wait: AttemptWait})
	return answer, err
}
