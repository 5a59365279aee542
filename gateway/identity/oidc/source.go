package oidc

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/staffetta/staffetta/gateway/identity"
	"github.com/staffetta/staffetta/gateway/identity/jwt"
)

// Party is what a provider has published of itself. It is never changed.
type Party struct {
	Issuer        string
	Authorization string
	Token         string
	Userinfo      string // empty: none
	// NamesIssuer is true of one whose answers name their issuer.
	NamesIssuer bool
	Keys        *jwt.Keys
	// Expires is when what was published ends, where it says so.
	Expires time.Time
}

// Source finds out what a provider has published.
type Source interface {
	// Party returns it, from memory as a rule. anew asks for what is published now, as far as that
	// was not asked just before: the keys may have rolled.
	Party(ctx context.Context, anew bool) (*Party, error)
}

const (
	// keepFor is how old a copy may be before a newer one is asked for.
	keepFor = 24 * time.Hour
	// askAgain is the least pause between two questions: tokens under unknown names are anybody's
	// to make, and one who is away is not to be asked by everybody at once.
	askAgain = 10 * time.Second
	// askFirst is that pause while there is no copy at all, and every login waits for one.
	askFirst = time.Second
	// oldKeysFor is how long the keys of the copy before are believed: as long as a login may be
	// under way when they roll.
	oldKeysFor = 10 * time.Minute
)

// Kept is a Source that keeps the last good copy of what another function fetches. It is safe for
// concurrent use.
type Kept struct {
	// Set at construction.
	id    string // of the provider's Info
	fetch func(ctx context.Context) (*Party, error)
	now   func() time.Time

	copy   atomic.Pointer[kept]
	asking sync.Mutex   // held while the provider is asked
	asked  atomic.Int64 // when it was asked last, in nanoseconds since 1970
}

type kept struct {
	*Party
	at     time.Time
	before *jwt.Keys // of the copy before, until oldKeysFor after at
}

// Keep makes a Source of a function. now nil: time.Now.
// id is the provider's.
func Keep(id string, fetch func(context.Context) (*Party, error), now func() time.Time) *Kept {
	if now == nil {
		now = time.Now
	}
	return &Kept{id: id, fetch: fetch, now: now}
}

// Party is Source's.
func (k *Kept) Party(ctx context.Context, anew bool) (*Party, error) {
	c := k.copy.Load()
	fresh := c != nil && k.now().Sub(c.at) < keepFor && k.valid(c)
	if fresh && !anew {
		return c.Party, nil
	}
	if c != nil && k.valid(c) {
		if k.asking.TryLock() { // others go on with the copy that is there
			defer k.asking.Unlock()
			k.ask(ctx)
		}
		return k.copy.Load().Party, nil
	}
	k.asking.Lock()
	defer k.asking.Unlock()
	if c := k.copy.Load(); c != nil && k.valid(c) { // another login asked meanwhile
		return c.Party, nil
	}
	if err := k.ask(ctx); err != nil {
		return nil, err
	}
	return k.copy.Load().Party, nil
}

// valid reports whether a copy may still be believed.
func (k *Kept) valid(c *kept) bool { return c.Expires.IsZero() || k.now().Before(c.Expires) }

var errAskedJustNow = errors.New("it could not be reached just now")

// ask fetches a copy. It is called by the holder of asking.
func (k *Kept) ask(ctx context.Context) error {
	now, pause := k.now(), askAgain
	if k.copy.Load() == nil {
		pause = askFirst
	}
	if last := k.asked.Load(); last != 0 && now.Sub(time.Unix(0, last)).Abs() < pause {
		return errAskedJustNow
	}
	k.asked.Store(now.UnixNano())
	p, err := k.fetch(ctx)
	if err != nil {
		return err
	}
	next := &kept{Party: p, at: now}
	if c := k.copy.Load(); c != nil {
		next.before = c.Keys
	}
	k.copy.Store(next)
	return nil
}

// Refresh is identity.Source's: it asks for a newer copy, however new the one is that is there.
func (k *Kept) Refresh(ctx context.Context) error {
	k.asking.Lock()
	defer k.asking.Unlock()
	err := k.ask(ctx)
	if errors.Is(err, errAskedJustNow) && k.copy.Load() != nil {
		return nil // by a login
	}
	if err != nil {
		return fmt.Errorf("%s: %w", k.id, err)
	}
	return nil
}

// Expiries is identity.Source's.
func (k *Kept) Expiries() []identity.Expiry {
	c := k.copy.Load()
	if c == nil || c.Expires.IsZero() {
		return nil
	}
	return []identity.Expiry{{Provider: k.id, What: "what the provider has published",
		At: c.Expires}}
}

// before returns the keys that were believed until just now; nil: none.
func (k *Kept) before() *jwt.Keys {
	c := k.copy.Load()
	if c == nil || k.now().Sub(c.at) > oldKeysFor {
		return nil
	}
	return c.before
}

// verify verifies what the provider signed: by the keys that it has, by those that it has published
// meanwhile, or by those that it had when the login began.
func verify(ctx context.Context, s Source, party *Party, text string,
	types ...string) (*jwt.Claims, error) {
	claims, err := jwt.Verify(text, party.Keys, types...)
	if !errors.Is(err, jwt.ErrKey) {
		return claims, err
	}
	if newer, ask := s.Party(ctx, true); ask == nil && newer != party {
		if claims, err = jwt.Verify(text, newer.Keys, types...); !errors.Is(err, jwt.ErrKey) {
			return claims, err
		}
	}
	if k, is := s.(*Kept); is {
		if old := k.before(); old != nil {
			return jwt.Verify(text, old, types...)
		}
	}
	return nil, err
}
