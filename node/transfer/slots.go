package transfer

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/staffetta/staffetta/node/seat"
	"github.com/staffetta/staffetta/wire"
	"github.com/staffetta/staffetta/wire/link"
	"golang.org/x/sync/errgroup"
)

const (
	// slotsPeriod is how often a leader compares the slots that it holds with the map.
	slotsPeriod = time.Second
	// slotsAtOnce bounds the slots whose hand-over is under way at a time.
	slotsAtOnce = 8
)

// slotCalls are the calls about anchor slots.
func (t *Transfer) slotCalls() []seat.Call {
	return []seat.Call{
		seat.Answers(t.Seat, wire.MethodHandOverSlot, seat.Only(link.RoleNode), seat.RegionLeads,
			t.handOverSlot),
		seat.Answers(t.Seat, wire.MethodDealSlots, seat.Operators(link.RightOperator,
			seat.Asked(dealtRegions)), seat.FederationLeads, t.dealSlots).When(seat.Hurts(
			func(_ *wire.Map, d *wire.DealSlots) bool { return d.Force })),
		seat.Answers(t.Seat, wire.MethodSettleSlots, seat.Only(link.RoleNode).Or(link.RightOperator,
			seat.Of(func(s *wire.SettleSlots) wire.RegionID { return s.Region })),
			seat.FederationLeads, t.settleSlots).When(seat.Always[wire.SettleSlots]()),
	}
}

// LeadSlots keeps the slots that the region's log holds what the map says, on the leader: grants
// those of the founding, takes over those that were dealt since, and settles their deals.
func (t *Transfer) LeadSlots(ctx context.Context) error {
	var confirming sync.WaitGroup
	defer confirming.Wait()
	confirming.Go(func() { t.keepDeals(ctx) })
	return seat.Every(ctx, slotsPeriod, func() error {
		err := t.slotsRound(ctx)
		if err != nil && ctx.Err() == nil {
			t.Log.LogAttrs(ctx, slog.LevelWarn, "anchor slots wait",
				slog.String("reason", err.Error()))
		}
		return nil
	})
}

// GrantSlots logs the anchor slots that the founding map deals to the region, once.
func (t *Transfer) GrantSlots(ctx context.Context) error {
	if err := t.RegionGroup.Read(ctx); err != nil {
		return err
	}
	m, ok := t.Federation.Map()
	if !ok {
		return wire.Errorf(wire.NotReady, "the federation has no map yet")
	}
	grant := wire.GrantSlots{SlotEpoch: wire.SlotEpochFounding}
	for s := range wire.Slot(wire.Slots) {
		epoch, _ := t.Region.SlotAt(s)
		if t.foundingSlot(m, s) && epoch < wire.SlotEpochFounding {
			grant.Slots = append(grant.Slots, s)
		}
	}
	if len(grant.Slots) == 0 {
		return nil
	}
	return t.RegionQueue.Do(ctx, wire.CmdGrantSlots, &grant, nil)
}

func (t *Transfer) slotsRound(ctx context.Context) error {
	m, ok := t.Federation.Map()
	if !ok {
		return nil
	}
	var g errgroup.Group
	away := &absent{}
	g.SetLimit(slotsAtOnce)
	var errs [wire.Slots]error
	var late [wire.Slots]bool
	var done, granted wire.SettleSlots
	var gone []wire.Command
	for s := range wire.Slot(wire.Slots) {
		epoch, held := t.Region.SlotAt(s)
		deal, moving := m.SlotDeal(s)
		if m.Anchor(s) != t.RegionID {
			if held && !moving && epoch < m.SlotEpoch(s) {
				gone = append(gone, wire.Command{Kind: wire.CmdFenceSlot,
					Body: wire.Encode(&wire.FenceSlot{Slot: s, Epoch: m.SlotEpoch(s)})})
			}
			continue
		}
		if m.SlotEpoch(s) == wire.SlotEpochFounding {
			continue
		}
		held = held && epoch == m.SlotEpoch(s)
		switch {
		case held && moving && !deal.Forced:
			done.Slots, done.Epochs = append(done.Slots, s), append(done.Epochs, epoch)
			continue
		case held && moving && !deal.Granted:
			granted.Slots, granted.Epochs = append(granted.Slots, s), append(granted.Epochs, epoch)
			continue
		case held && !moving:
			continue
		}
		g.Go(func() error {
			late[s], errs[s] = t.takeSlot(ctx, m, s, deal, moving, away)
			return nil // one slot that waits holds up no other
		})
	}
	g.Wait()
	for s := range wire.Slot(wire.Slots) {
		if late[s] {
			done.Slots, done.Epochs = append(done.Slots, s), append(done.Epochs, m.SlotEpoch(s))
		}
	}
	return errors.Join(firstOf(errs[:]), t.settle(ctx, done, false), t.settle(ctx, granted, true),
		t.giveUpSlots(ctx, gone))
}

// giveUpSlots fences slots that were taken from this region by force, and that nobody asks it for
// any more.
func (t *Transfer) giveUpSlots(ctx context.Context, fences []wire.Command) error {
	if len(fences) == 0 {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, wire.OwnerWait)
	defer cancel()
	_, err := t.RegionQueue.Submit(ctx, fences)
	return err
}

// absent notes the regions that did not answer in a round, so that not every slot waits for them.
type absent struct {
	mu      sync.Mutex
	regions map[wire.RegionID]bool // guarded by mu
}

func (a *absent) note(r wire.RegionID) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.regions == nil {
		a.regions = map[wire.RegionID]bool{}
	}
	a.regions[r] = true
}

func (a *absent) is(r wire.RegionID) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.regions[r]
}

// firstOf stands for the rest, which are alike.
func firstOf(errs []error) error {
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}

// takeSlot takes over one slot: from its old holder, or, if the deal is forced and its time has
// come, by what the directory says. What the old holder of a forced deal still knows is added when
// it is back: late says that it was, and that the deal is done with. A slot that the region has by
// the map, without a deal, and not by its log, it had before it was restored from a backup.
func (t *Transfer) takeSlot(ctx context.Context, m *wire.Map, s wire.Slot, deal wire.SlotDeal,
	moving bool, away *absent) (late bool, err error) {
	if !moving {
		return false, t.markSlot(ctx, s, m.SlotEpoch(s))
	}
	from, _ := m.RegionByTag(deal.From)
	epoch, held := t.Region.SlotAt(s)
	held = held && epoch == m.SlotEpoch(s)
	now, err := t.RegionTime(ctx)
	if err != nil {
		return false, err
	}
	waits := now < deal.At.Add(wire.SlotForceWait)
	if deal.Stray && !held && waits {
		return false, wire.Errorf(wire.Unavailable, "slot %d was not yet where it is taken from", s)
	}
	err = t.copySlot(ctx, from.ID, s, m.SlotEpoch(s), deal.Stray, away)
	switch {
	case err == nil && held:
		return true, nil
	case err == nil && !deal.Stray, held && wire.Retriable(err):
		return false, nil
	case !deal.Forced || waits:
		return false, err
	}
	return false, t.markSlot(ctx, s, m.SlotEpoch(s))
}

// copySlot imports a slot page by page from its old holder. With stray that one may never have had
// it, or not all: what it knows is taken, and does not make this region the holder.
func (t *Transfer) copySlot(ctx context.Context, from wire.RegionID, s wire.Slot, epoch uint64,
	stray bool, away *absent) error {
	q := wire.HandOverSlot{Slot: s, Epoch: epoch}
	for {
		page, err := t.askSlot(ctx, from, &q, away)
		if err != nil {
			return err
		}
		if err := t.importSlot(ctx, &wire.ImportSlot{Slot: s, Epoch: epoch, Rows: page.Rows,
			More: page.More || stray}); err != nil || !page.More {
			return err
		}
		q.After = page.Last
	}
}

func (t *Transfer) askSlot(ctx context.Context, from wire.RegionID, q *wire.HandOverSlot,
	away *absent) (*wire.SlotPage, error) {
	if away.is(from) {
		return nil, wire.Errorf(wire.Unavailable, "region %s does not answer", from)
	}
	ctx, cancel := context.WithTimeout(ctx, wire.OwnerWait)
	defer cancel()
	page := new(wire.SlotPage)
	err := t.CallRegion(ctx, from, wire.MethodHandOverSlot, q, page)
	if errors.Is(err, wire.Unavailable) || errors.Is(err, wire.OutcomeUnknown) {
		away.note(from)
	}
	return page, err
}

// markSlot imports a slot whose old holder is lost. The directory names every code of it that is
// claimed, or being claimed: whoever began to claim one before the deal is in this replica, which
// has the deal, and whoever begins later asks this region.
func (t *Transfer) markSlot(ctx context.Context, s wire.Slot, epoch uint64) error {
	var above wire.Recipient
	for {
		marks, more, err := t.Federation.SlotMarks(s, above, wire.SlotRowsMax)
		if err != nil {
			return err
		}
		if err := t.importSlot(ctx, &wire.ImportSlot{Slot: s, Epoch: epoch, Marks: marks,
			More: more}); err != nil {
			return err
		}
		if !more {
			t.Log.LogAttrs(ctx, slog.LevelDebug, "anchor slot taken without its old holder",
				slog.Int("slot", int(s)))
			return nil
		}
		above = marks[len(marks)-1].Recipient
	}
}

func (t *Transfer) importSlot(ctx context.Context, m *wire.ImportSlot) error {
	ctx, cancel := context.WithTimeout(ctx, wire.OwnerWait)
	defer cancel()
	return t.RegionQueue.Do(ctx, wire.CmdImportSlot, m, nil)
}

// settle tells the federation that slots have arrived.
func (t *Transfer) settle(ctx context.Context, d wire.SettleSlots, granted bool) error {
	if len(d.Slots) == 0 {
		return nil
	}
	d.Region, d.Granted = t.RegionID, granted
	ctx, cancel := context.WithTimeout(ctx, wire.OwnerWait)
	defer cancel()
	return t.CallFederation(ctx, wire.MethodSettleSlots, &d, nil)
}

// handOverSlot answers MethodHandOverSlot on the old holder's leader: it fences the slot, if that
// was not done before, and answers a page.
func (t *Transfer) handOverSlot(ctx context.Context, from link.Identity, q *wire.HandOverSlot) (
	*wire.SlotPage, error) {
	m := t.Map()
	deal, moving := m.SlotDeal(q.Slot)
	holder, _ := m.RegionByTag(deal.From)
	switch {
	case m.SlotEpoch(q.Slot) < q.Epoch:
		return nil, wire.Errorf(wire.NotReady, "the deal of slot %d is not known here yet", q.Slot)
	case !moving || m.SlotEpoch(q.Slot) != q.Epoch || m.Anchor(q.Slot) != from.Region ||
		holder.ID != t.RegionID:
		return nil, wire.Errorf(wire.Forbidden, "slot %d is not on its way from %s to %s", q.Slot,
			t.RegionID, from.Region)
	}
	if epoch, held := t.Region.SlotAt(q.Slot); held || epoch < q.Epoch {
		err := t.RegionQueue.Do(ctx, wire.CmdFenceSlot,
			&wire.FenceSlot{Slot: q.Slot, Epoch: q.Epoch}, nil)
		if err != nil {
			return nil, err
		}
	} else if err := t.RegionGroup.Read(ctx); err != nil {
		return nil, err
	}
	page, err := t.Region.HandOverSlot(*q)
	if err != nil {
		return nil, err
	}
	return page, nil
}

// settleSlots answers MethodSettleSlots: a new holder's leader, or an operator who writes off what
// a lost region knew.
func (t *Transfer) settleSlots(ctx context.Context, from link.Identity, d *wire.SettleSlots) (
	*seat.None, error) {
	if from.Role == link.RoleOperator {
		m := t.Map()
		var given []wire.RegionID // those whose knowledge is given up
		for _, slot := range d.Slots {
			deal, moving := m.SlotDeal(slot)
			if moving && !deal.Granted {
				return nil, wire.Errorf(wire.Conflict, "slot %d is not taken over yet: written off "+
					"now, its new holder would not wait for the old one", slot)
			}
			if from, _ := m.RegionByTag(deal.From); moving && !slices.Contains(given, from.ID) {
				given = append(given, from.ID)
			}
		}
		for _, region := range given {
			if err := t.CheckLost("slots write-off", region, d.Healthy); err != nil {
				return nil, err
			}
		}
		d.Healthy = false // it is said to this process
		_, err := t.Administrate(ctx, from, "slots write-off", wire.CmdSettleSlots, d)
		return nil, err
	}
	if from.Region != d.Region {
		return nil, wire.Errorf(wire.Forbidden, "a node speaks for its own region only")
	}
	return nil, t.FederationQueue.Do(ctx, wire.CmdSettleSlots, d, nil)
}

// dealtRegions are those that slots go to and those that they are taken from.
func dealtRegions(m *wire.Map, d *wire.DealSlots) []wire.RegionID {
	regions := seat.Just(d.To)
	note := func(r wire.RegionID) {
		if r != "" && !slices.Contains(regions, r) {
			regions = append(regions, r)
		}
	}
	for _, s := range d.Slots {
		if int(s) >= wire.Slots {
			continue // refused later on
		}
		note(m.Anchor(s))
		if deal, moving := m.SlotDeal(s); moving {
			from, _ := m.RegionByTag(deal.From)
			note(from.ID)
		}
	}
	return regions
}
