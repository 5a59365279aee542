package route

import (
	"context"
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
	count   int // waiting and under way
	closed  bool
}

// lookup is the search for one recipient's owner, shared by all who ask for it.
type lookup struct {
	recipient wire.Recipient
	done      chan struct{}
	// Set before done is closed.
	entry wire.DirectoryEntry
	err   error
}

func newResolver(max int) *resolver {
	return &resolver{max: max, wake: make(chan struct{}, 1),
		waiting: make(map[wire.Recipient]*lookup)}
}

// ask joins a look-up that has not left yet, or begins one.
func (s *resolver) ask(r wire.Recipient) (*lookup, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if l := s.waiting[r]; l != nil {
		return l, nil
	}
	if s.closed {
		return nil, errStopping
	}
	if s.count >= s.max {
		return nil, wire.Errorf(wire.Overloaded, "%d recipients are being looked up", s.count)
	}
	l := &lookup{recipient: r, done: make(chan struct{})}
	s.waiting[r] = l
	s.order = append(s.order, l)
	s.count++
	select {
	case s.wake <- struct{}{}:
	default:
	}
	return l, nil
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
	s.mu.Unlock()
	for _, l := range batch {
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
		if e, ok := r.directory.get(f, to); ok {
			r.stats.cacheHits.WithLabelValues("directory").Inc()
			return e, nil
		}
		r.stats.cacheMisses.WithLabelValues("directory").Inc()
	}
	l, err := r.resolver.ask(to)
	if err != nil {
		return wire.DirectoryEntry{}, err
	}
	select {
	case <-l.done:
		return l.entry, l.err
	case <-ctx.Done():
		return wire.DirectoryEntry{}, wire.Errorf(wire.Unavailable,
			"the recipient's owner could not be looked up in time")
	}
}
