package route

import (
	"context"
	"slices"
	"sync"

	"github.com/staffetta/staffetta/wire"
)

// resolver collects look-ups of recipients: while a call is under way the next one fills. Safe
// for concurrent use.
type resolver struct {
	// Set at construction.
	max  int
	wake chan struct{}

	// Guarded by mu.
	mu      sync.Mutex
	waiting map[wire.Recipient]*lookup // not yet in a call
	order   []*lookup
	count   int           // waiting and under way
	freed   chan struct{} // closed when count falls; nil: nobody waits for that
	closed  bool
}

// lookup is the search for one recipient's owner, shared by all who ask for it.
type lookup struct {
	recipient wire.Recipient
	done      chan struct{}
	// Set before done is closed.
	entry wire.DirectoryEntry
	err   error
	// Guarded by the resolver's mu. Bulk submissions that go on when the look-up has ended.
	then []*submission
}

func newResolver(max int) *resolver {
	return &resolver{max: max, wake: make(chan struct{}, 1),
		waiting: make(map[wire.Recipient]*lookup)}
}

// ask joins a look-up that has not left yet, or begins one. When too many are under way an
// interactive one is refused with Overloaded; a bulk one, which may have half of the room only,
// waits until there is some, or ctx ends. then, if not nil, is told before the look-up is done,
// and its time begins when the look-up has room.
func (s *resolver) ask(ctx context.Context, r wire.Recipient, c class, then *submission) (
	*lookup, error) {
	for {
		if then != nil {
			then.renew()
		}
		l, room, err := s.tryAsk(r, c, then)
		if room == nil {
			return l, err
		}
		select {
		case <-room:
		case <-ctx.Done():
			return nil, errLookUp
		}
	}
}

// tryAsk is ask but for the waiting: it returns what to wait for.
func (s *resolver) tryAsk(r wire.Recipient, c class, then *submission) (l *lookup,
	room <-chan struct{}, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	l = s.waiting[r]
	switch {
	case l != nil:
	case s.closed:
		return nil, nil, errStopping
	case c == bulk && s.count >= max(1, s.max/2):
		if s.freed == nil {
			s.freed = make(chan struct{})
		}
		return nil, s.freed, nil
	case s.count >= s.max:
		return nil, nil, wire.Errorf(wire.Overloaded, "%d recipients are being looked up", s.count)
	default:
		l = &lookup{recipient: r, done: make(chan struct{})}
		s.waiting[r] = l
		s.order = append(s.order, l)
		s.count++
		select {
		case s.wake <- struct{}{}:
		default:
		}
	}
	if then != nil {
		l.then = append(l.then, then)
	}
	return l, nil, nil
}

// forget reports whether a submission will not be told of a look-up any more.
func (s *resolver) forget(l *lookup, sub *submission) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	i := slices.Index(l.then, sub)
	if i < 0 {
		return false
	}
	l.then = slices.Delete(l.then, i, i+1)
	return true
}

// next takes what waits, up to one call's worth.
func (s *resolver) next() []*lookup {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := min(len(s.order), wire.ResolveMax)
	batch := s.order[:n:n]
	if s.order = s.order[n:]; len(s.order) == 0 {
		s.order = nil
	} else {
		select { // another call can leave at once
		case s.wake <- struct{}{}:
		default:
		}
	}
	for _, l := range batch {
		delete(s.waiting, l.recipient)
	}
	return batch
}

func (s *resolver) finish(batch []*lookup) {
	s.mu.Lock()
	s.count -= len(batch)
	if s.freed != nil {
		close(s.freed)
		s.freed = nil
	}
	tell := make([][]*submission, len(batch))
	for i, l := range batch {
		tell[i], l.then = l.then, nil
	}
	s.mu.Unlock()
	for i, l := range batch {
		for _, sub := range tell[i] {
			sub.found(l)
		}
		close(l.done)
	}
}

// close ends every look-up that has not left; there is none under way.
func (s *resolver) close() {
	s.mu.Lock()
	batch := s.order
	s.order, s.waiting, s.closed = nil, nil, true
	s.mu.Unlock()
	for _, l := range batch {
		l.err = errStopping
	}
	s.finish(batch)
}

// resolveLoop makes one resolve call after the other until ctx ends.
func (r *Router) resolveLoop(ctx context.Context) error {
	for {
		batch := r.resolver.next()
		if len(batch) == 0 {
			select {
			case <-r.resolver.wake:
				continue
			case <-ctx.Done():
				return nil
			}
		}
		err := r.resolve(ctx, batch)
		for _, l := range batch {
			if err != nil {
				l.err = err
			}
		}
		r.resolver.finish(batch)
	}
}

// resolve asks a home node for one batch and caches the answers.
func (r *Router) resolve(ctx context.Context, batch []*lookup) error {
	f, err := r.known()
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, r.cfg.OwnerWait)
	defer cancel()
	q := wire.Resolve{Recipients: make([]wire.Recipient, len(batch))}
	for i, l := range batch {
		q.Recipients[i] = l.recipient
	}
	r.stats.resolved.Observe(float64(len(batch)))
	answer, err := r.home.call(ctx, wire.MethodResolve, wire.Encode(&q))
	if err != nil {
		return err
	}
	var a wire.Resolved
	if err := wire.Decode(answer, &a); err != nil {
		return err
	}
	if len(a.Entries) != len(batch) {
		return wire.Errorf(wire.Unavailable, "%d recipients resolved of %d", len(a.Entries),
			len(batch))
	}
	for i, l := range batch {
		l.entry = f.normal(l.recipient, a.Entries[i])
		r.directory.put(f, l.recipient, l.entry, a.Index)
	}
	return nil
}

// ownerOf finds the owner of a recipient: from the cache, or by asking. With fresh the cache is
// not believed.
func (r *Router) ownerOf(ctx context.Context, f *federation, to wire.Recipient, fresh bool) (
	wire.DirectoryEntry, error) {
	if !fresh {
		if e, ok := r.cachedOwner(f, to); ok {
			return e, nil
		}
	}
	return r.lookUp(ctx, to, interactive)
}

// cachedOwner finds the owner of a recipient in the cache.
func (r *Router) cachedOwner(f *federation, to wire.Recipient) (wire.DirectoryEntry, bool) {
	e, ok := r.directory.get(f, to)
	if ok {
		r.stats.directoryHits.Inc()
	} else {
		r.stats.directoryMisses.Inc()
	}
	return e, ok
}

// lookUp finds the owner of a recipient by asking.
func (r *Router) lookUp(ctx context.Context, to wire.Recipient, c class) (wire.DirectoryEntry,
	error) {
	l, err := r.resolver.ask(ctx, to, c, nil)
	if err != nil {
		return wire.DirectoryEntry{}, err
	}
	select {
	case <-l.done:
		return l.entry, l.err
	case <-ctx.Done():
		return wire.DirectoryEntry{}, errLookUp
	}
}

var errLookUp = &wire.Error{Code: wire.Unavailable,
	Detail: "the recipient's owner could not be looked up in time"}
