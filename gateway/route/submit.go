package route

import (
	"context"
	"errors"
	"time"

	"github.com/staffetta/staffetta/internal/trail"
	"github.com/staffetta/staffetta/wire"
)

// Submit brings a whole record, with an id of NewID, to its owner and returns what the owner
// decided: Decided, with the message's id (an earlier one where the idempotency key was used
// before), or KeyConflict. The verdict is durable on a majority of the owner's voters. While the
// owner is away the record is sealed to it and kept in the home region, durable on a majority of
// that one's voters, and the verdict is THROTTLED.
//
// Errors: Malformed or TooLarge when the record cannot be sent; Overloaded when too much waits
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
	s, err := r.begin(rec, from, interactive)
	if err != nil {
		r.stats.submitted(wire.Outcome{}, err)
		return wire.Outcome{}, err
	}
	o, err := s.end(s.run(ctx))
	r.stats.submitSeconds.Observe(time.Since(began).Seconds())
	return o, err
}

// submission is one record's search for its verdict. Owned by who called Submit; a bulk one by
// StartBulk, then by its look-up if there is one, then by wait.
type submission struct {
	router   *Router
	f        *federation
	rec      wire.Record
	redacted wire.Record // what goes instead while no refusal is known to be wrong
	to       wire.Recipient
	deadline time.Time

	item    item                // in a lane, rec or redacted
	boarded bool                // item is in a lane
	owner   wire.DirectoryEntry // whom the record goes to next
	known   bool                // owner is set
	whole   bool                // that owner asked for content
	lost    bool                // some trip may have been applied without our knowing
	minted  bool                // the id was replaced once already
	hops    uint8               // how often an owner sent the record on
	last    error
	// Of a bulk submission.
	look *lookup // its owner is being looked up
	over bool    // it failed for good before anybody waited

	timer *time.Timer // made when needed, and kept
}

// begin checks a record and aims it at the owner that the cache names, if it names one.
func (r *Router) begin(rec *wire.Record, from wire.InstitutionID, c class) (*submission, error) {
	f, err := r.known()
	if err != nil {
		return nil, err
	}
	if rec.IsRedacted() {
		return nil, wire.Malformedf("a submission is a whole record")
	}
	if err := rec.Validate(); err != nil {
		return nil, err
	}
	s, _ := r.spare.Get().(*submission)
	if s == nil {
		s = &submission{item: item{done: make(chan struct{}, 1), room: make(chan struct{}, 1)}}
	}
	s.router, s.f, s.rec, s.to = r, f, *rec, f.hasher.Recipient(rec.FiscalCode)
	s.item.from, s.item.class = from, c
	s.renew()
	if e, ok := r.cachedOwner(f, s.to); ok {
		s.aim(e)
	}
	return s, nil
}

// end turns what was found into what the caller learns. The submission is kept for another
// record, but for one whose item is still in a block.
func (s *submission) end(o wire.Outcome, err error) (wire.Outcome, error) {
	if err != nil && s.lost && wire.Retriable(err) {
		err = wire.Errorf(wire.OutcomeUnknown, "no verdict in time: the owner's answer was lost")
	}
	r := s.router
	r.stats.submitted(o, err)
	if !s.item.abandoned {
		select {
		case <-s.item.room:
		default:
		}
		*s = submission{item: item{done: s.item.done, room: s.item.room}, timer: s.timer}
		r.spare.Put(s)
	}
	return o, err
}

// step says how a submission goes on.
type step uint8

const (
	finished step = iota
	sendAgain
	sendAfterPause
	lookUpAgain // after a pause
)

// run goes on until there is a verdict or time is up. Most of the time one trip is all, and needs
// no context of its own.
func (s *submission) run(ctx context.Context) (wire.Outcome, error) {
	next := sendAgain
	if s.known {
		var o wire.Outcome
		if o, next = s.trip(ctx); next == finished {
			return o, s.last
		}
	} else if s.last != nil {
		next = lookUpAgain
	}
	ctx, cancel := context.WithDeadline(ctx, s.deadline)
	defer cancel()
	return s.search(ctx, next)
}

// search looks the owner up and makes trips until one is the last. The cache is not asked again:
// it knew nothing, or what it knew was wrong.
func (s *submission) search(ctx context.Context, next step) (o wire.Outcome, err error) {
	pauses := trail.Pauses()
	for {
		switch next {
		case sendAgain:
			if ctx.Err() != nil {
				return wire.Outcome{}, s.gaveUp()
			}
		case lookUpAgain, sendAfterPause:
			s.known = s.known && next != lookUpAgain
			if !pauses.Pause(ctx) {
				return wire.Outcome{}, s.gaveUp()
			}
		}
		if !s.known && !s.lookUp(ctx) {
			if hopeless(s.last) {
				return o, s.last
			}
			next = lookUpAgain
			continue
		}
		if o, next = s.trip(ctx); next == finished {
			return o, s.last
		}
	}
}

// lookUp finds the owner to try.
func (s *submission) lookUp(ctx context.Context) bool {
	e, err := s.router.lookUp(ctx, s.to, s.item.class)
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
	if !s.boarded {
		if _, next := s.board(false); !s.boarded {
			return wire.Outcome{}, next
		}
	}
	if !s.await(ctx, s.item.done) {
		if had, sent := s.item.leave(); !had {
			s.lost = s.lost || sent
			s.last = s.gaveUp()
			return wire.Outcome{}, finished
		}
	}
	s.boarded = false
	s.lost = s.lost || s.item.unknown
	if s.item.err != nil {
		return wire.Outcome{}, s.failed(s.item.err)
	}
	return s.answered(s.item.outcome)
}

// board puts the record into the owner's lane, or says how to go on. full says that it has no
// room there yet; patient that the caller waits until it has.
func (s *submission) board(patient bool) (full bool, next step) {
	own := s.router.owner(s.owner.Region)
	if own == nil {
		s.last = wire.Errorf(wire.Unavailable, "the map has no region %q", s.owner.Region)
		return false, lookUpAgain
	}
	it, to := &s.item, own.lane
	it.rec, it.spooled = &s.rec, nil
	if s.owner.State == wire.Claimed {
		it.spooled = &s.rec
	}
	if s.spoolable(own) {
		to = own.spool
	} else if !s.whole && !(s.owner.State == wire.Claimed && s.owner.Active) {
		s.redacted = s.rec.Redact(s.f.hasher)
		it.rec = &s.redacted
	}
	it.deadline, it.patient = s.deadline, patient
	it.place, it.alone, it.unknown, it.offered = outside, false, false, s.lost
	full, err := to.join(it)
	if err != nil {
		s.last = err
		return false, finished
	}
	s.boarded = true
	return full, sendAgain
}

// await waits for ch until time is up, and reports whether it had something.
func (s *submission) await(ctx context.Context, ch <-chan struct{}) bool {
	select {
	case <-ch:
		return true
	default:
	}
	var over <-chan time.Time
	if d, ok := ctx.Deadline(); !ok || d.After(s.deadline) {
		if left := time.Until(s.deadline); s.timer == nil {
			s.timer = time.NewTimer(left)
		} else {
			s.timer.Reset(left)
		}
		defer s.timer.Stop()
		over = s.timer.C
	}
	select {
	case <-ch:
		return true
	case <-ctx.Done():
	case <-over:
	}
	return false
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
	case wire.Broken:
		s.last = wire.Errorf(wire.Internal, "region %s cannot decide the message: what it knows "+
			"under the idempotency key contradicts itself", s.owner.Region)
		return o, finished
	}
	s.last = wire.Errorf(wire.Unavailable, "the owner answered with outcome %d", o.Kind)
	return o, sendAfterPause
}

// moved follows NotOwner, by the rule of package trail. What leads nowhere is older than what we
// knew, or no more than a denial: the directory is asked again, and its answer is taken whatever
// its epoch, since the region that we took for the owner has denied it.
func (s *submission) moved(o wire.Outcome) step {
	r := s.router
	r.stats.moved.Inc()
	if trail.IsNews(o.Region, o.Epoch, s.owner.Epoch) && s.hops < trail.HopsMax {
		s.hops++
		e := claimedBy(o.Region, o.Epoch)
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
	if s.lost {
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
