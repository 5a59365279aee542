package transfer

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/staffetta/staffetta/node/seat"
	"github.com/staffetta/staffetta/wire"
	"github.com/staffetta/staffetta/wire/link"
)

// checkDeal holds a deal against what its regions say now: nothing goes to one that does not
// answer, and nothing is taken by force from one that does.
func (t *Transfer) checkDeal(d *wire.DealSlots) error {
	answers, err := t.Answering()
	if err != nil {
		return err
	}
	m := t.Map()
	for _, s := range d.Slots {
		if int(s) >= wire.Slots {
			continue // refused later on
		}
		var bypassed []wire.RegionID // who may know what is then missing
		if a := m.Anchor(s); a != d.To {
			if !answers[d.To] {
				return wire.Errorf(wire.Conflict, "region %s does not answer: it is given nothing", d.To)
			}
			bypassed = append(bypassed, a)
		}
		if deal, moving := m.SlotDeal(s); moving {
			from, _ := m.RegionByTag(deal.From)
			bypassed = append(bypassed, from.ID)
		}
		silent := func(r wire.RegionID) bool { return !answers[r] }
		if d.Force && !d.Healthy && len(bypassed) > 0 && !slices.ContainsFunc(bypassed, silent) {
			return seat.NotLostError("--force", bypassed[0])
		}
	}
	return nil
}

// anchorContactMax is how long an anchor decides about unclaimed codes after it last knew all
// deals: operators may deal its slots to another region after twice this time.
const anchorContactMax = wire.SlotForceWait / 2

// dealsPeriod is how often it makes sure that it does.
const dealsPeriod = anchorContactMax / 6

// keepDeals has the federation's leader confirm that this replica knows every deal of slots. That
// it hears from the leader does not say so: after a cut heartbeats come back some seconds before
// the log does.
func (t *Transfer) keepDeals(ctx context.Context) {
	for {
		pause := dealsPeriod
		if err := t.confirmDeals(ctx); err != nil {
			pause = seat.DutyPause
		}
		select {
		case <-time.After(pause):
		case <-ctx.Done():
			return
		}
	}
}

func (t *Transfer) confirmDeals(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, wire.OwnerWait)
	defer cancel()
	asked := t.Uptime()
	var newest wire.MapVersion
	err := t.CallFederation(ctx, wire.MethodConfirmMap, nil, &newest)
	if errors.Is(err, wire.UnknownKind) { // of a program that deals no slots
		t.deals.Note(t.Uptime() - asked)
		return nil
	}
	if err != nil {
		return err
	}
	if m, ok := t.Federation.Map(); !ok || m.Version < newest.Version {
		return wire.Errorf(wire.Unavailable, "the map is not known to version %d yet", newest.Version)
	}
	t.deals.Note(t.Uptime() - asked)
	return nil
}

// foundingSlot reports whether the region has a slot since the founding.
func (t *Transfer) foundingSlot(m *wire.Map, s wire.Slot) bool {
	return m.Anchor(s) == t.RegionID && m.SlotEpoch(s) == wire.SlotEpochFounding
}

func (t *Transfer) dealSlots(ctx context.Context, from link.Identity, d *wire.DealSlots) (
	*seat.None, error) {
	action := "slots deal"
	if d.Force {
		action = "slots deal --force"
	}
	if err := t.checkDeal(d); err != nil {
		return nil, err
	}
	d.Healthy = false // it is said to this process
	_, err := t.Administrate(ctx, from, action, wire.CmdDealSlots, d)
	return nil, err
}

// fit says of which slots this region may decide: those that its log holds and the map still
// deals to it, as far as this replica knows.
type fit struct {
	m     *wire.Map
	slots any // what the log held
	mine  [wire.Slots]bool
	lost  bool // slots are held that the map deals elsewhere
	waits int  // slots that the map deals to the region, and its log does not hold yet
}

// slotFit is computed anew when the map or the log changed.
func (t *Transfer) slotFit() *fit {
	m, slots := t.Map(), t.Region.SlotsChanged()
	if f := t.fit.Load(); f != nil && f.m == m && f.slots == slots {
		return f
	}
	f := &fit{m: m, slots: slots}
	for s := range wire.Slot(wire.Slots) {
		epoch, held := t.Region.SlotAt(s)
		f.mine[s] = held && m.Anchor(s) == t.RegionID && m.SlotEpoch(s) <= epoch
		if m.Anchor(s) == t.RegionID && !f.mine[s] {
			f.waits++
		}
		f.lost = f.lost || held && !f.mine[s]
	}
	t.fit.Store(f)
	return f
}

// Anchors reports whether this region may decide about an unclaimed code of a slot that its log
// holds: the map deals the slot to this region, and no newer one can have dealt it to another that
// decides by now.
func (t *Transfer) Anchors(s wire.Slot) bool { return t.knowsDeals() && t.slotFit().mine[s] }

// knowsDeals reports whether this replica knew every deal of slots a short time ago.
func (t *Transfer) knowsDeals() bool { return t.deals.Since() <= anchorContactMax }

// anchorsSlots reports whether the region has slots since the founding.
func (t *Transfer) anchorsSlots() bool {
	m := t.Map()
	for s := range wire.Slot(wire.Slots) {
		if t.foundingSlot(m, s) {
			return true
		}
	}
	return false
}

// RefuseForeign makes NotOwner of what is not this region's to say about a record of a code that
// nobody claimed: before it is logged, and again once it was, since the whole region may have been
// stopped or suspended in between while its slots went to another one. What was decided then is
// told to nobody; who asks the new anchor gets the one verdict that counts.
func (t *Transfer) RefuseForeign(records []wire.Record, outcomes []wire.Outcome) []wire.Outcome {
	if t.knowsDeals() && !t.slotFit().lost {
		return outcomes
	}
	for i := range records {
		if !t.IsForeign(&records[i]) {
			continue
		}
		if outcomes == nil {
			outcomes = make([]wire.Outcome, len(records))
		}
		if k := outcomes[i].Kind; k != wire.NotOwner && k != wire.OutOfTime {
			outcomes[i] = wire.Outcome{Kind: wire.NotOwner, ID: records[i].ID}
		}
	}
	return outcomes
}

// IsForeign reports whether a record is of a code that nobody claimed, and of which this region may
// not decide, or not now.
func (t *Transfer) IsForeign(rec *wire.Record) bool {
	r := rec.RecipientUnder(t.Hasher)
	if t.Anchors(r.Slot()) {
		return false
	}
	own, _, err := t.Region.Ownership(r)
	return err != nil || own.State == wire.NotOwned || own.State == wire.Claiming
}

// NextOwner is the region that a code went to, as this region's log or the directory says. A code
// that nobody claimed has none, since its anchor is not to see content.
func (t *Transfer) NextOwner(o *wire.Outcome, rec *wire.Record) wire.RegionID {
	entry, err := t.Federation.Directory(rec.RecipientUnder(t.Hasher))
	if err != nil {
		return o.Region
	}
	return newestOwner(o, entry, t.RegionID)
}

// newestOwner takes the newer word of two: the mark in a region's log stays what it was when the
// code went on from there, and the region that it names may be off the map since. Empty: nobody
// knows yet, or the code is on its way back.
func newestOwner(o *wire.Outcome, e wire.DirectoryEntry, self wire.RegionID) wire.RegionID {
	settled := e.State == wire.Claimed || e.State == wire.Moving && o.Region != ""
	switch {
	case !settled || e.Epoch < o.Epoch || e.Epoch == o.Epoch && e.Region == o.Region:
		return o.Region
	case e.Region == self:
		return ""
	}
	return e.Region
}
