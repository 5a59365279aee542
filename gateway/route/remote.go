package route

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/staffetta/staffetta/internal/cache"
	"github.com/staffetta/staffetta/wire"
)

// remoteKeep is how long a configuration of remote content is believed: a change of one is in
// effect within it, without the changes feed saying so.
const remoteKeep = 3 * time.Second

// remotes caches configurations of remote content. Safe for concurrent use.
type remotes struct {
	// Guarded by mu.
	mu    sync.Mutex
	known *cache.Generations[wire.RemoteContentID, *remote]
}

// remote is what was last answered of one; content nil: there was none.
type remote struct {
	content *wire.RemoteContent
	at      time.Time
}

func newRemotes(budget int) remotes {
	return remotes{known: cache.New[wire.RemoteContentID](budget, func(r *remote) int {
		n := 512
		if c := r.content; c != nil {
			n += 16*(len(c.TestUsers)+len(c.LollipopOff)) + len(c.Description) + len(c.Name)
			n += 2 * wire.RemoteSealedMax
		}
		return n
	})}
}

// RemoteContent returns a configuration of remote content: shared, not to be changed. NotFound when
// there is none. While no home node answers, what is known stands.
func (r *Router) RemoteContent(ctx context.Context, id wire.RemoteContentID) (*wire.RemoteContent,
	error) {
	if !id.Valid() {
		return nil, errNoRemote
	}
	r.remotes.mu.Lock()
	known, ok := r.remotes.known.Get(id)
	r.remotes.mu.Unlock()
	if !ok || time.Since(known.at) > remoteKeep {
		fresh, err := r.askRemote(ctx, id)
		switch {
		case err == nil:
			known = fresh
			r.remotes.mu.Lock()
			r.remotes.known.Put(id, fresh)
			r.remotes.mu.Unlock()
		case !ok:
			return nil, err
		}
	}
	if known.content == nil {
		return nil, errNoRemote
	}
	return known.content, nil
}

var errNoRemote = &wire.Error{Code: wire.NotFound, Detail: "no such configuration"}

func (r *Router) askRemote(ctx context.Context, id wire.RemoteContentID) (*remote, error) {
	if _, err := r.known(); err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, r.cfg.OwnerWait)
	defer cancel()
	answer, err := r.home.call(ctx, wire.MethodRemoteContent,
		wire.Encode(&wire.RemoteContentRef{ID: id}))
	switch {
	case errors.Is(err, wire.NotFound):
		return &remote{at: time.Now()}, nil
	case err != nil:
		return nil, err
	}
	c := new(wire.RemoteContent)
	if err := wire.Decode(answer, c); err != nil {
		return nil, err
	}
	if c.ID != id {
		return nil, wire.Errorf(wire.Internal, "a home node answered with another configuration")
	}
	return &remote{content: c, at: time.Now()}, nil
}
