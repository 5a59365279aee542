package route

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/staffetta/staffetta/internal/backoff"
	"github.com/staffetta/staffetta/internal/cache"
	"github.com/staffetta/staffetta/wire"
)

// services caches services by key and by id. Safe for concurrent use.
type services struct {
	// Guarded by mu.
	mu       sync.Mutex
	byKey    *cache.Generations[wire.KeyHash, *wire.ServiceAccess]
	byID     *cache.Generations[wire.ServiceID, *wire.ServiceAccess]
	noKey    *cache.Generations[wire.KeyHash, time.Time] // until when nobody has the key
	noID     *cache.Generations[wire.ServiceID, time.Time]
	flights  map[question]*flight
	saidKeys *touches[wire.KeyHash]
	saidIDs  *touches[wire.ServiceID]
	saidInst *touches[wire.InstitutionID]
}

// question is what a look-up asks: a key or an id.
type question struct {
	key wire.KeyHash
	id  wire.ServiceID
}

// flight is one look-up under way, shared by those who asked before the feed named its subject.
type flight struct {
	done chan struct{}
	from uint64 // how far the feed was when it left
	// Set before done is closed.
	answer *wire.ServiceAccess
	err    error
	gaveUp bool // whoever made the look-up left; the others ask themselves
}

func newServices(budget int) *services {
	return &services{
		byKey:    cache.New[wire.KeyHash](budget, accessBytes),
		byID:     cache.New[wire.ServiceID](budget, accessBytes),
		noKey:    cache.New[wire.KeyHash](notFoundMax, cache.Each[time.Time](1)),
		noID:     cache.New[wire.ServiceID](notFoundMax, cache.Each[time.Time](1)),
		flights:  make(map[question]*flight),
		saidKeys: newTouches[wire.KeyHash](touchesMax),
		saidIDs:  newTouches[wire.ServiceID](touchesMax),
		saidInst: newTouches[wire.InstitutionID](touchesMax),
	}
}

// accessBytes estimates what a cached service holds in memory.
func accessBytes(a *wire.ServiceAccess) int {
	n := 1024 + 16*len(a.Service.AuthorizedRecipients) + len(a.Service.SealedRecipients)
	for _, s := range a.Service.AuthorizedCIDRs {
		n += 16 + len(s)
	}
	m := &a.Service.Metadata
	return n + len(m.Description) + len(m.PrivacyURL) + len(m.WebURL) + len(m.TosURL) +
		len(m.SupportURL) + len(m.Address)
}

// cached returns what is known about q: an answer, NotFound, or neither.
func (s *services) cached(q question, now time.Time) (*wire.ServiceAccess, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	var a *wire.ServiceAccess
	var known bool
	var gone time.Time
	if q.id == "" {
		if a, known = s.byKey.Get(q.key); !known {
			gone, _ = s.noKey.Get(q.key)
		}
	} else if a, known = s.byID.Get(q.id); !known {
		gone, _ = s.noID.Get(q.id)
	}
	if !known && now.Before(gone) {
		return nil, errNoService
	}
	return a, nil
}

var errNoService = &wire.Error{Code: wire.NotFound, Detail: "no such service"}

// board joins the look-up of q under way, or begins one, which the caller then makes.
func (s *services) board(q question) (f *flight, pilot bool, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if f := s.flights[q]; f != nil {
		return f, false, nil
	}
	if len(s.flights) >= flightsMax {
		return nil, false, wire.Errorf(wire.Overloaded, "%d services are being looked up",
			len(s.flights))
	}
	f = &flight{done: make(chan struct{}), from: s.saidKeys.index}
	s.flights[q] = f
	return f, true, nil
}

// land ends a look-up: it caches the answer and wakes who waits for it.
func (s *services) land(q question, f *flight, now time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.flights[q] == f {
		delete(s.flights, q)
	}
	switch {
	case f.err == nil && s.isCurrent(q, f.answer):
		if q.id == "" {
			s.byKey.Put(q.key, f.answer)
		} else {
			s.byID.Put(q.id, f.answer)
		}
	case f.err == nil || f.gaveUp || wire.AsError(f.err).Code != wire.NotFound:
	case q.id == "" && s.saidKeys.current(q.key, f.from):
		s.noKey.Put(q.key, now.Add(notFoundKeep))
	case q.id != "" && s.saidIDs.current(q.id, f.from):
		s.noID.Put(q.id, now.Add(notFoundKeep))
	}
	close(f.done)
}

// isCurrent reports whether the answer is as new as what the feed said about it.
func (s *services) isCurrent(q question, a *wire.ServiceAccess) bool {
	return (q.id != "" || s.saidKeys.current(q.key, a.Index)) &&
		s.saidIDs.current(a.Service.ID, a.Index) &&
		s.saidInst.current(a.Institution.ID, a.Index)
}

// stale reports whether the feed is known to have said something newer than the answer.
func (s *services) stale(q question, a *wire.ServiceAccess) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.saidKeys.live && !s.isCurrent(q, a)
}

// changed drops a service and its keys, those it had and those it has.
func (s *services) changed(id wire.ServiceID, keys []wire.KeyHash, index uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.saidIDs.note(id, index)
	s.byID.Drop(id)
	s.noID.Drop(id)
	delete(s.flights, question{id: id})
	for _, k := range keys {
		s.saidKeys.note(k, index)
		s.noKey.Drop(k)
		delete(s.flights, question{key: k})
	}
	s.byKey.DropIf(func(_ wire.KeyHash, a *wire.ServiceAccess) bool { return a.Service.ID == id })
}

// institutionChanged drops every service of an institution, and leaves every look-up under way
// to those who wait for it already: whose service it will turn out to be is not known.
func (s *services) institutionChanged(id wire.InstitutionID, index uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.saidInst.note(id, index)
	s.byKey.DropIf(func(_ wire.KeyHash, a *wire.ServiceAccess) bool { return a.Institution.ID == id })
	s.byID.DropIf(func(_ wire.ServiceID, a *wire.ServiceAccess) bool { return a.Institution.ID == id })
	clear(s.flights)
}

func (s *services) begin(index uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.byKey.Clear()
	s.byID.Clear()
	s.noKey.Clear()
	s.noID.Clear()
	clear(s.flights)
	s.saidKeys.begin(index)
	s.saidIDs.begin(index)
	s.saidInst.begin(index)
}

func (s *services) advance(index uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.saidKeys.advance(index)
	s.saidIDs.advance(index)
	s.saidInst.advance(index)
}

func (s *services) len() (keys, ids int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.byKey.Len(), s.byID.Len()
}

// ServiceByKey returns the service that has the key, with its institution: shared, not to be
// changed. NotFound when nobody has it; Unavailable when no home node answers, or when the
// federation's leader has not been heard of for the key grace.
func (r *Router) ServiceByKey(ctx context.Context, key wire.KeyHash) (*wire.ServiceAccess,
	error) {
	if key == (wire.KeyHash{}) { // how a revoked key is stored
		return nil, errNoService
	}
	q := question{key: key}
	switch age, ok := r.feed.fresh(time.Now()); {
	case ok && age > r.cfg.KeyGrace:
		return nil, wire.Errorf(wire.Unavailable,
			"keys were last confirmed longer than %s ago", r.cfg.KeyGrace)
	case ok && age > contactLate:
		return r.reaskKey(ctx, q)
	}
	return r.service(ctx, q)
}

// keyWait bounds the question about a key that is known, while no news comes.
const keyWait = time.Second

// reaskKey asks a home node about a key before it is accepted: without news for a while, this
// process may have been stopped, and what is cached is as old as that. Where no home node answers,
// what is known stands, for the key grace.
func (r *Router) reaskKey(ctx context.Context, q question) (*wire.ServiceAccess, error) {
	known, err := r.services.cached(q, time.Now())
	if known == nil || err != nil {
		return r.service(ctx, q)
	}
	ctx, cancel := context.WithTimeout(ctx, keyWait)
	defer cancel()
	a, err := r.askAnew(ctx, q)
	if err == nil || errors.Is(err, wire.NotFound) {
		return a, err
	}
	return known, nil
}

// ServiceByID returns a service with its institution: shared, not to be changed. NotFound when
// there is none.
func (r *Router) ServiceByID(ctx context.Context, id wire.ServiceID) (*wire.ServiceAccess,
	error) {
	if !id.Valid() {
		return nil, errNoService
	}
	return r.service(ctx, question{id: id})
}

func (r *Router) service(ctx context.Context, q question) (*wire.ServiceAccess, error) {
	cache := "key"
	if q.id != "" {
		cache = "service"
	}
	a, err := r.services.cached(q, time.Now())
	if a != nil || err != nil {
		r.stats.cacheHits.WithLabelValues(cache).Inc()
		return a, err
	}
	r.stats.cacheMisses.WithLabelValues(cache).Inc()
	return r.askAnew(ctx, q)
}

// askAnew asks a home node, whatever is cached.
func (r *Router) askAnew(ctx context.Context, q question) (*wire.ServiceAccess, error) {
	if _, err := r.known(); err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, r.cfg.OwnerWait)
	defer cancel()
	for {
		f, pilot, err := r.services.board(q)
		if err != nil {
			return nil, err
		}
		if pilot {
			f.answer, f.err = r.askService(ctx, q)
			f.gaveUp = f.err != nil && ctx.Err() != nil
			r.services.land(q, f, time.Now())
			return f.answer, f.err
		}
		select {
		case <-f.done:
			if !f.gaveUp {
				return f.answer, f.err
			}
		case <-ctx.Done():
			return nil, wire.Errorf(wire.Unavailable, "the service was not found in time")
		}
	}
}

// stalePause is how long a node that lags behind the feed gets to catch up.
const stalePause = 50 * time.Millisecond

// askService asks home nodes until one answers that is as new as the feed.
func (r *Router) askService(ctx context.Context, q question) (*wire.ServiceAccess, error) {
	m, req := wire.MethodServiceByKey, wire.Encode(&wire.ServiceByKey{Key: q.key})
	if q.id != "" {
		m, req = wire.MethodServiceByID, wire.Encode(&wire.ServiceByID{ID: q.id})
	}
	for range 1 + r.home.len() {
		answer, err := r.home.call(ctx, m, req)
		if err != nil {
			return nil, err
		}
		a := new(wire.ServiceAccess)
		if err := wire.Decode(answer, a); err != nil {
			return nil, err
		}
		keys := &a.Service.Keys
		if q.id != a.Service.ID && q.id != "" || q.id == "" && keys[0] != q.key && keys[1] != q.key {
			return nil, wire.Errorf(wire.Internal, "a home node answered with another service")
		}
		if !r.services.stale(q, a) {
			return a, nil
		}
		r.home.failed(r.home.peer())
		if !backoff.Pause(ctx, stalePause) {
			break
		}
	}
	return nil, wire.Errorf(wire.Unavailable, "the home nodes lag behind the changes feed")
}
