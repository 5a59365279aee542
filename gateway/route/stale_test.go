package route

import (
	"context"
	"errors"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"github.com/staffetta/staffetta/internal/asof"
	"github.com/staffetta/staffetta/wire"
	"github.com/staffetta/staffetta/wire/link"
)

// staleNode answers a stale read after a pause; a nil answer refuses.
type staleNode struct {
	pause  time.Duration
	answer *wire.StaleAnswer
}

func staleProfile(at wire.Time, version uint64) *wire.StaleAnswer {
	return &wire.StaleAnswer{AsOf: at,
		Result: wire.OK(&wire.Profile{FiscalCode: codeOf(1), Version: version})}
}

// withNodes has lazio's nodes answer stale reads, and its leader after a pause; 0: there is none.
func withNodes(w *world, leader time.Duration, nodes map[wire.NodeID]staleNode) {
	w.hook = func(ctx context.Context, to link.Peer, m wire.Method, req []byte) ([]byte, error, bool) {
		pause, n := leader, nodes[to.Node]
		switch {
		case m == wire.MethodStaleRead:
			var q wire.StaleRead
			w.decode(req, &q)
			if q.Method != wire.MethodGetProfile || q.Incarnation != 7 {
				w.t.Errorf("asked for %+v", q)
			}
			pause = n.pause
		case m != wire.MethodGetProfile && m != wire.MethodSetProfile:
			return nil, nil, false
		case leader == 0 || to.Node != "lazio-1":
			return nil, wire.Errorf(wire.NotLeader, "no leader"), true
		}
		select {
		case <-time.After(pause):
		case <-ctx.Done():
			return nil, wire.Errorf(wire.OutcomeUnknown, "no answer"), true
		}
		if m != wire.MethodStaleRead {
			return wire.Encode(&wire.Profile{FiscalCode: codeOf(1), Version: 100}), nil, true
		}
		if n.answer == nil {
			return nil, wire.Errorf(wire.NotLeader, "there may be a leader"), true
		}
		return wire.Encode(n.answer), nil, true
	}
}

// TestStaleReads: a leader's answer is of now, however late; without one the freshest of those that
// come soon is taken, and marked.
func TestStaleReads(t *testing.T) {
	at := func(n int) wire.Time { return wire.TimeOf(time.Unix(1_700_000_000+int64(n), 0)) }
	gone := &wire.StaleAnswer{AsOf: at(4), Result: wire.Fail(&wire.Error{Code: wire.Unauthenticated})}
	for name, c := range map[string]struct {
		leader  time.Duration
		nodes   map[wire.NodeID]staleNode
		version uint64 // of the answer
		as      int    // of when it is; 0: of now
		within  time.Duration
		err     error
	}{
		"a leader": {leader: time.Millisecond, version: 100, within: time.Millisecond},
		"a slow leader, whose nodes know it": {leader: 1500 * time.Millisecond, version: 100,
			within: 1500 * time.Millisecond},
		"the freshest": {nodes: map[wire.NodeID]staleNode{
			"lazio-1": {time.Millisecond, staleProfile(at(1), 1)},
			"lazio-2": {20 * time.Millisecond, staleProfile(at(3), 3)},
			"lazio-3": {400 * time.Millisecond, staleProfile(at(9), 9)}}, version: 3, as: 3,
			within: 500 * time.Millisecond},
		"one of three": {nodes: map[wire.NodeID]staleNode{
			"lazio-1": {pause: time.Hour}, "lazio-2": {pause: time.Hour},
			"lazio-3": {10 * time.Millisecond, staleProfile(at(2), 2)}}, version: 2, as: 2,
			within: 500 * time.Millisecond},
		"a session that had ended": {nodes: map[wire.NodeID]staleNode{"lazio-3": {0, gone}}, as: 4,
			within: 500 * time.Millisecond, err: wire.Unauthenticated},
		"nobody may answer": {within: wire.OwnerWait, err: wire.Unavailable},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t, "lazio")
				w.m.Regions[0].Incarnation = 7
				r := w.router()
				w.set(func() { withNodes(w, c.leader, c.nodes) })
				for range 2 { // the second one knows that there is no leader
					ctx := asof.Allow(t.Context(), http.Header{})
					began, p := time.Now(), new(wire.Profile)
					err := r.CallRegion(ctx, "lazio", wire.MethodGetProfile, &wire.SessionRef{}, p)
					if !errors.Is(err, c.err) || p.Version != c.version {
						t.Errorf("got version %d and %v, want %d and %v", p.Version, err, c.version, c.err)
					}
					if got := asof.From(ctx).Time(); c.as == 0 && !got.IsZero() ||
						c.as != 0 && !got.Equal(at(c.as).Std()) {
						t.Errorf("it is said to be of %v", got)
					}
					if took := time.Since(began); took > c.within {
						t.Errorf("took %s, want %s", took, c.within)
					}
				}
			})
		})
	}
}

// TestNoStaleAnswer: a change is never taken to a node that does not lead, nor is a read of which
// nobody said that it may be of an earlier time.
func TestNoStaleAnswer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, "lazio")
		w.m.Regions[0].Incarnation = 7
		r := w.router()
		w.set(func() {
			withNodes(w, 0, map[wire.NodeID]staleNode{"lazio-1": {0, staleProfile(1, 1)}})
		})
		marked := asof.Allow(t.Context(), http.Header{})
		err := r.CallRegion(marked, "lazio", wire.MethodSetProfile, &wire.SetProfile{},
			new(wire.Profile))
		if !errors.Is(err, wire.Unavailable) {
			t.Errorf("a change: got %v, want unavailable", err)
		}
		err = r.CallRegion(t.Context(), "lazio", wire.MethodGetProfile, &wire.SessionRef{},
			new(wire.Profile))
		if !errors.Is(err, wire.Unavailable) {
			t.Errorf("a read of now: got %v, want unavailable", err)
		}
		w.set(func() {
			if n := w.calls[wire.MethodStaleRead]; n != 0 || !asof.From(marked).Time().IsZero() {
				t.Errorf("%d stale reads", n)
			}
		})
	})
}
