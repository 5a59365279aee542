package backup

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"strings"
	"sync"
	"time"
)

// Backups share a repository; a prune has it to itself. Who begins puts its lock first and looks
// for others then, so that of two that begin at once at least one sees the other. A lock whose
// holder died goes stale; ages are differences of the target's own times, so that no clock but the
// target's matters.
const (
	lockBackup = "backup"
	lockPrune  = "prune"

	lockRefresh = time.Minute
	lockStale   = 15 * time.Minute
	locksMax    = 1000
)

// lock is held until release.
type lock struct {
	r    *Repository
	name string
	// at is when the lock was put, by the target's clock.
	at   time.Time
	stop context.CancelFunc
	done chan struct{}

	mu        sync.Mutex
	refreshed time.Time // guarded by mu
}

// lock takes a lock of a kind, or says who is in the way.
func (r *Repository) lock(ctx context.Context, kind string) (*lock, error) {
	var id [8]byte
	rand.Read(id[:])
	l := &lock{r: r, name: locksPrefix + kind + "-" + hex.EncodeToString(id[:]),
		done: make(chan struct{}), refreshed: time.Now()}
	if err := r.target.Put(ctx, l.name, []byte(kind+"\n")); err != nil {
		return nil, fmt.Errorf("lock the repository: %w", err)
	}
	others, err := l.others(ctx)
	for _, o := range others {
		if kind == lockPrune || strings.HasPrefix(o.Name, locksPrefix+lockPrune) {
			err = fmt.Errorf("the repository is in use: %s, last heard of %s ago; a lock whose "+
				"holder is gone ends by itself after %s", strings.TrimPrefix(o.Name, locksPrefix),
				l.at.Sub(o.Changed).Round(time.Second), lockStale)
		}
	}
	if err != nil {
		r.target.Delete(context.WithoutCancel(ctx), l.name) // goes stale otherwise
		return nil, err
	}
	refresh, stop := context.WithCancel(context.WithoutCancel(ctx))
	l.stop = stop
	go l.keep(refresh)
	return l, nil
}

// others are the other locks that are not stale. It learns the lock's own time.
func (l *lock) others(ctx context.Context) ([]Object, error) {
	var all, live []Object
	err := l.r.target.List(ctx, locksPrefix, func(o Object) error {
		if o.Name == l.name {
			l.at = o.Changed
		} else if !strings.Contains(o.Name, temporary) {
			all = append(all, o)
		}
		if len(all) > locksMax {
			return fmt.Errorf("more than %d locks", locksMax)
		}
		return nil
	})
	if err == nil && l.at.IsZero() {
		err = fmt.Errorf("the target does not list the lock that was put")
	}
	if err != nil {
		return nil, fmt.Errorf("lock the repository: %w", err)
	}
	for _, o := range all {
		if l.at.Sub(o.Changed) < lockStale {
			live = append(live, o)
		}
	}
	return live, nil
}

// keep refreshes the lock until it is released.
func (l *lock) keep(ctx context.Context) {
	defer close(l.done)
	tick := time.NewTicker(lockRefresh)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			l.refresh(ctx) // whether it worked shows the next time
		case <-ctx.Done():
			return
		}
	}
}

// refresh puts the lock again, unless others may have taken it for stale meanwhile: what a holder
// relied on is gone then, and does not come back.
func (l *lock) refresh(ctx context.Context) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if silent := time.Since(l.refreshed); silent > lockStale/2 {
		return fmt.Errorf("the lock could not be refreshed for %s", silent.Round(time.Second))
	}
	begun := time.Now()
	if err := l.r.target.Put(ctx, l.name, []byte("\n")); err != nil {
		return fmt.Errorf("refresh the lock: %w", err)
	}
	l.refreshed = begun
	return nil
}

func (l *lock) release(ctx context.Context) error {
	l.stop()
	<-l.done
	return l.r.target.Delete(context.WithoutCancel(ctx), l.name)
}
