package route

import (
	"context"
	"sync"
	"time"

	"github.com/staffetta/staffetta/internal/backoff"
	"github.com/staffetta/staffetta/wire"
	"github.com/staffetta/staffetta/wire/link"
)

const (
	// helloWait bounds the greeting of a node.
	helloWait = 2 * time.Second
	// frameWait is how long a feed may be silent: nodes send a frame at least every second.
	frameWait = 3 * time.Second
	// contactLate is when a node's replica counts as cut off from the federation's leader, so
	// that another home node is worth a try.
	contactLate = 5 * time.Second
	// contactRetry is how long a cut-off node is kept when all home nodes are cut off.
	contactRetry = 30 * time.Second
	// followPauseMin and followPauseMax bound the pause after all home nodes were tried.
	followPauseMin = 50 * time.Millisecond
	followPauseMax = time.Second
	// faultsMax bounds the nodes whose fault is remembered; a home region has a handful.
	faultsMax = 64
	// contactMax caps what a node may say, far above every grace, to keep the arithmetic sound.
	contactMax = 10 * 365 * 24 * time.Hour
)

// feedState says how far the feed is and how fresh.
type feedState struct {
	// Set at construction.
	uptime func() time.Duration

	// Guarded by mu.
	mu      sync.Mutex
	node    wire.NodeID // whose feed runs; empty: none
	index   uint64
	began   bool              // a frame came, ever
	frameAt time.Time         // the last frame's arrival
	freshAt time.Time         // a home node's replica is known to have been in contact then
	freshUp time.Duration     // the same moment by uptime
	faults  map[string]string // by node: why its last session ended; empty while one runs
}

// fresh reports how long ago a home node was in contact with the federation's leader, and false
// when no feed has said anything yet. The process's own clock stands still while its machine is
// suspended, and what is decided by contact must not.
func (s *feedState) fresh(now time.Time) (time.Duration, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.freshLocked(now), s.began
}

func (s *feedState) freshLocked(now time.Time) time.Duration {
	return max(0, now.Sub(s.freshAt), s.uptime()-s.freshUp)
}

// follow keeps a session with a home node until ctx ends: the one in use, or the next one as
// soon as it fails.
func (r *Router) follow(ctx context.Context, start func(*owner)) error {
	pauses := backoff.Backoff{Min: followPauseMin, Max: followPauseMax}
	tried, late := 0, 0
	for ctx.Err() == nil {
		p := r.home.peer()
		s := &session{router: r, peer: p, start: start, stay: late >= r.home.len()}
		err := s.run(ctx)
		if ctx.Err() != nil {
			break
		}
		r.home.failed(p)
		r.ended(s.peer, err)
		switch {
		case s.late: // cut off but talking: the next one, until all turn out to be
			if late++; s.stay {
				late = 0
			}
			tried = 0
			continue
		case s.frames > 0:
			tried, late = 0, 0
			pauses.Reset()
			continue
		}
		if tried++; tried >= r.home.len() {
			pauses.Pause(ctx)
			tried = 0
		}
	}
	r.feed.mu.Lock()
	defer r.feed.mu.Unlock()
	r.feed.node = ""
	return nil
}

// ended notes why a session ended; a node's reason is logged once, until a session runs again.
func (r *Router) ended(p link.Peer, err error) {
	why := "the node ended the feed"
	if err != nil {
		why = wire.AsError(err).Error()
	}
	r.feed.mu.Lock()
	again := r.feed.faults[p.Addr] == why
	if r.feed.node = ""; len(r.feed.faults) < faultsMax {
		r.feed.faults[p.Addr] = why
	}
	r.feed.mu.Unlock()
	r.stats.feedEnds.Inc()
	if !again {
		r.cfg.Logger.Warn("feed lost", "node", p.Node, "addr", p.Addr, "reason", why)
	}
}

// session is one stretch of work with one home node.
type session struct {
	router *Router
	peer   link.Peer
	start  func(*owner)
	stay   bool // keep a node that is cut off, since all are, for contactRetry
	frames int
	late   bool // it ended because the node is cut off
}

// run greets the node and follows its feed. It returns when the feed ends, falls silent, or
// shows that the node is cut off while another one may not be.
func (s *session) run(ctx context.Context) error {
	if err := s.greet(ctx); err != nil {
		return err
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	silent := time.AfterFunc(frameWait, func() {
		cancel(wire.Errorf(wire.Unavailable, "no frame of the feed for %s", frameWait))
	})
	defer silent.Stop()
	r := s.router
	r.feed.mu.Lock()
	from := r.feed.index
	r.feed.mu.Unlock()
	began := time.Now()
	err := r.cfg.Caller.Stream(ctx, s.peer, wire.MethodFeed, wire.Encode(&wire.Feed{From: from}),
		func(b []byte) error {
			silent.Reset(frameWait)
			var f wire.FeedFrame
			if err := wire.Decode(b, &f); err != nil {
				return err
			}
			if len(f.Events) > wire.FeedEventsMax {
				return wire.Errorf(wire.TooLarge, "feed frame of %d events", len(f.Events))
			}
			contact := r.take(&f, s.start)
			s.frames++
			if contact > contactLate && (!s.stay || time.Since(began) > contactRetry) {
				s.late = true
				return wire.Errorf(wire.NotReady,
					"the node has not heard from the federation's leader lately")
			}
			r.cameAlive(s)
			return nil
		})
	if cause := context.Cause(ctx); cause != nil && ctx.Err() != nil {
		return cause
	}
	return err
}

// cameAlive notes, once per session, whose feed runs.
func (r *Router) cameAlive(s *session) {
	if s.frames != 1 {
		return
	}
	r.feed.mu.Lock()
	r.feed.node = s.peer.Node
	clear(r.feed.faults)
	index := r.feed.index
	r.feed.mu.Unlock()
	r.cfg.Logger.Info("feed follows", "node", s.peer.Node, "addr", s.peer.Addr, "index", index)
}

// greet exchanges Hello and Welcome, and takes over the map. A node of another region, or with
// another directory key, is not one to work with.
func (s *session) greet(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, helloWait)
	defer cancel()
	r := s.router
	answer, err := r.cfg.Caller.Call(ctx, s.peer, wire.MethodHello,
		wire.Encode(&wire.Hello{Version: wire.ProtocolVersion}))
	if err != nil {
		return err
	}
	var w wire.Welcome
	if err := wire.Decode(answer, &w); err != nil {
		return err
	}
	if w.Region != r.cfg.Region {
		return wire.Errorf(wire.NotReady, "the node is of region %q, the gateway of %q", w.Region,
			r.cfg.Region)
	}
	hasher := r.Hasher()
	if hasher == nil {
		hasher = wire.NewHasher(w.Key)
	} else if hasher.Key() != w.Key {
		return wire.Errorf(wire.NotReady, "the node's directory key is not the federation's")
	}
	s.peer.Node = w.Node
	return r.adopt(w.Map, hasher, s.start)
}

// take applies one frame and returns how long ago the node was in contact.
func (r *Router) take(f *wire.FeedFrame, start func(*owner)) time.Duration {
	contact := contactMax
	if f.ContactMillis < uint64(contactMax.Milliseconds()) {
		contact = time.Duration(f.ContactMillis) * time.Millisecond
	}
	r.feed.mu.Lock()
	began := r.feed.began
	r.feed.mu.Unlock()
	if f.Reset || !began { // what is cached, if anything, is not covered by what comes
		r.directory.begin(f.Index)
		r.services.begin(f.Index)
		r.catalogue.begin(f.Index)
	}
	for i := range f.Events {
		r.takeEvent(&f.Events[i], f.Index, start)
	}
	r.directory.advance(f.Index)
	r.services.advance(f.Index)
	r.stats.feedEvents.Add(float64(len(f.Events)))

	now := time.Now()
	r.feed.mu.Lock()
	defer r.feed.mu.Unlock()
	if r.feed.index = max(r.feed.index, f.Index); f.Reset {
		r.feed.index = f.Index
	}
	r.feed.began, r.feed.frameAt = true, now
	if at := now.Add(-contact); at.After(r.feed.freshAt) {
		r.feed.freshAt = at
	}
	r.feed.freshUp = max(r.feed.freshUp, r.feed.uptime()-contact)
	return contact
}

func (r *Router) takeEvent(e *wire.FeedEvent, index uint64, start func(*owner)) {
	fed := r.fed.Load()
	switch {
	case e.Entry != nil:
		r.directory.change(fed, e.Recipient, *e.Entry, index)
	case e.Service != "":
		r.services.changed(e.Service, e.Keys, index)
		r.catalogue.changed(index)
	case e.Institution != "":
		r.services.institutionChanged(e.Institution, index)
		r.catalogue.changed(index)
	case e.Map != nil:
		if err := r.adopt(*e.Map, fed.hasher, start); err != nil {
			r.cfg.Logger.Error("map of the feed refused", "reason", wire.AsError(err).Error())
		}
	}
}
