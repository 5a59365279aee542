package route

import (
	"context"
	"errors"
	"time"

	"github.com/staffetta/staffetta/wire"
	"github.com/staffetta/staffetta/wire/link"
)

// carry makes blocks of a region's lane and brings them to its leader, one after the other,
// until ctx ends.
func (r *Router) carry(ctx context.Context, o *owner) error {
	return r.carryFrom(ctx, o.lane, func(frame []byte, batch []*item) {
		r.deliver(ctx, o, frame, batch)
	})
}

// carryFrom makes blocks of a lane and hands one after the other to bring, until ctx ends.
func (r *Router) carryFrom(ctx context.Context, l *lane,
	bring func(frame []byte, batch []*item)) error {
	var b wire.Builder
	var batch []*item // grows to BlockRecordsMax, in a lane that is used
	for {
		var wait time.Duration
		if batch, wait = l.fill(&b, batch[:0]); len(batch) == 0 {
			if !l.await(ctx, wait) {
				return nil
			}
			continue
		}
		frame := b.Seal(r.coder)
		r.stats.block(batch, len(frame))
		bring(frame, batch)
		clear(batch)
	}
}

// deliver brings one block to the region's leader and answers its items. The block is sent
// again, as the same bytes, until the leader has answered, the last of its records has waited
// long enough, or the region has been silent for so long that the spool is the better way.
//
// The records of a refused block wait again, each for a block of its own, so that one record that
// the leader does not accept cannot take others with it. The gateway checks what it sends, so
// this happens only when the two disagree, such as during an upgrade.
func (r *Router) deliver(ctx context.Context, o *owner, frame []byte, batch []*item) {
	began := time.Now()
	until, wait, spools := lastDeadline(batch), link.AttemptWait, r.spools(o)
	if limit := began.Add(wire.SpoolAfter); spools && limit.Before(until) {
		until, wait = limit, spoolAttempt
	}
	ctx, cancel := context.WithDeadline(ctx, until)
	defer cancel()
	answer, unknown, err := o.Ask(ctx, link.Ask{Method: wire.MethodSubmit, Req: frame, Again: true,
		Wait: wait, Failed: r.stats.failed})
	r.stats.blockSeconds.WithLabelValues(string(o.id)).Observe(time.Since(began).Seconds())
	spoke := err == nil || !wire.Retriable(err)
	switch {
	case spoke:
		r.answered(o)
	case spools && !errors.Is(err, wire.Overloaded) && time.Since(began) >= wire.SpoolAfter:
		r.lost(o, err)
	}
	var outcomes wire.Outcomes
	if err == nil {
		err = wire.Decode(answer, &outcomes)
		if err != nil || len(outcomes.List) != len(batch) {
			unknown = true
			err = wire.Errorf(wire.OutcomeUnknown, "region %s: the answer makes no sense", o.id)
			r.cfg.Logger.Error("outcomes do not fit their block", "region", o.id,
				"records", len(batch), "outcomes", len(outcomes.List))
		}
	}
	if err != nil && len(batch) > 1 && recordsFault(err) {
		r.cfg.Logger.Warn("block refused, its records go one by one", "region", o.id,
			"records", len(batch), "reason", wire.AsError(err).Code.String())
	}
	o.lane.landed(batch, outcomes.List, unknown, err, spoke)
}

// recordsFault tells an error that one record of a block may have caused.
func recordsFault(err error) bool {
	switch wire.AsError(err).Code {
	case wire.Malformed, wire.TooLarge, wire.Forbidden, wire.UnknownKind:
		return true
	}
	return false
}
