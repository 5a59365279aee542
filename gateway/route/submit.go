package route

import (
	"context"
	"errors"
	"time"

	"github.com/staffetta/staffetta/wire"
	"github.com/staffetta/staffetta/wire/link"
)

const (
	// submitPauseMin and submitPauseMax bound the jittered pause before a submission asks again
	// who the owner is: a claim or a lost leader settles within a second or so.
	submitPauseMin = 20 * time.Millisecond
	submitPauseMax = 250 * time.Millisecond
)

// Submit brings a whole record, with an id of NewID, to its owner and returns what the owner
// decided: Decided, with the message's id (an earlier one where the idempotency key was used
// before), or KeyConflict. The verdict is durable on a majority of the owner's voters.
//
// Errors: Malformed or TooLarge when the record can not be sent; Overloaded when too much waits
// for the region; Unavailable when there is no verdict within OwnerWait, or ctx ended before.
// After these nothing was appended. OutcomeUnknown instead of the last two when a copy was sent
// whose answer was lost: it may still be decided, and only a submission under the same id, or the
// same idempotency key, is safe.
//
// The record is the institution from's, which shares every region with the others. Its content is
// read until Submit returns, and not afterwards.
func (r *Router) Submit(ctx context.Context, rec *wire.Record, from wire.InstitutionID) (
	wire.Outcome, error) {
	began := time.Now()
	o, err := r.submit(ctx, rec, began.Add(r.cfg.OwnerWait))
	r.stats.submitted(o, err, time.Since(began))
	return o, err
}

func (r *Router) submit(ctx context.Context, rec *wire.Record, deadline time.Time) (
	wire.Outcome, error) {
	f, err := r.known()
	if err != nil {
		return wire.Outcome{}, err
	}
	if rec.IsDigest() {
		return wire.Outcome{}, wire.Malformedf("a submission is a whole record")
	}
	if err := rec.Validate(); err != nil {
		return wire.Outcome{}, err
	}
	ctx, cancel := context.WithDeadline(ctx, deadline)
	defer cancel()
	s := submission{router: r, f: f, rec: *rec, deadline: deadline,
		to: f.hasher.Recipient(rec.FiscalCode)}
	o, err := s.run(ctx)
	if err != nil && s.unknown && wire.Retriable(err) {
		err = wire.Errorf(wire.OutcomeUnknown, "no verdict in time: the owner's answer was lost")
	}
	return o, err
}

// submission is one record's search for its verdict. Owned by one Submit.
type submission struct {
	router   *Router
	f        *federation
	rec      wire.Record
	to       wire.Recipient
	deadline time.Time

	owner   wire.DirectoryEntry // whom the record goes to next
	known   bool                // owner is set
	whole   bool                // that owner asked for content
	unknown bool                // some trip may have been applied without our knowing
	minted  bool                // the id was replaced once already
	last    error
}

// step says how a submission goes on.
type step uint8

const (
	finished step = iota
	sendAgain
	sendAfterPause
	lookUpAgain // after a pause, without believing the cache
)

func (s *submission) run(ctx context.Context) (wire.Outcome, error) {
	wait, fresh := submitPauseMin, false
	for {
		var o wire.Outcome
		next := lookUpAgain
		if s.known || s.lookUp(ctx, fresh) {
			o, next = s.trip(ctx)
		} else if hopeless(s.last) {
			return o, s.last
		}
		switch next {
		case finished:
			return o, s.last
		case sendAgain:
			if ctx.Err() == nil {
				continue
			}
		case lookUpAgain:
			s.known, fresh = false, true
		}
		if !link.Pause(ctx, wait) {
			return wire.Outcome{}, s.gaveUp()
		}
		wait = min(2*wait, submitPauseMax)
	}
}

// lookUp finds the owner to try.
func (s *submission) lookUp(ctx context.Context, fresh bool) bool {
	e, err := s.router.ownerOf(ctx, s.f, s.to, fresh)
	if err != nil {
		s.last = err
		return false
	}
	s.aim(e)
	return true
}

// aim makes e the owner to try. What an owner asked for does not bind another one.
func (s *submission) aim(e wire.DirectoryEntry) {
	if !s.known || e.Region != s.owner.Region || e.Epoch != s.owner.Epoch {
		s.whole = false
	}
	s.owner, s.known, s.last = e, true, nil
}

// trip sends the record to the owner in one block and reads what came of it.
func (s *submission) trip(ctx context.Context) (wire.Outcome, step) {
	own := s.router.owner(s.owner.Region)
	if own == nil {
		s.last = wire.Errorf(wire.Unavailable, "the map has no region %q", s.owner.Region)
		return wire.Outcome{}, lookUpAgain
	}
	rec := s.rec
	if !s.whole && !(s.owner.State == wire.Claimed && s.owner.Active) {
		rec = s.rec.ToDigest(s.f.hasher)
	}
	it := newItem(&rec, s.deadline)
	if err := own.lane.join(it); err != nil {
		s.last = err
		return wire.Outcome{}, finished
	}
	select {
	case <-it.done:
	case <-ctx.Done():
		if !own.lane.leave(it) {
			s.unknown = true
		}
		return wire.Outcome{}, sendAgain
	}
	s.unknown = s.unknown || it.unknown
	if it.err != nil {
		return wire.Outcome{}, s.failed(it.err)
	}
	return s.answered(it.outcome)
}

// failed reads the error of a whole block.
func (s *submission) failed(err error) step {
	s.last = err
	switch wire.AsError(err).Code {
	case wire.NotLeader, wire.Unavailable, wire.NotReady, wire.OutcomeUnknown, wire.Moved:
		if !hopeless(err) {
			return lookUpAgain
		}
	}
	return finished
}

// hopeless tells an error that trying again within this call does not help.
func hopeless(err error) bool {
	return errors.Is(err, wire.Overloaded) || errors.Is(err, errStopping)
}

// answered reads what the owner decided.
func (s *submission) answered(o wire.Outcome) (wire.Outcome, step) {
	r := s.router
	s.last = nil
	switch o.Kind {
	case wire.Decided, wire.KeyConflict:
		return o, finished
	case wire.Undecided:
		return o, sendAgain
	case wire.NeedContent:
		if s.whole {
			s.last = wire.Errorf(wire.Unavailable, "the owner asks for content that it has")
			return o, sendAfterPause
		}
		s.whole = true
		if s.owner.State == wire.Claimed {
			r.directory.activated(s.to, s.owner.Epoch)
		} else {
			r.directory.denied(s.to, s.owner.Epoch) // claimed since: ask next time
		}
		return o, sendAgain
	case wire.NotOwner:
		return o, s.moved(o)
	case wire.OutOfTime:
		return o, s.outOfTime()
	}
	s.last = wire.Errorf(wire.Unavailable, "the owner answered with outcome %d", o.Kind)
	return o, sendAfterPause
}

// moved follows NotOwner. A higher epoch is news and is followed at once. Anything else is older
// than what we knew, or no more than a denial: the directory is asked again, and its answer is
// taken whatever its epoch, since the region that we took for the owner has denied it.
func (s *submission) moved(o wire.Outcome) step {
	r := s.router
	r.stats.moved.Inc()
	if o.Region != "" && o.Epoch > s.owner.Epoch {
		e := wire.DirectoryEntry{Region: o.Region, Epoch: o.Epoch, State: wire.Claimed}
		r.directory.learn(s.f, s.to, e)
		s.aim(e)
		return sendAgain
	}
	r.directory.denied(s.to, s.owner.Epoch)
	s.last = wire.Errorf(wire.Unavailable, "region %s is not the owner, who is is not settled",
		s.owner.Region)
	return lookUpAgain
}

// outOfTime handles an id whose time is far from the log's. A new id is minted only when no copy
// under the old one can still be applied: the owner exempts ids that it knows, but a copy whose
// answer was lost may be in its log and not yet applied, and a second id would make a second
// message of it. Then the old id stays and the submission ends without a verdict. It is minted
// once: if the new one is refused too, the gateway's clock is wrong.
func (s *submission) outOfTime() step {
	s.last = wire.Errorf(wire.Unavailable, "the gateway's clock and region %s's disagree",
		s.owner.Region)
	if s.minted {
		s.router.cfg.Logger.Error("clock far from the region's", "region", s.owner.Region)
		return finished
	}
	if s.unknown {
		return sendAfterPause
	}
	s.minted, s.rec.ID = true, s.router.NewID()
	return sendAgain
}

// gaveUp is the error when time is up.
func (s *submission) gaveUp() error {
	why := "the owner did not answer"
	if s.last != nil {
		why = wire.AsError(s.last).Detail
	}
	return wire.Errorf(wire.Unavailable, "no verdict in time: %s", why)
}
