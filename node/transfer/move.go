package transfer

import (
	"context"
	"errors"
	"time"

	"github.com/staffetta/staffetta/internal/codec"
	"github.com/staffetta/staffetta/node/seat"
	"github.com/staffetta/staffetta/wire"
	"github.com/staffetta/staffetta/wire/link"
)

const (
	// moveWait bounds how long a new owner waits for its replica of the federation to hear of a
	// move that the old one has logged there; it hears within a round trip.
	moveWait = time.Second
	// movePoll is how often it looks meanwhile.
	movePoll = 20 * time.Millisecond
	// remainsBatch bounds the citizens whose remains are erased at one look.
	remainsBatch = 64
)

// moveCalls are the calls about citizens' moves; wire/move.go has the steps.
func (t *Transfer) moveCalls() []seat.Call {
	nodes, movers := seat.Only(link.RoleNode), seat.Only(link.RoleGateway)
	return []seat.Call{
		// Of an operator the order has asked for the right in the other region.
		seat.Answers(t.Seat, wire.MethodMove, movers.Or(link.RightOperator, seat.Here),
			seat.RegionLeads, t.move).ByOne(seat.Undone),
		seat.Answers(t.Seat, wire.MethodGetMove, movers.Or(link.RightObserver, seat.Here),
			seat.RegionShows, t.getMove),
		seat.Answers(t.Seat, wire.MethodAbortMove, seat.Operators(link.RightOperator, seat.Here),
			seat.RegionDecides, t.abortMove).ByOne(seat.Undone),
		seat.Answers(t.Seat, wire.MethodOrderMove, seat.Operators(link.RightOperator, movedBetween),
			seat.FederationLeads, t.orderMove).ByOne(seat.Undone),
		seat.Answers(t.Seat, wire.MethodMoveOffer, nodes, seat.RegionDecides, t.moveOffer),
		seat.Answers(t.Seat, wire.MethodMovePage, nodes, seat.RegionDecides, t.movePage),
		seat.Answers(t.Seat, wire.MethodMoveRefuse, nodes, seat.RegionDecides, t.moveRefuse),
	}
}

// checkMover checks who asks: a gateway for a session's citizen, an operator for a recipient.
func checkMover(from link.Identity, token wire.TokenHash) error {
	if (from.Role == link.RoleGateway) == (token == wire.TokenHash{}) {
		return wire.Errorf(wire.Forbidden, "a gateway moves the citizen of a session, an "+
			"operator a recipient")
	}
	return nil
}

// move answers MethodMove: the intent is in this region's log, and its leader drives the rest. What
// an operator orders needs a majority that has answered now. What citizens ask does not: they are
// at the other end, and ask again.
func (t *Transfer) move(ctx context.Context, from link.Identity, m *wire.MoveIntent) (
	*wire.Move, error) {
	if err := checkMover(from, m.Token); err != nil {
		return nil, err
	}
	if from.Role == link.RoleOperator {
		if err := t.Guard(ctx, seat.RegionDecides); err != nil {
			return nil, err
		}
	}
	switch to, ok := t.Map().RegionByID(m.To); {
	case !ok:
		return nil, wire.Errorf(wire.NotFound, "no region %q on the map", m.To)
	case to.Closing && m.To != t.RegionID:
		return nil, wire.Errorf(wire.Conflict, "region %s is closing", m.To)
	}
	var answer wire.Move
	if err := t.RegionQueue.Do(ctx, wire.CmdMoveIntent, m, &answer); err != nil {
		return nil, err
	}
	return &answer, nil
}

func (t *Transfer) getMove(ctx context.Context, from link.Identity, q *wire.MoveRef) (
	*wire.Move, error) {
	if err := checkMover(from, q.Token); err != nil {
		return nil, err
	}
	now, err := t.RegionTime(ctx)
	if err != nil {
		return nil, err
	}
	return t.Region.Move(*q, now)
}

func (t *Transfer) abortMove(ctx context.Context, from link.Identity, q *wire.MoveRef) (
	*wire.Move, error) {
	if err := checkMover(from, q.Token); err != nil {
		return nil, err
	}
	var answer wire.Move
	if err := t.RegionQueue.Do(ctx, wire.CmdMoveAbort, q, &answer); err != nil {
		return nil, err
	}
	return &answer, nil
}

// orderMove answers MethodOrderMove: an operator's order, held against map and directory, stands
// in the operators' log before the owner is asked.
func (t *Transfer) orderMove(ctx context.Context, from link.Identity, m *wire.MoveOrder) (
	*wire.DirectoryEntry, error) {
	action := "move"
	if m.Abort {
		action = "move --abort"
	}
	result, err := t.Administrate(ctx, from, action, wire.CmdMoveOrder, m)
	if err != nil {
		return nil, err
	}
	e := new(wire.DirectoryEntry)
	return e, wire.Decode(result.Body, e)
}

// moveOffer answers MethodMoveOffer, the old owner's question before it gives a code up, and
// before it goes on after a change of leaders: how far is this region with the move? On return
// nothing remains here of an earlier stay of the citizen.
func (t *Transfer) moveOffer(ctx context.Context, from link.Identity, m *wire.MoveStep) (
	*wire.MoveProgress, error) {
	progress, err := t.checkStep(from, m)
	if err != nil {
		return nil, err
	}
	if progress.Owned || progress.Refused {
		return progress, nil
	}
	if err := t.awaitMove(ctx, m); err != nil {
		return nil, err
	}
	if err := t.endEarlier(ctx, m.Recipient); err != nil {
		return nil, err
	}
	for {
		remains, err := t.Region.Remains(m.Recipient, m.Epoch)
		if err != nil {
			return nil, err
		}
		if !remains {
			return progress, nil
		}
		if err := t.eraseRemainsOf(ctx, m.Recipient); err != nil {
			return nil, err
		}
	}
}

// endEarlier ends the move of a citizen who is on the way back: that one arrived, or there would be
// none to here. Without that, what is here of the earlier stay would not be known for remains, and
// the citizen could never leave again.
func (t *Transfer) endEarlier(ctx context.Context, r wire.Recipient) error {
	m, leaving, err := t.Region.Leaving(r)
	if err != nil || !leaving {
		return err
	}
	return t.RegionQueue.Do(ctx, wire.CmdMoveDone, &wire.MoveStep{Recipient: r, Epoch: m.Epoch,
		Region: m.To}, nil)
}

// checkStep checks that this node can log a step of a move that the caller's region drives, and
// says how far this region is with it.
func (t *Transfer) checkStep(from link.Identity, m *wire.MoveStep) (*wire.MoveProgress, error) {
	if m.Region != from.Region {
		return nil, wire.Errorf(wire.Forbidden, "a node moves codes of its own region only")
	}
	if m.Recipient.IsZero() || m.Epoch == 0 {
		return nil, wire.Malformedf("step of a move without recipient or epoch")
	}
	page := []wire.Command{{Kind: wire.CmdMovePage}}
	if err := seat.Gate(page, t.Region.ActiveVersion()); err != nil {
		return nil, err
	}
	return t.Region.MoveProgress(m.Recipient, m.Epoch)
}

// awaitMove waits until this replica of the federation knows the move: without that, any region
// could plant a citizen here.
func (t *Transfer) awaitMove(ctx context.Context, m *wire.MoveStep) error {
	for end := time.Now().Add(moveWait); ; {
		e, err := t.Federation.Directory(m.Recipient)
		switch {
		case err != nil:
			return err
		case e.State == wire.Moving && e.Region == m.Region && e.Epoch+1 == m.Epoch && e.To == t.RegionID:
			return nil
		case e.Epoch+1 > m.Epoch:
			return wire.Errorf(wire.Conflict, "the directory knows a later owner of the code")
		case !time.Now().Before(end):
			return wire.Errorf(wire.NotReady, "the directory does not know of the move yet")
		}
		select {
		case <-time.After(movePoll):
		case <-ctx.Done():
			return wire.Errorf(wire.NotReady, "the directory does not know of the move yet")
		}
	}
}

// movePage answers MethodMovePage: one page, in this region's log when it is the one wanted.
func (t *Transfer) movePage(ctx context.Context, from link.Identity, m *wire.MovePage) (
	*wire.MoveProgress, error) {
	step := wire.MoveStep{Recipient: m.Recipient, Epoch: m.Epoch, Region: m.From}
	progress, err := t.checkStep(from, &step)
	if err != nil {
		return nil, err
	}
	if progress.Owned || progress.Refused {
		return progress, nil
	}
	if err := t.awaitMove(ctx, &step); err != nil {
		return nil, err
	}
	*progress = wire.MoveProgress{}
	if err := t.logAlone(ctx, wire.CmdMovePage, m, progress); err != nil {
		return nil, err
	}
	return progress, nil
}

// moveRefuse answers MethodMoveRefuse: the abort of a move, decided in this region's log.
func (t *Transfer) moveRefuse(ctx context.Context, from link.Identity, m *wire.MoveStep) (
	*wire.MoveProgress, error) {
	progress, err := t.checkStep(from, m)
	if err != nil {
		return nil, err
	}
	if progress.Owned || progress.Refused {
		return progress, nil
	}
	// Nobody but who has the code ends its move: a refusal of some epoch far ahead would be the
	// end of all moves to here.
	e, err := t.Federation.Directory(m.Recipient)
	if err != nil {
		return nil, err
	}
	if e.Region != m.Region || e.Epoch+1 < m.Epoch {
		return nil, wire.Errorf(wire.NotReady, "the directory does not have the code with region "+
			"%s at epoch %d", m.Region, m.Epoch-1)
	}
	*progress = wire.MoveProgress{}
	if err := t.RegionQueue.Do(ctx, wire.CmdMoveRefuse, m, progress); err != nil {
		return nil, err
	}
	return progress, nil
}

// logAlone is RegionQueue.Do for a command that needs an entry of its own: a page's messages are
// stored as a block, under the entry's index.
func (t *Transfer) logAlone(ctx context.Context, kind wire.CommandKind, m,
	resp codec.Message) error {
	list := wire.Commands{List: []wire.Command{{Kind: kind, Body: wire.Encode(m)}}}
	if size := len(list.List[0].Body); size > wire.CommandBytesMax {
		return wire.Errorf(wire.TooLarge, "command of %d bytes", size)
	}
	if err := seat.Gate(list.List, t.Region.ActiveVersion()); err != nil {
		return err
	}
	entry, err := t.RegionLog.Stamp(ctx, wire.CommandsEntry, wire.Encode(&list))
	if err != nil {
		return err
	}
	answer, err := t.RegionGroup.Propose(ctx, entry)
	if err != nil {
		return err
	}
	results, ok := answer.(*wire.Results)
	switch {
	case !ok || len(results.List) != 1:
		return wire.Errorf(wire.Internal, "entry applied with the wrong results")
	case results.List[0].Err != nil:
		return results.List[0].Err
	}
	return wire.Decode(results.List[0].Body, resp)
}

// CheckArriving refuses a login of a citizen who is on the way to this region, in a way that has
// the gateway try again.
func (t *Transfer) CheckArriving(r wire.Recipient) error {
	e, err := t.Federation.Directory(r)
	if err == nil && e.State == wire.Moving && e.To == t.RegionID {
		err = wire.Errorf(wire.Conflict, "the citizen is moving to this region")
	}
	return err
}

// eraseRemains erases what citizens left who moved away long enough ago. It is a part of what the
// region's leader does from time to time.
func (t *Transfer) eraseRemains(ctx context.Context, now wire.Time) error {
	list, err := t.Region.DueRemains(now, remainsBatch)
	if err != nil {
		return err
	}
	var errs []error
	for _, r := range list { // one who is not to be erased does not keep the others
		errs = append(errs, t.eraseRemainsOf(ctx, r))
	}
	return errors.Join(errs...)
}

// eraseStranded erases what a restored region's copy has of moves to here which, as the directory
// knows, ended otherwise since: nobody will ever send the rest.
func (t *Transfer) eraseStranded(ctx context.Context) error {
	if t.Region.Incarnation() == 0 {
		return nil // elsewhere an import is finished, or its refusal is in the log
	}
	list, err := t.Region.Imports(remainsBatch)
	if err != nil {
		return err
	}
	for _, in := range list {
		e, err := t.Federation.Directory(in.Recipient)
		if err != nil {
			return err
		}
		if e.Epoch < in.Epoch {
			continue
		}
		if err := t.eraseRemainsOf(ctx, in.Recipient); err != nil && !errors.Is(err, wire.Conflict) {
			return err // with a conflict it was finished here, a moment ago
		}
	}
	return nil
}

func (t *Transfer) eraseRemainsOf(ctx context.Context, r wire.Recipient) error {
	for {
		var erased wire.MoveErased
		err := t.RegionQueue.Do(ctx, wire.CmdMoveErase, &wire.MoveErase{Recipient: r}, &erased)
		if err != nil || !erased.More {
			return err
		}
	}
}

// movedBetween are the region that a citizen is to move to and the one that owns the code, as this
// replica knows.
func movedBetween(at *seat.Seat, req []byte) ([]wire.RegionID, error) {
	var m wire.MoveOrder
	if err := wire.Decode(req, &m); err != nil {
		return nil, err
	}
	_, entries, err := at.Federation.Resolve(nil, []wire.Recipient{m.Recipient})
	if err != nil {
		return nil, err
	}
	regions := seat.Just(entries[0].Region)
	if m.To != "" {
		regions = append(regions, m.To)
	}
	return regions, nil
}
