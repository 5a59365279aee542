package transfer

import (
	"fmt"

	"github.com/staffetta/staffetta/node/seat"
	"github.com/staffetta/staffetta/wire"
)

// What a region's leader does, one step at a time, as claim.go, handover.go, slots.go and
// restore_compare.go do it.

func (w *explored) plotOf(r wire.Recipient) *exploredPlot {
	for _, p := range w.plots {
		if p.slot == r.Slot() {
			return p
		}
	}
	w.t.Fatalf("world %d: no history has the code", w.seed)
	return nil
}

// short is how traces name a code.
func short(r wire.Recipient) string { return fmt.Sprintf("%x", r[2:4]) }

// tellDirectory makes operations of the region.
func (r *exploredRegion) tellDirectory(p *exploredPlot, ops ...wire.DirectoryOp) (
	wire.DirectoryResults, *wire.Error) {
	var results wire.DirectoryResults
	err := r.w.tell(wire.CmdMoveDirectory, &wire.DirectoryOps{List: ops,
		Incarnation: r.state.Incarnation()}, &results)
	if err != nil && !honest(err) {
		r.w.finding(p, "the directory refuses region %s: %v", r.id, err)
	}
	return results, err
}

// driveClaim takes one step of what is pending.
func (r *exploredRegion) driveClaims(only *exploredPlot) {
	list, err := r.state.Pending(claimsScan)
	if err != nil {
		r.w.t.Fatal(err)
	}
	for _, item := range list {
		if p := r.w.plotOf(item.Recipient); only == nil || p == only {
			r.driveClaim(p, item)
		}
	}
}

func (r *exploredRegion) driveClaim(p *exploredPlot, item wire.Pending) {
	op := wire.DirectoryOp{Kind: wire.OpClaim, Recipient: item.Recipient, Region: r.id, Epoch: 1}
	ops := []wire.DirectoryOp{op}
	if item.State == wire.Owned {
		own := wire.DirectoryOp{Kind: wire.OpOwn, Recipient: item.Recipient, Region: r.id,
			Epoch: item.Epoch}
		active := own
		active.Kind, active.Active = wire.OpSetActive, item.Active
		ops = []wire.DirectoryOp{own, active}
	}
	results, refused := r.tellDirectory(p, ops...)
	if refused != nil || r.w.chance(5) {
		return
	}
	last := results.List[len(results.List)-1]
	w, code, anchor := r.w, item.Recipient, r.w.currentMap().Anchor(p.slot)
	switch {
	case last.Err != nil:
		w.finding(p, "the directory refuses region %s: %v", r.id, last.Err)
	case item.State == wire.Owned:
		if !last.OK {
			p.note("%s: the directory contradicts: %s has %s at %d", r.id, last.Entry.Region,
				short(code), last.Entry.Epoch)
		}
		r.step(p, "noted "+short(code), wire.CmdPendingDone,
			&wire.PendingDone{Recipient: code, Seq: item.Seq}, nil)
	case !last.OK:
		r.step(p, "claim of "+short(code)+" aborted", wire.CmdClaimAbort, &wire.ClaimAbort{
			Recipient: code, Region: last.Entry.Region, Epoch: last.Entry.Epoch}, nil)
	case anchor == r.id && !r.anchors(p.slot):
	case anchor == r.id:
		r.step(p, "import of "+short(code)+" as the anchor", wire.CmdImport,
			&wire.Import{Recipient: code, Epoch: last.Entry.Epoch, Anchored: true}, nil)
	default:
		r.release(p, w.region(anchor), wire.Release{Recipient: code, To: r.id,
			Epoch: last.Entry.Epoch})
	}
}

// release has the anchor give a code up, page by page.
func (r *exploredRegion) release(p *exploredPlot, anchor *exploredRegion, q wire.Release) {
	for anchor.serves() && anchor.anchors(p.slot) {
		list := wire.Commands{List: []wire.Command{{Kind: wire.CmdRelease, Body: wire.Encode(&q)}}}
		results := anchor.entry(wire.CommandsEntry, wire.Encode(&list)).(*wire.Results)
		p.note("%s: release of %s to %s: %v", anchor.id, short(q.Recipient), r.id,
			results.List[0].Err)
		if r.w.chance(5) {
			return
		}
		commands, rest, failed := imports([]wire.Release{q}, results.List)
		if failed != nil && !honest(wire.AsError(failed)) {
			r.w.finding(p, "%s does not release to %s: %v", anchor.id, r.id, failed)
		}
		for _, c := range commands {
			var m wire.Import
			if err := wire.Decode(c.Body, &m); err != nil {
				r.w.t.Fatal(err)
			}
			what := fmt.Sprintf("import of %s from %s, %d rows", short(q.Recipient), anchor.id,
				len(m.Page.Rows))
			if r.step(p, what, c.Kind, &m, nil) != nil {
				return
			}
		}
		if len(rest) == 0 {
			return
		}
		q = rest[0]
	}
}

// driveSlot takes a slot a step nearer to what the map says of it.
func (r *exploredRegion) driveSlot(p *exploredPlot) {
	w, m, s := r.w, r.w.currentMap(), p.slot
	epoch, held := r.state.SlotAt(s)
	deal, moving := m.SlotDeal(s)
	if m.Anchor(s) != r.id {
		if held && !moving && epoch < m.SlotEpoch(s) {
			r.step(p, "fence by the map", wire.CmdFenceSlot,
				&wire.FenceSlot{Slot: s, Epoch: m.SlotEpoch(s)}, nil)
		}
		return
	}
	if m.SlotEpoch(s) == wire.SlotEpochFounding {
		return
	}
	held = held && epoch == m.SlotEpoch(s)
	settle := &wire.SettleSlots{Region: r.id, Slots: []wire.Slot{s}, Epochs: []uint64{epoch}}
	switch {
	case held && moving && !deal.Forced:
		w.tell(wire.CmdSettleSlots, settle, nil)
		return
	case held && moving && !deal.Granted:
		settle.Granted = true
		w.tell(wire.CmdSettleSlots, settle, nil)
		return
	case held && !moving:
		return
	case !moving:
		r.markSlot(p, m.SlotEpoch(s))
		return
	}
	if r.takeSlot(p, m, deal, held) {
		settle.Epochs[0] = m.SlotEpoch(s)
		w.tell(wire.CmdSettleSlots, settle, nil)
		p.note("%s: the late rows are here", r.id)
	}
}

// takeSlot is Node.takeSlot of a slot on its way.
func (r *exploredRegion) takeSlot(p *exploredPlot, m *wire.Map, deal wire.SlotDeal, held bool) (
	late bool) {
	w := r.w
	waited := w.now >= deal.At.Add(wire.SlotForceWait)
	if deal.Stray && !held && !waited {
		return false
	}
	from, _ := m.RegionByTag(deal.From)
	copied := r.copySlot(p, w.region(from.ID), m.SlotEpoch(p.slot), deal.Stray)
	switch {
	case copied && held:
		return true
	case copied && !deal.Stray, held:
		return false
	case !deal.Forced || !waited:
		return false
	}
	r.markSlot(p, m.SlotEpoch(p.slot))
	return false
}

// copySlot imports what the old holder knows.
func (r *exploredRegion) copySlot(p *exploredPlot, from *exploredRegion, epoch uint64,
	stray bool) bool {
	q := wire.HandOverSlot{Slot: p.slot, Epoch: epoch}
	for {
		if !from.serves() {
			return false
		}
		if at, held := from.state.SlotAt(p.slot); held || at < epoch {
			if from.step(p, fmt.Sprintf("fence for %s at %d", r.id, epoch), wire.CmdFenceSlot,
				&wire.FenceSlot{Slot: p.slot, Epoch: epoch}, nil) != nil {
				return false
			}
		}
		page, err := from.state.HandOverSlot(q)
		if err != nil || r.w.chance(5) {
			return false
		}
		what := fmt.Sprintf("import of the slot from %s at %d, %d rows", from.id, epoch,
			len(page.Rows))
		if r.step(p, what, wire.CmdImportSlot, &wire.ImportSlot{Slot: p.slot, Epoch: epoch,
			Rows: page.Rows, More: page.More || stray}, nil) != nil {
			return false
		}
		if !page.More {
			return true
		}
		q.After = page.Last
	}
}

// markSlot takes a slot without its old holder.
func (r *exploredRegion) markSlot(p *exploredPlot, epoch uint64) {
	marks, more, err := r.w.federation.SlotMarks(p.slot, wire.Recipient{}, wire.SlotRowsMax)
	if err != nil || more {
		r.w.t.Fatal(more, err)
	}
	r.step(p, fmt.Sprintf("the slot at %d by the directory, %d marks", epoch, len(marks)),
		wire.CmdImportSlot, &wire.ImportSlot{Slot: p.slot, Epoch: epoch, Marks: marks}, nil)
}

// reconcile compares a restored region with the directory.
func (r *exploredRegion) reconcile() {
	if r.away || r.state.Reconciled() {
		return
	}
	w, m := r.w, r.w.currentMap()
	granted := map[uint64][]wire.Slot{}
	for s := range wire.Slot(wire.Slots) {
		epoch, held := r.state.SlotAt(s)
		_, moving := m.SlotDeal(s)
		switch ours := m.Anchor(s) == r.id; {
		case held && !ours && epoch < m.SlotEpoch(s):
			r.must(wire.CmdFenceSlot, &wire.FenceSlot{Slot: s, Epoch: m.SlotEpoch(s)}, nil)
		case ours && !moving && epoch < m.SlotEpoch(s):
			granted[m.SlotEpoch(s)] = append(granted[m.SlotEpoch(s)], s)
		}
	}
	for epoch, slots := range granted {
		r.must(wire.CmdGrantSlots, &wire.GrantSlots{SlotEpoch: epoch, Slots: slots}, nil)
	}
	c := &comparison{Seat: &seat.Seat{RegionID: r.id}, m: m,
		page: wire.Reconcile{Incarnation: r.state.Incarnation(), Done: true}}
	var err error
	if c.directory, err = w.federation.Entries(wire.Recipient{}, comparePage); err != nil {
		w.t.Fatal(err)
	}
	if c.owners, err = r.state.Owners(wire.Recipient{}, comparePage); err != nil {
		w.t.Fatal(err)
	}
	for len(c.directory) > 0 || len(c.owners) > 0 {
		c.one()
	}
	for _, k := range c.page.List {
		w.plotOf(k.Recipient).note("%s: compared: %s is %s's at %d, leaving %v", r.id,
			short(k.Recipient), k.Region, k.Epoch, k.Leaving)
	}
	r.must(wire.CmdReconcile, &c.page, nil)
}

// compareOwners is what owners does.
func (r *exploredRegion) compareOwners() {
	list, err := r.state.Owners(wire.Recipient{}, ownersPage)
	if err != nil {
		r.w.t.Fatal(err)
	}
	for i := range list {
		o, p := &list[i], r.w.plotOf(list[i].Recipient)
		e := r.w.directory(o.Recipient)
		switch contradiction(o, e, r.id) {
		case ownedTwice:
			r.w.finding(p, "%s owns %s, and the directory has %+v", r.id, short(o.Recipient), e)
		case ownedNowhere:
			r.w.finding(p, "%s gave %s up, and the directory has %+v", r.id, short(o.Recipient), e)
		case toldWrong:
			r.tellDirectory(p, wire.DirectoryOp{Kind: wire.OpSetActive, Recipient: o.Recipient,
				Region: r.id, Epoch: o.Epoch, Active: o.Active})
		}
	}
}
