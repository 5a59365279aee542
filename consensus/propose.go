package consensus

import (
	"context"
	"fmt"

	"github.com/hashicorp/raft"
	"github.com/staffetta/staffetta/wire"
)

// Propose appends an encoded entry (wire.EncodeEntry) of at most wire.EntryBytesMax bytes to the
// group's log. The entry's time must be the present one by the clocks of a majority, see Believe.
// When it returns without error, the entry is fsynced on a majority of the voters
// and applied here, and the result is what StateMachine.Apply answered for it. The group keeps
// data: the caller must not change it afterwards, whatever the outcome.
//
// Errors are *wire.Error. With NotLeader (Leader says whom to ask), Unavailable, Overloaded,
// NotReady, TooLarge and Malformed nothing was appended. With OutcomeUnknown it may be, now or
// later, even when ctx ended the wait.
func (g *Group) Propose(ctx context.Context, data []byte) (any, error) {
	result, err := g.propose(ctx, data)
	g.stats.proposed(err)
	return result, err
}

func (g *Group) propose(ctx context.Context, data []byte) (any, error) {
	at, err := g.admit(ctx, data)
	if err != nil {
		return nil, err
	}
	weight := int64(max(len(data), inFlightMin))
	if !g.inFlight.TryAcquire(weight) {
		return nil, wire.Errorf(wire.Overloaded, "too many entries are in flight")
	}
	if err := g.Believe(ctx, at.Std()); err != nil {
		g.inFlight.Release(weight)
		return nil, err
	}
	if ctx.Done() == nil {
		defer g.inFlight.Release(weight)
		return g.append(data)
	}
	type outcome struct {
		result any
		err    error
	}
	// The library's futures know no context. Who waits for one is bounded by inFlight, and ends
	// with the group at the latest.
	done := make(chan outcome, 1)
	go func() {
		defer g.inFlight.Release(weight)
		result, err := g.append(data)
		done <- outcome{result, err}
	}()
	select {
	case o := <-done:
		return o.result, o.err
	case <-ctx.Done():
		return nil, wire.Errorf(wire.OutcomeUnknown, "the caller stopped waiting")
	}
}

// admit refuses what must not reach the library, and answers the entry's time.
func (g *Group) admit(ctx context.Context, data []byte) (wire.Time, error) {
	if ctx.Err() != nil {
		return 0, wire.Errorf(wire.Unavailable, "the caller stopped waiting")
	}
	if err := g.running(); err != nil {
		return 0, err
	}
	// raft-wal accepts an entry above 64 MiB and cannot read it back, so the cap is a matter of
	// safety. The checksum is verified here because every replica trusts it from here on.
	entry, err := wire.DecodeEntry(data)
	if err != nil && g.config.guards.on(guardEntryCap) {
		return 0, err
	}
	if g.raft.State() != raft.Leader {
		return 0, g.notLeader()
	}
	return entry.Time, nil
}

// append hands data to the library and waits for what becomes of it.
func (g *Group) append(data []byte) (any, error) {
	future := g.raft.Apply(data, g.config.Timing.Enqueue)
	err := await(future, g.ended, g.config.guards)
	if g.transfer.note(err) && g.config.guards.on(guardTransferStuck) {
		g.fatal(fmt.Errorf("%w: a leadership transfer does not end", ErrRestart))
	}
	if err != nil {
		return nil, g.proposeError(err)
	}
	result := future.Response()
	if _, ok := result.(notApplied); ok {
		return nil, wire.Errorf(wire.OutcomeUnknown, "the state has failed")
	}
	return result, nil
}
