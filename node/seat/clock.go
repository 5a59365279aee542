package seat

import (
	"context"
	"errors"
	"time"

	"github.com/staffetta/staffetta/wire"
)

// Timed gives the entries of a group's log their time. Beyond what a majority confirmed, a state
// believes its entries for wire.TimeStepMax only, so on the way the leader has its time confirmed:
// every half of that while entries come, and first of all after a pause. A group at rest writes
// nothing. Its methods may be called concurrently.
type Timed struct {
	group confirmer
	state timeState
	now   func() wire.Time
	kind  wire.CommandKind // confirms a time
	turn  chan struct{}    // holds a token while somebody has the time confirmed
}

// confirmer is the part of a consensus group that confirms times.
type confirmer interface {
	Proposer
	ConfirmTime(ctx context.Context, t time.Time) error
}

// timeState is the part of a group's state that says how far its time is.
type timeState interface {
	ActiveVersion() uint32
	Clock() (now, confirmed wire.Time, ahead bool)
}

// NewTimed gives entries of a group their time; kind is the command that confirms one.
func NewTimed(group confirmer, state timeState, now func() wire.Time,
	kind wire.CommandKind) *Timed {
	return &Timed{group: group, state: state, now: now, kind: kind, turn: make(chan struct{}, 1)}
}

// Stamp makes an entry of the present time, to be proposed at once. An error says that the time is
// not to be relied on now, or that this node does not lead.
func (t *Timed) Stamp(ctx context.Context, kind wire.EntryKind, body []byte) ([]byte, error) {
	if due, must := t.due(); must {
		if err := t.confirm(ctx); err != nil {
			return nil, err
		}
	} else if due {
		select {
		case t.turn <- struct{}{}:
			err := t.confirmRounds(ctx)
			<-t.turn
			if err != nil {
				return nil, err
			}
		default: // somebody is at it, and there is time
		}
	}
	return wire.EncodeEntry(kind, t.now(), body), nil
}

// due reports whether a time is to be confirmed, and whether entries have to wait for it.
func (t *Timed) due() (due, must bool) {
	if t.state.ActiveVersion() < t.kind.Since() {
		return false, false
	}
	wall := t.now()
	now, confirmed, ahead := t.state.Clock()
	age := wall - confirmed
	must = ahead || confirmed == 0 || age.Sub(0) > wire.TimeStepMax ||
		max(now, confirmed) > wall.Add(wire.TimeBackMin)
	return must || age.Sub(0) > wire.TimeStepMax/2, must
}

// confirm has the time confirmed unless somebody else does meanwhile.
func (t *Timed) confirm(ctx context.Context) error {
	select {
	case t.turn <- struct{}{}:
	case <-ctx.Done():
		return wire.Errorf(wire.Unavailable, "the caller stopped waiting")
	}
	defer func() { <-t.turn }()
	if _, must := t.due(); !must {
		return nil
	}
	return t.confirmRounds(ctx)
}

// confirmRounds has the time confirmed and logged, until nothing is left that is dated in the
// future. t.turn must be held.
func (t *Timed) confirmRounds(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, wire.OwnerWait)
	defer cancel()
	for {
		now := t.now()
		if err := t.group.ConfirmTime(ctx, now.Std()); err != nil {
			return err
		}
		list := wire.Commands{List: []wire.Command{{Kind: t.kind,
			Body: wire.Encode(&wire.ConfirmTime{At: now})}}}
		answer, err := t.group.Propose(ctx,
			wire.EncodeEntry(wire.CommandsEntry, now, wire.Encode(&list)))
		if errors.Is(err, wire.OutcomeUnknown) { // what was to follow was not proposed
			return wire.Errorf(wire.Unavailable, "the time was not confirmed yet")
		} else if err != nil {
			return err
		}
		results, ok := answer.(*wire.Results)
		if !ok || len(results.List) != 1 {
			return wire.Errorf(wire.Internal, "entry applied with the wrong results")
		}
		if err := results.List[0].Err; err != nil {
			return err
		}
		var done wire.TimeConfirmed
		if err := wire.Decode(results.List[0].Body, &done); err != nil || !done.More {
			return err
		}
	}
}

// RegionTime is the wall clock of the region's leader, for what is decided by it outside the log.
// Unavailable when a majority's clocks do not bear it out.
func (s *Seat) RegionTime(ctx context.Context) (wire.Time, error) {
	now := s.Now()
	return now, s.RegionGroup.Believe(ctx, now.Std())
}

// Now is the wall clock.
func (s *Seat) Now() wire.Time { return wire.TimeOf(s.Clock()) }
