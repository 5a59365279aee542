package transfer

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync/atomic"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/staffetta/staffetta/internal/adminhttp"
	"github.com/staffetta/staffetta/node/seat"
	"github.com/staffetta/staffetta/wire"
)

// Transfer changes who owns a code, and knows of which codes this region decides. Its methods may
// be called concurrently.
type Transfer struct {
	*seat.Seat
	deals  *seat.Contact // when this replica was last known to have every deal of slots
	fit    atomic.Pointer[fit]
	claims *claims
	owners *owners
}

// New makes the duty.
func New(at *seat.Seat) *Transfer {
	t := &Transfer{Seat: at, deals: seat.NewContact(at.Uptime, seat.LongAgo)}
	t.claims = &claims{Transfer: t, waits: make(map[wire.Recipient][]chan error)}
	t.owners = &owners{Transfer: t}
	return t
}

// Calls are the calls about claims, moves, slots, and what a restore has forgotten of them.
func (t *Transfer) Calls() []seat.Call {
	return slices.Concat(t.claimCalls(), t.moveCalls(), t.copyCalls(), t.slotCalls(), t.reportCalls())
}

// Claim logs the intent to own a code and waits until this region owns it (nil), another one does
// (Moved), or ctx ends.
func (t *Transfer) Claim(ctx context.Context, r wire.Recipient) error {
	return t.claims.claim(ctx, r)
}

// DriveClaims drives claims and directory updates, on the leader.
func (t *Transfer) DriveClaims(ctx context.Context) error { return t.claims.run(ctx) }

// DriveMoves drives moves away from the region, on the leader.
func (t *Transfer) DriveMoves(ctx context.Context) error { return (&moves{Transfer: t}).run(ctx) }

// CompareOwners holds the region's log against the directory, on the leader.
func (t *Transfer) CompareOwners(ctx context.Context) error { return t.owners.run(ctx) }

// KeepHouse erases and forgets what moves have left and nobody needs any more.
func (t *Transfer) KeepHouse(ctx context.Context, now wire.Time) error {
	return errors.Join(t.eraseRemains(ctx, now), t.eraseStranded(ctx), t.forgetRefused(ctx))
}

// Health adds which anchor slots are not here yet, and contradictions between the region's log and
// the directory.
func (t *Transfer) Health(h *adminhttp.Health) {
	if t.Region.Slots() == 0 && t.anchorsSlots() {
		h.Reasons = append(h.Reasons, "the region's anchor slots are not granted yet")
	} else if waits := t.slotFit().waits; waits > 0 {
		h.Degraded = append(h.Degraded, fmt.Sprintf("%d anchor slots are on their way to the "+
			"region: first logins and refusals of their codes wait", waits))
	}
	if c := t.owners.contradictions.Load(); c > 0 {
		h.Degraded = append(h.Degraded, fmt.Sprintf("%s: the directory contradicts the log about %d "+
			"codes: those that nobody owned are taken back, for others see the log",
			seat.RegionGroup(t.RegionID), c))
	}
}

// Metrics show moves that are under way, and contradictions.
func (t *Transfer) Metrics() []prometheus.Collector {
	return append(t.moveMetrics(), t.owners.metrics()...)
}
