package transfer

import (
	"fmt"

	"github.com/staffetta/staffetta/wire"
)

// What the old owner's leader does with a move, as movedrive.go does it, and what the new one's
// answers, as move.go does.

func (r *exploredRegion) driveMoves(only *exploredPlot) {
	list, err := r.state.Moves(movesScan)
	if err != nil {
		r.w.t.Fatal(err)
	}
	for i := range list {
		if p := r.w.plotOf(list[i].Recipient); only == nil || p == only {
			r.driveMove(p, &list[i])
		}
	}
}

func (r *exploredRegion) outgoing(m *wire.Move) *wire.MoveStep {
	return &wire.MoveStep{Recipient: m.Recipient, Epoch: m.Epoch, Region: m.To}
}

func (r *exploredRegion) driveMove(p *exploredPlot, m *wire.Move) {
	w := r.w
	if r.endMove(p, m) {
		return
	}
	if m.Aborting {
		r.abortMove(p, m)
		return
	}
	if m.State == wire.MoveIntended {
		results, err := r.tellDirectory(p, wire.DirectoryOp{Kind: wire.OpMove,
			Recipient: m.Recipient, Region: r.id, Epoch: m.Epoch - 1, To: m.To})
		if err != nil || !results.List[0].OK || w.chance(5) {
			return
		}
	}
	if e := w.directory(m.Recipient); m.State == wire.MoveFenced && e.State == wire.Claimed &&
		e.Region == r.id && e.Epoch+1 == m.Epoch {
		r.tellDirectory(p, wire.DirectoryOp{Kind: wire.OpMove, Recipient: m.Recipient,
			Region: r.id, Epoch: m.Epoch - 1, To: m.To})
	}
	to := w.region(m.To)
	progress := to.offered(p, r, m)
	if progress == nil || w.chance(5) {
		return
	}
	if m.State == wire.MoveIntended && r.step(p, fmt.Sprintf("fence of %s for %s at %d",
		short(m.Recipient), m.To, m.Epoch), wire.CmdMoveFence, r.outgoing(m), nil) != nil {
		return
	}
	for !progress.Owned {
		if progress.Refused {
			r.step(p, "abort of "+short(m.Recipient)+", which was refused", wire.CmdMoveAbort,
				&wire.MoveRef{Recipient: m.Recipient}, nil)
			return
		}
		if w.chance(5) {
			return
		}
		page, err := r.state.ExportMove(m.Recipient, progress.Next)
		if err != nil {
			w.finding(p, "%s exports nothing of a citizen who moves: %v", r.id, err)
			return
		}
		page.Epoch, page.From = m.Epoch, r.id
		if w.chance(4) {
			w.housekeep(w.someRegion()) // time does not stand still between pages
		}
		if progress = to.takePage(p, page); progress == nil {
			return
		}
	}
	if !w.chance(5) {
		r.endMove(p, m)
	}
}

// endMove ends a move whose end the directory knows.
func (r *exploredRegion) endMove(p *exploredPlot, m *wire.Move) bool {
	own, _, err := r.state.Ownership(m.Recipient)
	if err != nil {
		r.w.t.Fatal(err)
	}
	switch endOf(r.w.directory(m.Recipient), own, r.id, m) {
	case moveArrived:
		r.step(p, fmt.Sprintf("%s has left for %s", short(m.Recipient), m.To), wire.CmdMoveDone,
			r.outgoing(m), nil)
	case moveAborted:
		r.undoMove(p, m)
	default:
		return false
	}
	return true
}

func (r *exploredRegion) undoMove(p *exploredPlot, m *wire.Move) {
	if !m.Aborting && r.step(p, "abort of "+short(m.Recipient), wire.CmdMoveAbort,
		&wire.MoveRef{Recipient: m.Recipient}, nil) != nil {
		return
	}
	r.step(p, fmt.Sprintf("move of %s to %s undone", short(m.Recipient), m.To), wire.CmdMoveUndo,
		r.outgoing(m), nil)
}

func (r *exploredRegion) abortMove(p *exploredPlot, m *wire.Move) {
	w := r.w
	if m.State == wire.MoveFenced {
		progress := w.region(m.To).refuse(p, r, m)
		if progress == nil || w.chance(5) {
			return
		}
		if progress.Owned {
			r.endMove(p, m)
			return
		}
	}
	results, err := r.tellDirectory(p, wire.DirectoryOp{Kind: wire.OpMoveAborted,
		Recipient: m.Recipient, Region: r.id, Epoch: m.Epoch})
	if err != nil || w.chance(5) {
		return
	}
	if !results.List[0].OK {
		p.note("%s: the directory contradicts an abort: %s has %s at %d", r.id,
			results.List[0].Entry.Region, short(m.Recipient), results.List[0].Entry.Epoch)
		return
	}
	r.undoMove(p, m)
}

// checkStep is Transfer.checkStep; nil: not now.
func (r *exploredRegion) checkStep(p *exploredPlot, code wire.Recipient,
	epoch wire.Epoch) *wire.MoveProgress {
	if !r.serves() {
		return nil
	}
	progress, err := r.state.MoveProgress(code, epoch)
	if err != nil {
		r.w.t.Fatal(err)
	}
	return progress
}

func (r *exploredRegion) awaits(from wire.RegionID, code wire.Recipient, epoch wire.Epoch) bool {
	e := r.w.directory(code)
	return e.State == wire.Moving && e.Region == from && e.Epoch+1 == epoch && e.To == r.id
}

func (r *exploredRegion) offered(p *exploredPlot, from *exploredRegion,
	m *wire.Move) *wire.MoveProgress {
	progress := r.checkStep(p, m.Recipient, m.Epoch)
	if progress == nil || progress.Owned || progress.Refused {
		return progress
	}
	if !r.awaits(from.id, m.Recipient, m.Epoch) {
		return nil
	}
	if out, leaving, err := r.state.Leaving(m.Recipient); err != nil {
		r.w.t.Fatal(err)
	} else if leaving && r.step(p, "earlier move of "+short(m.Recipient)+" ended",
		wire.CmdMoveDone, r.outgoing(&out), nil) != nil {
		return nil
	}
	for {
		remains, err := r.state.Remains(m.Recipient, m.Epoch)
		if err != nil {
			r.w.t.Fatal(err)
		}
		if !remains {
			return progress
		}
		if !r.eraseRemainsOf(p, m.Recipient) {
			return nil
		}
	}
}

func (r *exploredRegion) takePage(p *exploredPlot, page *wire.MovePage) *wire.MoveProgress {
	progress := r.checkStep(p, page.Recipient, page.Epoch)
	if progress == nil || progress.Owned || progress.Refused {
		return progress
	}
	if !r.awaits(page.From, page.Recipient, page.Epoch) {
		return nil
	}
	progress = new(wire.MoveProgress)
	what := fmt.Sprintf("page of %s from %s at %d, %d rows", short(page.Recipient), page.From,
		page.Epoch, len(page.Rows))
	if r.step(p, what, wire.CmdMovePage, page, progress) != nil {
		return nil
	}
	return progress
}

func (r *exploredRegion) refuse(p *exploredPlot, from *exploredRegion,
	m *wire.Move) *wire.MoveProgress {
	progress := r.checkStep(p, m.Recipient, m.Epoch)
	if progress == nil || progress.Owned || progress.Refused {
		return progress
	}
	if e := r.w.directory(m.Recipient); e.Region != from.id || e.Epoch+1 < m.Epoch {
		return nil
	}
	progress = new(wire.MoveProgress)
	if r.step(p, fmt.Sprintf("refusal of %s from %s at %d", short(m.Recipient), from.id, m.Epoch),
		wire.CmdMoveRefuse, &wire.MoveStep{Recipient: m.Recipient, Epoch: m.Epoch,
			Region: from.id}, progress) != nil {
		return nil
	}
	return progress
}

func (r *exploredRegion) eraseRemainsOf(p *exploredPlot, code wire.Recipient) bool {
	for {
		var erased wire.MoveErased
		if r.step(p, "remains of "+short(code)+" erased", wire.CmdMoveErase,
			&wire.MoveErase{Recipient: code}, &erased) != nil {
			return false
		}
		if !erased.More {
			return true
		}
	}
}

// housekeep does what is due.
func (w *explored) housekeep(r *exploredRegion) {
	if !r.serves() {
		return
	}
	for range 40 { // expiry follows time by an hour an entry
		e, due := r.state.DueExpiry(w.now)
		if !due {
			break
		}
		r.must(wire.CmdExpire, &e, nil)
	}
	for range 40 {
		e, due := r.state.DueSpoolExpiry(w.now)
		if !due {
			break
		}
		r.must(wire.CmdSpoolExpire, &e, nil)
	}
	list, err := r.state.DueRemains(w.now, remainsBatch)
	if err != nil {
		w.t.Fatal(err)
	}
	for _, code := range list {
		r.eraseRemainsOf(w.plotOf(code), code)
	}
	if r.state.Incarnation() > 0 {
		stranded, err := r.state.Imports(remainsBatch)
		if err != nil {
			w.t.Fatal(err)
		}
		for _, in := range stranded {
			if w.directory(in.Recipient).Epoch >= in.Epoch {
				r.eraseRemainsOf(w.plotOf(in.Recipient), in.Recipient)
			}
		}
	}
	refused, err := r.state.Refused(wire.Recipient{}, refusedBatch)
	if err != nil {
		w.t.Fatal(err)
	}
	for i := range refused {
		if w.directory(refused[i].Recipient).Epoch > refused[i].Epoch {
			r.must(wire.CmdMoveForget, &refused[i], nil)
		}
	}
	r.compareOwners()
	blocks, err := r.state.DueErasures(w.now, 16)
	if err != nil {
		w.t.Fatal(err)
	}
	for i := range blocks {
		if err := r.do(wire.CmdErase, &blocks[i], nil); err != nil && !honest(err) {
			w.finding(w.plots[0], "%s refuses to rewrite a block: %v", r.id, err)
		}
	}
}
