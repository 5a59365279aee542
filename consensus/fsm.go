package consensus

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hashicorp/raft"
	"github.com/staffetta/staffetta/wire"
)

// fsm is the library's state machine over ours. The library calls all but Snapshot's result from
// one goroutine.
type fsm struct {
	// Set at construction.
	self   wire.NodeID
	state  StateMachine
	guards guards
	fatal  func(error)
	stats  *stats
	snaps  *snapshots
	peers  *peers
	log    raft.LogStore // the store itself, to look behind a snapshot
	now    func() time.Time
	window time.Duration // for a second install

	index atomic.Uint64 // the last entry applied that the state machine sees
	// digests are for comparison with other replicas.
	digests digests

	// Owned by the library's goroutine.
	failed   bool
	member   bool // self is in the last membership seen
	installs []time.Time

	mu      sync.Mutex
	waiters []waiter // guarded by mu
}

type waiter struct {
	index uint64
	done  chan struct{}
}

// Apply is never called: the library prefers ApplyBatch.
func (f *fsm) Apply(log *raft.Log) any { return f.ApplyBatch([]*raft.Log{log})[0] }

// ApplyBatch applies committed commands and configurations. After a failure nothing is applied
// any more, and every response is notApplied.
func (f *fsm) ApplyBatch(logs []*raft.Log) []any {
	results := make([]any, len(logs))
	if f.failed {
		return refuse(results)
	}
	entries := make([]wire.LogEntry, 0, len(logs))
	skipped := 0
	for _, l := range logs {
		// Entries up to the state's position are applied already.
		if l.Index <= f.index.Load() && f.guards.on(guardReplay) {
			skipped++
			continue
		}
		entries = append(entries, wire.LogEntry{Index: l.Index, Term: l.Term,
			Configuration: l.Type == raft.LogConfiguration, Data: l.Data})
	}
	if len(entries) == 0 {
		return results
	}
	for rest := entries; len(rest) > 0; { // once, but where a digest is due
		n := cut(rest)
		applied, err := f.apply(rest[:n])
		if err != nil {
			f.failed = true
			f.fatal(err)
			return refuse(results)
		}
		copy(results[skipped:], applied)
		skipped, rest = skipped+n, rest[n:]
	}
	return results
}

// apply hands entries to the state as one batch.
func (f *fsm) apply(entries []wire.LogEntry) ([]any, error) {
	begin := time.Now()
	applied, err := f.state.Apply(entries)
	if err == nil && len(applied) != len(entries) {
		err = fmt.Errorf("%d results for %d entries", len(applied), len(entries))
	}
	if err != nil {
		why := ErrState
		if errors.Is(err, wire.UnknownKind) {
			why = ErrVersion
		}
		return nil, fmt.Errorf("%w: entries %d to %d: %w", why, entries[0].Index,
			entries[len(entries)-1].Index, err)
	}
	f.stats.appliedBatch(len(entries), time.Since(begin))
	f.digests.note(f.state.Digest())
	f.advance(entries[len(entries)-1].Index)
	for _, e := range entries {
		if e.Configuration {
			f.membership(e)
		}
	}
	return applied, nil
}

func refuse(results []any) []any {
	for i := range results {
		results[i] = notApplied{}
	}
	return results
}

// membership ends the group here when its node is no longer in it: the library of a removed
// follower waits for a leader for ever, and would disturb the others when it came back.
func (f *fsm) membership(e wire.LogEntry) {
	c, err := decodeConfiguration(e.Data)
	if err != nil {
		f.failed = true
		f.fatal(fmt.Errorf("%w: entry %d: %w", ErrState, e.Index, err))
		return
	}
	was := f.member
	f.member = names(toMembers(c), f.self)
	f.peers.members(toMembers(c))
	if was && !f.member && f.guards.on(guardRemoved) {
		f.fatal(ErrRemoved)
	}
}

// advance publishes the applied index and wakes who waits for it.
func (f *fsm) advance(index uint64) {
	f.index.Store(index)
	f.mu.Lock()
	defer f.mu.Unlock()
	rest := f.waiters[:0]
	for _, w := range f.waiters {
		if w.index <= index {
			close(w.done)
		} else {
			rest = append(rest, w)
		}
	}
	clear(f.waiters[len(rest):])
	f.waiters = rest
}

// waitersMax bounds who waits for an entry. More means that the state stands still.
const waitersMax = 1 << 16

// wait returns when index is applied.
func (f *fsm) wait(ctx context.Context, index uint64, ended <-chan struct{}) error {
	if f.index.Load() >= index {
		return nil
	}
	w := waiter{index, make(chan struct{})}
	f.mu.Lock()
	if len(f.waiters) >= waitersMax {
		f.mu.Unlock()
		return wire.Errorf(wire.Overloaded, "too many wait for the state")
	}
	f.waiters = append(f.waiters, w)
	f.mu.Unlock()
	if f.index.Load() >= index { // applied before the waiter was seen
		f.forget(w)
		return nil
	}
	select {
	case <-w.done:
		return nil
	case <-ctx.Done():
		f.forget(w)
		return wire.Errorf(wire.Unavailable, "the state did not catch up in time")
	case <-ended:
		f.forget(w)
		return wire.Errorf(wire.NotReady, "the node is stopping")
	}
}

func (f *fsm) forget(w waiter) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for i := range f.waiters {
		if f.waiters[i] == w {
			last := len(f.waiters) - 1
			f.waiters[i], f.waiters[last] = f.waiters[last], waiter{}
			f.waiters = f.waiters[:last]
			return
		}
	}
}

// Snapshot costs nothing: the state is on disk, Persist only flushes it.
func (f *fsm) Snapshot() (raft.FSMSnapshot, error) {
	if f.failed {
		return nil, raft.ErrNothingNewToSnapshot
	}
	return f.snaps.record(), nil
}

// Restore installs the snapshot that was staged. There is nothing to read: the stage is complete.
func (f *fsm) Restore(io.ReadCloser) error {
	at, ok := f.snaps.takeStaged()
	if f.failed || !ok {
		return errors.New("no snapshot is staged")
	}
	if have := f.index.Load(); at.Index <= have && f.guards.on(guardStaleSnapshot) {
		return fmt.Errorf("snapshot %d is behind the state at %d", at.Index, have)
	}
	if err := f.state.Install(at); errors.Is(err, wire.UnknownKind) {
		f.failed = true
		f.fatal(fmt.Errorf("%w: snapshot %d: %w", ErrVersion, at.Index, err))
		return err
	} else if err != nil {
		// The state did not change; the leader tries again.
		return fmt.Errorf("install snapshot: %w", err)
	}
	f.stats.installs.Inc()
	f.digests.forget()
	f.digests.note(f.state.Digest())
	f.snaps.setDurable(f.state.Position())
	f.advance(at.Index)
	if c, err := decodeConfiguration(at.Configuration); err == nil {
		f.member = names(toMembers(c), f.self)
		f.peers.members(toMembers(c))
	}
	if err := f.afterInstall(at); err != nil {
		f.failed = true
		f.fatal(err)
		return err
	}
	return nil
}

// afterInstall ends the process when the library would not cope. It empties the log, but not
// what it remembers of its end: with a tail behind the snapshot it refuses every entry from then
// on, gets the snapshot again, for ever (hashicorp/raft#697). After a restart the log is
// reconciled with the state, and all is well.
func (f *fsm) afterInstall(at wire.Position) error {
	last, err := f.log.LastIndex()
	if err != nil {
		return fmt.Errorf("%w: read log: %w", ErrDisk, err)
	}
	if last > at.Index && f.guards.on(guardStaleTail) {
		return fmt.Errorf("%w: snapshot %d installed under a log that ends at %d", ErrRestart,
			at.Index, last)
	}
	now, recent := f.now(), f.installs[:0]
	for _, t := range f.installs {
		if now.Sub(t) < f.window {
			recent = append(recent, t)
		}
	}
	f.installs = append(recent, now)
	if len(f.installs) > 1 && f.guards.on(guardInstallLoop) {
		return fmt.Errorf("%w: second snapshot installed within %s", ErrRestart, f.window)
	}
	return nil
}
