package transfer

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/staffetta/staffetta/internal/codec"
	"github.com/staffetta/staffetta/wire"
)

const (
	// movesScan bounds the moves that a round looks at: as many as a region of ten million people
	// sees in a week, should one region be away for that long.
	movesScan = 4096
	// movePause is how long a region is left alone after a move to it did not get on.
	movePause = time.Second
)

// moves drives the moves out of this region, on its leader. The old owner drives, not the new one:
// it has the session that asks, the data, and the fence to lift when the move is aborted; nothing
// is under way that its log does not know. Whatever it does may be repeated, so that any leader can
// go on from any point.
//
// Moves to one region are driven one after the other, those to several side by side.
type moves struct {
	*Transfer

	// Owned by run: the regions to which moves are being driven, and the move to each with which
	// the last round to there ended, since it had to wait.
	busy  map[wire.RegionID]bool
	ended map[wire.RegionID]wire.Recipient
}

// driven is the end of a round to a region.
type driven struct {
	to    wire.RegionID
	ended wire.Recipient // the move that had to wait; zero: none
}

// run drives moves for as long as this node leads the region.
func (d *moves) run(ctx context.Context) error {
	d.busy, d.ended = make(map[wire.RegionID]bool), make(map[wire.RegionID]wire.Recipient)
	var all sync.WaitGroup
	defer all.Wait()
	freed := make(chan driven, wire.RegionsMax) // a region is in it once
	for {
		changed := d.Region.PendingChanged()
		list, err := d.Region.Moves(movesScan)
		if err != nil {
			return err
		}
		for to, list := range d.due(list) {
			d.busy[to] = true
			all.Go(func() {
				freed <- driven{to, d.driveTo(ctx, to, list)}
			})
		}
		select {
		case <-changed:
		case r := <-freed:
			delete(d.busy, r.to)
			d.ended[r.to] = r.ended
		case <-ctx.Done():
			return nil
		}
	}
}

// due sorts moves by region, but for busy ones. Those come first that need no answer of the
// region, then those behind the one with which the last round ended: should that one be stuck for a
// reason of its own, the others get on.
func (d *moves) due(list []wire.Move) map[wire.RegionID][]wire.Move {
	work := map[wire.RegionID][]wire.Move{}
	for _, m := range list {
		if !d.busy[m.To] {
			work[m.To] = append(work[m.To], m)
		}
	}
	rank := func(m wire.Move) int {
		if m.State == wire.MoveIntended && m.Aborting {
			return 0
		}
		return 1
	}
	for to, list := range work {
		ended := d.ended[to]
		behind := slices.IndexFunc(list, func(m wire.Move) bool {
			return bytes.Compare(m.Recipient[:], ended[:]) > 0
		})
		if behind > 0 && !ended.IsZero() {
			list = append(list[behind:len(list):len(list)], list[:behind]...)
			work[to] = list
		}
		slices.SortStableFunc(list, func(a, b wire.Move) int { return cmp.Compare(rank(a), rank(b)) })
	}
	return work
}

// driveTo drives moves to one region. When some did not get on it returns only after a pause, and
// names the one with which it ended early, as the others seemed to wait for the same.
func (d *moves) driveTo(ctx context.Context, to wire.RegionID, list []wire.Move) (
	ended wire.Recipient) {
	var last error
	left := 0
	for i := range list {
		err := d.drive(ctx, &list[i])
		if err == nil {
			continue
		}
		last, left = err, left+1
		if ctx.Err() != nil || wire.Retriable(err) {
			ended, left = list[i].Recipient, len(list)-i
			break
		}
	}
	if left == 0 || ctx.Err() != nil {
		return ended
	}
	d.Log.LogAttrs(ctx, slog.LevelWarn, "moves wait", slog.String("to", string(to)),
		slog.Int("codes", left), slog.String("reason", last.Error()))
	select {
	case <-time.After(movePause):
	case <-ctx.Done():
	}
	return ended
}

// drive brings one move to its end, from wherever it is. The directory is asked first: where it
// knows the end, the new owner's word adds nothing, which may have learned it from there.
func (d *moves) drive(ctx context.Context, m *wire.Move) error {
	switch end, err := d.end(m); {
	case err != nil:
		return err
	case end == moveArrived:
		return d.log(ctx, wire.CmdMoveDone, d.step(m))
	case end == moveAborted:
		return d.undo(ctx, m)
	}
	if m.Aborting {
		return d.abort(ctx, m)
	}
	if m.State == wire.MoveIntended {
		op := wire.DirectoryOp{Kind: wire.OpMove, Recipient: m.Recipient,
			Region: d.RegionID, Epoch: m.Epoch - 1, To: m.To}
		switch err := d.tellDirectory(ctx, op); {
		case errors.Is(err, wire.NotFound) || errors.Is(err, wire.Conflict):
			return d.giveUp(ctx, m, err) // no such region, or it takes nobody any more
		case err != nil:
			return err
		}
	}
	if m.State == wire.MoveFenced {
		d.remind(ctx, m)
	}
	// Nothing is given up before the new owner is known to be there.
	progress, err := d.ask(ctx, m, wire.MethodMoveOffer)
	if err != nil {
		return err
	}
	if m.State == wire.MoveIntended {
		if err := d.log(ctx, wire.CmdMoveFence, d.step(m)); err != nil {
			return err
		}
	}
	return d.handOver(ctx, m, progress)
}

// step is the move as this region's log has it; the other side is the new owner.
func (d *moves) step(m *wire.Move) *wire.MoveStep {
	return &wire.MoveStep{Recipient: m.Recipient, Epoch: m.Epoch, Region: m.To}
}

// handOver gives the new owner, page by page, what it does not have yet.
func (d *moves) handOver(ctx context.Context, m *wire.Move, progress *wire.MoveProgress) error {
	for !progress.Owned {
		if progress.Refused { // a copy that was restored does not know that the abort was asked for
			return d.giveUp(ctx, m, wire.Errorf(wire.Conflict, "region %s refused it", m.To))
		}
		page, err := d.Region.ExportMove(m.Recipient, progress.Next)
		if err != nil {
			return err
		}
		page.Epoch, page.From = m.Epoch, d.RegionID
		before := progress.Next
		if progress, err = d.call(ctx, m.To, wire.MethodMovePage, page); err != nil {
			return err
		}
		if !progress.Owned && !progress.Refused && slices.Equal(progress.Next, before) {
			return wire.Errorf(wire.Internal, "region %s does not get on with a move", m.To)
		}
	}
	return d.done(ctx, m)
}

// remind tells the directory of a move again that it has forgotten: it was restored from a copy
// that is older than the move. Until it knows, the new owner takes nothing.
func (d *moves) remind(ctx context.Context, m *wire.Move) {
	e, err := d.Federation.Directory(m.Recipient)
	if err != nil || e.State != wire.Claimed || e.Region != d.RegionID ||
		e.Epoch+1 != m.Epoch {
		return
	}
	op := wire.DirectoryOp{Kind: wire.OpMove, Recipient: m.Recipient, Region: d.RegionID,
		Epoch: m.Epoch - 1, To: m.To}
	if err := d.tellDirectory(ctx, op); err != nil {
		d.Log.LogAttrs(ctx, slog.LevelWarn, "the directory was not told of a move again",
			slog.String("to", string(m.To)), slog.String("reason", err.Error()))
	}
}

// done ends a move that has arrived, once the directory knows of that. Not before: were the new
// owner restored from a copy without the move's last page, only this region's log could begin the
// handover again, and the directory would still have the code on its way.
func (d *moves) done(ctx context.Context, m *wire.Move) error {
	for until := time.Now().Add(moveWait); ; {
		end, err := d.end(m)
		switch {
		case err != nil:
			return err
		case end == moveArrived:
			return d.log(ctx, wire.CmdMoveDone, d.step(m))
		case end == moveAborted:
			return d.undo(ctx, m)
		case !time.Now().Before(until):
			return wire.Errorf(wire.NotReady, "the directory does not know yet that region %s has "+
				"the code", m.To)
		}
		select {
		case <-time.After(movePoll):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// moveEnd is how a move ended, as far as the directory knows.
type moveEnd uint8

const (
	moveOpen    moveEnd = iota // not yet: the new owner's log decides
	moveArrived                // the new owner had it, and may have given it on since
	moveAborted                // the old owner has it again
)

// endOf says how a move from a region ended, whose log has own. An epoch alone does not tell: the
// one after the move's is the old owner's when the move was aborted, and somebody else's when the
// citizen went on from there. One who came back is owned in the log, at that epoch.
func endOf(e wire.DirectoryEntry, own wire.Ownership, from wire.RegionID, m *wire.Move) moveEnd {
	switch {
	case e.State == wire.Unclaimed || e.Epoch < m.Epoch:
		return moveOpen
	case e.Region == from && e.Epoch == m.Epoch+1 && own.Epoch < e.Epoch:
		return moveAborted
	}
	return moveArrived
}

// end is endOf as this node knows it.
func (d *moves) end(m *wire.Move) (moveEnd, error) {
	e, err := d.Federation.Directory(m.Recipient)
	if err != nil {
		return moveOpen, err
	}
	own, _, err := d.Region.Ownership(m.Recipient)
	return endOf(e, own, d.RegionID, m), err
}

// abort ends a move without effect, unless the new owner has the code by now. Before the fence the
// new owner has nothing and need not be asked; after it, its log decides.
func (d *moves) abort(ctx context.Context, m *wire.Move) error {
	if m.State == wire.MoveFenced {
		progress, err := d.ask(ctx, m, wire.MethodMoveRefuse)
		if err != nil {
			return err
		}
		if progress.Owned {
			return d.done(ctx, m)
		}
	}
	err := d.tellDirectory(ctx, wire.DirectoryOp{Kind: wire.OpMoveAborted,
		Recipient: m.Recipient, Region: d.RegionID, Epoch: m.Epoch})
	if err != nil {
		return err
	}
	return d.undo(ctx, m)
}

// undo makes this region the owner again of a code whose move was aborted, as the directory has it.
func (d *moves) undo(ctx context.Context, m *wire.Move) error {
	if !m.Aborting { // a copy that was restored does not know that somebody asked for it
		if err := d.log(ctx, wire.CmdMoveAbort, &wire.MoveRef{Recipient: m.Recipient}); err != nil {
			return err
		}
	}
	return d.log(ctx, wire.CmdMoveUndo, d.step(m))
}

// giveUp asks for the end of a move that cannot be made.
func (d *moves) giveUp(ctx context.Context, m *wire.Move, why error) error {
	d.Log.LogAttrs(ctx, slog.LevelWarn, "move given up", slog.String("to", string(m.To)),
		slog.String("reason", why.Error()))
	return d.log(ctx, wire.CmdMoveAbort, &wire.MoveRef{Recipient: m.Recipient})
}

// log logs a step in this region's log.
func (d *moves) log(ctx context.Context, kind wire.CommandKind, m codec.Message) error {
	ctx, cancel := context.WithTimeout(ctx, wire.OwnerWait)
	defer cancel()
	return d.RegionQueue.Do(ctx, kind, m, nil)
}

// ask asks the new owner's leader about a move.
func (d *moves) ask(ctx context.Context, m *wire.Move, method wire.Method) (*wire.MoveProgress,
	error) {
	return d.call(ctx, m.To, method, &wire.MoveStep{Recipient: m.Recipient, Epoch: m.Epoch,
		Region: d.RegionID})
}

func (d *moves) call(ctx context.Context, to wire.RegionID, method wire.Method,
	m codec.Message) (*wire.MoveProgress, error) {
	ctx, cancel := context.WithTimeout(ctx, wire.OwnerWait)
	defer cancel()
	progress := new(wire.MoveProgress)
	return progress, d.CallRegion(ctx, to, method, m, progress)
}

// tellDirectory makes one operation hold. One that does not means that the directory knows better
// than this region's log, as after a restore: then nothing is to be done but by who restores.
func (d *moves) tellDirectory(ctx context.Context, op wire.DirectoryOp) error {
	ctx, cancel := context.WithTimeout(ctx, wire.OwnerWait)
	defer cancel()
	var results wire.DirectoryResults
	err := d.CallFederation(ctx, wire.MethodFederation, &wire.DirectoryOps{
		List: []wire.DirectoryOp{op}, Incarnation: d.Region.Incarnation()}, &results)
	if err != nil {
		return err
	}
	if len(results.List) != 1 {
		return wire.Errorf(wire.Internal, "%d results for one operation", len(results.List))
	}
	if err := results.List[0].Err; err != nil {
		return err
	}
	if e := results.List[0].Entry; !results.List[0].OK {
		return wire.Errorf(wire.Internal, "the directory contradicts the region's log: it has "+
			"region %q at epoch %d", e.Region, e.Epoch)
	}
	return nil
}
