package route

import (
	"context"
	"sync"
	"time"

	"github.com/staffetta/staffetta/wire"
	"github.com/staffetta/staffetta/wire/link"
)

// homeAttempt bounds one question to one home node: it answers from memory, so a second without
// an answer means that another one should be asked.
const homeAttempt = time.Second

// home chooses among the home region's nodes: one is asked as long as it answers, the next one
// when it does not. Safe for concurrent use.
type home struct {
	// Set at construction.
	caller     Caller
	configured []link.Peer

	// Guarded by mu.
	mu      sync.Mutex
	peers   []link.Peer
	current int
}

func newHome(caller Caller, addrs []string) *home {
	h := &home{caller: caller}
	for _, a := range addrs {
		h.configured = append(h.configured, link.Peer{Addr: a})
	}
	h.peers = h.configured
	return h
}

// know replaces the peers by the map's, then the configured addresses that the map lacks. The
// one in use stays.
func (h *home) know(peers []link.Peer) {
	h.mu.Lock()
	defer h.mu.Unlock()
	list := append([]link.Peer(nil), peers...)
	for _, c := range h.configured {
		known := false
		for _, p := range peers {
			known = known || p.Addr == c.Addr
		}
		if !known {
			list = append(list, c)
		}
	}
	used := h.peers[h.current].Addr
	h.peers, h.current = list, 0
	for i, p := range list {
		if p.Addr == used {
			h.current = i
		}
	}
}

// peer returns the node in use.
func (h *home) peer() link.Peer {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.peers[h.current]
}

// failed moves on to the next node, unless somebody else already has.
func (h *home) failed(p link.Peer) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.peers[h.current].Addr == p.Addr {
		h.current = (h.current + 1) % len(h.peers)
	}
}

func (h *home) len() int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return len(h.peers)
}

// call asks one node after the other, each at most once, and returns the first answer, the first
// error that is about the question and not about the node, or Unavailable. For reads only: a
// question may be asked twice.
func (h *home) call(ctx context.Context, m wire.Method, req []byte) ([]byte, error) {
	for range h.len() {
		p := h.peer()
		attempt, cancel := context.WithTimeout(ctx, homeAttempt)
		answer, err := h.caller.Call(attempt, p, m, req)
		cancel()
		switch {
		case err == nil:
			return answer, nil
		case ctx.Err() != nil:
			return nil, wire.Errorf(wire.Unavailable, "no home node answered in time")
		case nodesFault(err):
			h.failed(p)
		default:
			return nil, err
		}
	}
	return nil, wire.Errorf(wire.Unavailable, "no home node answers")
}

// nodesFault tells an error of the node asked from one about the question.
func nodesFault(err error) bool {
	switch wire.AsError(err).Code {
	case wire.NotFound, wire.Forbidden, wire.Malformed, wire.TooLarge, wire.Conflict:
		return false
	}
	return true
}
