package consensus

import (
	"sync"

	"github.com/hashicorp/raft"
	"github.com/staffetta/staffetta/wire"
)

// Leadership is who leads a group, as one replica sees it.
type Leadership struct {
	Leader wire.NodeID // empty when unknown
	Term   uint64
	Self   bool // this node leads
}

// Leader answers who leads, if known.
func (g *Group) Leader() (wire.NodeID, bool) {
	_, id := g.raft.LeaderWithID()
	return wire.NodeID(id), id != ""
}

// IsLeader reports whether this node believes to lead. Only Read is proof.
func (g *Group) IsLeader() bool { return g.raft.State() == raft.Leader }

// Watch subscribes to leadership. The channel holds the newest value only: it is there at once,
// and whoever is slow misses what was between. It is closed by cancel, or when the group ends.
func (g *Group) Watch() (<-chan Leadership, func()) {
	return g.watcher.subscribe(g.leadership())
}

func (g *Group) leadership() Leadership {
	leader, _ := g.Leader()
	return Leadership{Leader: leader, Term: g.raft.CurrentTerm(), Self: g.IsLeader()}
}

// isLeadership filters what the library observes to changes of role and leader.
func isLeadership(o *raft.Observation) bool {
	switch o.Data.(type) {
	case raft.LeaderObservation, raft.RaftState:
		return true
	}
	return false
}

// observe publishes leadership whenever it may have changed. An observation is only a hint: it
// may be dropped when others wait already, so what is published is read from the library.
func (g *Group) observe(changes <-chan raft.Observation) {
	defer g.watcher.close()
	last := Leadership{}
	for {
		if now := g.leadership(); now != last {
			if now.Self != last.Self || now.Leader != last.Leader {
				g.logger.Info("leadership", "leader", now.Leader, "term", now.Term,
					"self", now.Self)
			}
			last = now
			g.watcher.publish(now)
		}
		if g.raft.State() == raft.Shutdown && !g.ending.Load() {
			// The library shuts itself down when its own removal is committed.
			g.fatal(ErrRemoved)
		}
		select {
		case <-changes:
		case <-g.ended:
			return
		}
	}
}

// watcher hands the newest leadership to its subscribers.
type watcher struct {
	mu     sync.Mutex
	subs   map[chan Leadership]struct{} // guarded by mu; nil when closed
	closed bool
}

func newWatcher() *watcher { return &watcher{subs: map[chan Leadership]struct{}{}} }

func (w *watcher) subscribe(now Leadership) (<-chan Leadership, func()) {
	w.mu.Lock()
	defer w.mu.Unlock()
	ch := make(chan Leadership, 1)
	ch <- now
	if w.closed {
		close(ch)
		return ch, func() {}
	}
	w.subs[ch] = struct{}{}
	return ch, func() {
		w.mu.Lock()
		defer w.mu.Unlock()
		if _, ok := w.subs[ch]; ok {
			delete(w.subs, ch)
			close(ch)
		}
	}
}

func (w *watcher) publish(now Leadership) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for ch := range w.subs {
		select {
		case <-ch: // the old value, if nobody took it
		default:
		}
		ch <- now // only publish sends, so there is room
	}
}

func (w *watcher) close() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.closed = true
	for ch := range w.subs {
		delete(w.subs, ch)
		close(ch)
	}
}
