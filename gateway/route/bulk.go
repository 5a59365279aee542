package route

import (
	"context"

	"github.com/staffetta/staffetta/wire"
)

// bulkMax bounds the bulk submissions under way.
const bulkMax = 1024

// StartBulk begins a bulk submission, one of many of which nobody waits for a single one, and
// returns as soon as it is under way. It blocks while too many are: that is the back-pressure of
// a bulk stream. wait, which is called exactly once, returns what Submit would have returned; ctx
// bounds both.
//
// The record's content is read until wait returns, and not afterwards.
func (r *Router) StartBulk(ctx context.Context, rec *wire.Record, from wire.InstitutionID) (
	wait func() (wire.Outcome, error)) {
	var o wire.Outcome
	var err error
	select {
	case r.bulk <- struct{}{}:
	case <-ctx.Done():
		err = wire.Errorf(wire.Unavailable, "no room for a bulk submission in time")
		return func() (wire.Outcome, error) { return o, err }
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		o, err = r.Submit(ctx, rec, from)
		<-r.bulk
	}()
	return func() (wire.Outcome, error) {
		<-done
		return o, err
	}
}
