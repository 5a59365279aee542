package transfer

import (
	"context"
	"errors"
	"time"

	"github.com/staffetta/staffetta/node/seat"
	"github.com/staffetta/staffetta/wire"
	"github.com/staffetta/staffetta/wire/link"
)

// fetchFor is about how long one call fetches; the rest is for the next one. A caller waits twice
// as long for an answer, and what a citizen needs beyond that goes on where it broke off.
const fetchFor = time.Second

// A region that was restored to before citizens moved there owns them, and has nothing. Where they
// came from what they left is kept for a time; an operator has it fetched.

// copyCalls are the calls about that, and about operators' orders to regions.
func (t *Transfer) copyCalls() []seat.Call {
	return []seat.Call{
		seat.Answers(t.Seat, wire.MethodOrderRegion, seat.Operators(link.RightOperator, seat.Of(
			func(o *wire.RegionOrder) wire.RegionID { return o.Region })),
			seat.FederationLeads, t.orderRegion).When(seat.Hurts(
			func(_ *wire.Map, o *wire.RegionOrder) bool { return o.Kind == wire.OrderDiscard })),
		seat.Answers(t.Seat, wire.MethodFetchMoved, seat.Operators(link.RightData, seat.Here),
			seat.RegionDecides, t.fetchMoved).ByOne("what the region has stays"),
		seat.Answers(t.Seat, wire.MethodListMoved, seat.Only(link.RoleNode), seat.RegionShows,
			t.listMoved),
		seat.Answers(t.Seat, wire.MethodCopyMoved, seat.Only(link.RoleNode), seat.RegionShows,
			t.copyMoved),
	}
}

// orderRegion answers MethodOrderRegion: the order stands in the operators' log before the region
// is asked.
func (t *Transfer) orderRegion(ctx context.Context, from link.Identity, o *wire.RegionOrder) (
	*seat.None, error) {
	if o.Kind.Action() == "" {
		return nil, wire.Malformedf("no order to a region is of kind %d", o.Kind)
	}
	_, err := t.Administrate(ctx, from, o.Kind.Action(), wire.CmdRegionOrder, o)
	return nil, err
}

// listMoved answers MethodListMoved.
func (t *Transfer) listMoved(ctx context.Context, from link.Identity, q *wire.ListMoved) (
	*wire.MovedList, error) {
	limit := min(max(int(q.Limit), 1), wire.MovedListMax)
	list, err := t.Region.Kept(from.Region, q.After, limit)
	if err != nil {
		return nil, err
	}
	return &wire.MovedList{List: list, More: len(list) == limit}, nil
}

// copyMoved answers MethodCopyMoved. Only who has the citizen now is given what is left: this
// region's mark says to whom it gave the code, and the directory that nobody else has it since.
func (t *Transfer) copyMoved(ctx context.Context, from link.Identity, q *wire.CopyMoved) (
	*wire.MovePage, error) {
	e, err := t.Federation.Directory(q.Recipient)
	if err != nil {
		return nil, err
	}
	if e.State != wire.Claimed || e.Region != from.Region || e.Epoch != q.Epoch {
		return nil, wire.Errorf(wire.NotFound, "the directory has the code with another region, or "+
			"on its way")
	}
	page, err := t.Region.ExportCopy(q.Recipient, from.Region, q.Epoch, q.At)
	if err != nil {
		return nil, err
	}
	page.Epoch, page.From = q.Epoch, t.RegionID
	return page, nil
}

// fetchMoved answers MethodFetchMoved, for some citizens: what an earlier owner still has of them
// is in this region's log, page by page, for what the region has not.
func (t *Transfer) fetchMoved(ctx context.Context, _ link.Identity, q *wire.FetchMoved) (
	*wire.FetchedMoved, error) {
	switch _, known := t.Map().RegionByID(q.From); {
	case !known || q.From == t.RegionID:
		return nil, wire.Errorf(wire.NotFound, "no other region %.40q on the map", q.From)
	case t.Region.Incarnation() == 0:
		return nil, wire.Errorf(wire.Conflict, "region %s was never restored: it has what it was "+
			"given", t.RegionID)
	}
	var kept wire.MovedList
	err := t.CallRegion(ctx, q.From, wire.MethodListMoved,
		&wire.ListMoved{After: q.After, Limit: wire.FetchMovedMax}, &kept)
	if err != nil {
		return nil, err
	}
	answer := &wire.FetchedMoved{Last: q.After, More: kept.More}
	end := time.Now().Add(fetchFor)
	for i := range kept.List {
		if i > 0 && !time.Now().Before(end) {
			answer.More = true
			break
		}
		if err := t.fetchCitizen(ctx, q, &kept.List[i], answer); err != nil {
			if ctx.Err() != nil {
				return nil, wire.Errorf(wire.Unavailable, "the caller's time ended")
			}
			answer.Failed++
			answer.Reason = wire.AsError(err).Error()
		}
		answer.Last = kept.List[i].Recipient
	}
	return answer, nil
}

// fetchCitizen fetches what is left of one citizen, whom this region owns since that move.
func (t *Transfer) fetchCitizen(ctx context.Context, q *wire.FetchMoved, m *wire.MoveStep,
	answer *wire.FetchedMoved) error {
	own, _, err := t.Region.Ownership(m.Recipient)
	if err != nil || own != (wire.Ownership{State: wire.Owned, Epoch: m.Epoch}) {
		return err // moved on since
	}
	at, err := t.Region.CopyProgress(m.Recipient, m.Epoch, q.From)
	if err != nil {
		return err
	}
	for !q.DryRun && !at.Owned {
		var page wire.MovePage
		err := t.CallRegion(ctx, q.From, wire.MethodCopyMoved,
			&wire.CopyMoved{Recipient: m.Recipient, Epoch: m.Epoch, At: at.Next}, &page)
		if errors.Is(err, wire.NotFound) {
			return nil // erased by now, or the code has moved on
		}
		if err != nil {
			return err
		}
		if page.Recipient != m.Recipient || page.Epoch != m.Epoch || page.From != q.From {
			return wire.Errorf(wire.Internal, "region %s answered with another page", q.From)
		}
		before := at.Next
		at = wire.MoveProgress{}
		if err := t.logAlone(ctx, wire.CmdMoveCopy, &page, &at); err != nil {
			return err
		}
		if !at.Owned && string(at.Next) == string(before) {
			return wire.Errorf(wire.Internal, "the pages of region %s do not get on", q.From)
		}
	}
	answer.Citizens++
	return nil
}
