package route

import (
	"context"
	"time"

	"github.com/staffetta/staffetta/wire"
)

// StartBulk begins a bulk submission, one of a stream, and returns as soon as the record waits
// for its turn in its region's lane, or its owner is being looked up. It blocks while the
// institution's bulk share of the lane is full, and while too many owners are being looked up,
// until ctx ends: that is the back-pressure of a stream. While the region has not answered for
// as long as OwnerWait it does not block for it, and wait returns Unavailable; now and then one
// record is let through, to find out.
//
// wait, which is called exactly once, returns what Submit would have returned; OwnerWait runs
// from when StartBulk returned. ctx bounds both. The record's content is read until wait returns,
// and not afterwards. How many submissions a caller begins before it waits for the first is up to
// the caller, who holds their records.
func (r *Router) StartBulk(ctx context.Context, rec *wire.Record, from wire.InstitutionID) (
	wait func() (wire.Outcome, error)) {
	s, err := r.begin(rec, from, bulk)
	if err != nil {
		r.stats.submitted(wire.Outcome{}, err)
		return func() (wire.Outcome, error) { return wire.Outcome{}, err }
	}
	if s.known {
		s.start(ctx)
	} else {
		s.startLookUp(ctx)
	}
	return func() (wire.Outcome, error) { return s.end(s.wait(ctx)) }
}

// start puts the record into its lane, and waits until it has room there.
func (s *submission) start(ctx context.Context) {
	full, next := s.board(true)
	s.over = !s.boarded && next == finished
	if full {
		s.router.stats.bulkBlocked.Inc()
		select {
		case <-s.item.room:
			s.renew()
		case <-ctx.Done(): // wait takes it out
		}
	}
}

// startLookUp has the record's owner looked up, together with those of the records that follow.
func (s *submission) startLookUp(ctx context.Context) {
	look, err := s.router.resolver.ask(ctx, s.to, bulk, s)
	if err != nil {
		s.last, s.over = err, true
		return
	}
	s.look = look // only wait reads it: from ask on, all else is found's
}

// renew gives the submission its whole time from now on.
func (s *submission) renew() { s.deadline = time.Now().Add(s.router.cfg.OwnerWait) }

// found goes on when the look-up has ended. The resolver calls it, before it says so to anybody.
func (s *submission) found(l *lookup) {
	if l.err != nil {
		s.last, s.over = l.err, hopeless(l.err)
		return
	}
	s.aim(l.entry)
	_, next := s.board(false)
	s.over = !s.boarded && next == finished
}

func (s *submission) wait(ctx context.Context) (wire.Outcome, error) {
	if s.look != nil && !s.await(ctx, s.look.done) {
		if s.router.resolver.forget(s.look, s) {
			return wire.Outcome{}, s.gaveUp()
		}
		<-s.look.done // found is being called
	}
	if s.over {
		return wire.Outcome{}, s.last
	}
	return s.run(ctx)
}
