package node

import (
	"context"
	"errors"
	"time"

	"github.com/staffetta/staffetta/wire"
	"github.com/staffetta/staffetta/wire/link"
)

// fetchFor is about how long one call fetches; the rest is for the next one. A caller waits twice
// as long for an answer, and what a citizen needs beyond that goes on where it broke off.
const fetchFor = time.Second

// A region that was restored to before citizens moved there owns them, and has nothing. Where they
// came from what they left is kept for a time; an operator has it fetched.

// handleCopies registers the calls about that, and about operators' orders to regions.
func (n *Node) handleCopies() {
	n.handleChange(wire.MethodOrderRegion, n.orderRegion, link.RoleOperator)
	n.link.Handle(wire.MethodFetchMoved, n.fetchMoved, link.RoleOperator)
	n.link.Handle(wire.MethodListMoved, n.listMoved, link.RoleNode)
	n.link.Handle(wire.MethodCopyMoved, n.copyMoved, link.RoleNode)
}

// orderRegion answers MethodOrderRegion: the order stands in the operators' log before the region
// is asked.
func (n *Node) orderRegion(ctx context.Context, from link.Identity, req []byte) ([]byte, error) {
	var o wire.RegionOrder
	if err := wire.Decode(req, &o); err != nil {
		return nil, err
	}
	if o.Kind.Action() == "" {
		return nil, wire.Malformedf("no order to a region is of kind %d", o.Kind)
	}
	_, err := n.administrate(ctx, from, o.Kind.Action(), wire.CmdRegionOrder, &o)
	return nil, err
}

// listMoved answers MethodListMoved.
func (n *Node) listMoved(ctx context.Context, from link.Identity, req []byte) ([]byte, error) {
	var q wire.ListMoved
	if err := wire.Decode(req, &q); err != nil {
		return nil, err
	}
	if err := n.mayShow(ctx); err != nil {
		return nil, err
	}
	limit := min(max(int(q.Limit), 1), wire.MovedListMax)
	list, err := n.region.Kept(from.Region, q.After, limit)
	if err != nil {
		return nil, err
	}
	return wire.Encode(&wire.MovedList{List: list, More: len(list) == limit}), nil
}

// copyMoved answers MethodCopyMoved. Only who has the citizen now is given what is left: this
// region's mark says to whom it gave the code, and the directory that nobody else has it since.
func (n *Node) copyMoved(ctx context.Context, from link.Identity, req []byte) ([]byte, error) {
	var q wire.CopyMoved
	if err := wire.Decode(req, &q); err != nil {
		return nil, err
	}
	if err := n.mayShow(ctx); err != nil {
		return nil, err
	}
	e, err := n.federation.Directory(q.Recipient)
	if err != nil {
		return nil, err
	}
	if e.State != wire.Claimed || e.Region != from.Region || e.Epoch != q.Epoch {
		return nil, wire.Errorf(wire.NotFound, "the directory has the code with another region, or "+
			"on its way")
	}
	page, err := n.region.ExportCopy(q.Recipient, from.Region, q.Epoch, q.At)
	if err != nil {
		return nil, err
	}
	page.Epoch, page.From = q.Epoch, n.cfg.Region
	return wire.Encode(page), nil
}

// mayShow checks that this node can say what its region's log has.
func (n *Node) mayShow(ctx context.Context) error {
	if err := n.serves(); err != nil {
		return err
	}
	return n.regionGroup.Read(ctx)
}

// fetchMoved answers MethodFetchMoved, for some citizens: what an earlier owner still has of them
// is in this region's log, page by page, for what the region has not.
func (n *Node) fetchMoved(ctx context.Context, _ link.Identity, req []byte) ([]byte, error) {
	var q wire.FetchMoved
	if err := wire.Decode(req, &q); err != nil {
		return nil, err
	}
	switch _, known := n.currentMap().RegionByID(q.From); {
	case !known || q.From == n.cfg.Region:
		return nil, wire.Errorf(wire.NotFound, "no other region %.40q on the map", q.From)
	case n.region.Incarnation() == 0:
		return nil, wire.Errorf(wire.Conflict, "region %s was never restored: it has what it was "+
			"given", n.cfg.Region)
	}
	if err := n.mayPropose(); err != nil {
		return nil, err
	}
	if err := n.regionGroup.Read(ctx); err != nil {
		return nil, err
	}
	body, err := n.callRegion(ctx, q.From, wire.MethodListMoved,
		wire.Encode(&wire.ListMoved{After: q.After, Limit: wire.FetchMovedMax}))
	if err != nil {
		return nil, err
	}
	var kept wire.MovedList
	if err := wire.Decode(body, &kept); err != nil {
		return nil, err
	}
	answer := &wire.FetchedMoved{Last: q.After, More: kept.More}
	end := time.Now().Add(fetchFor)
	for i := range kept.List {
		if i > 0 && !time.Now().Before(end) {
			answer.More = true
			break
		}
		if err := n.fetchCitizen(ctx, &q, &kept.List[i], answer); err != nil {
			if ctx.Err() != nil {
				return nil, wire.Errorf(wire.Unavailable, "the caller's time ended")
			}
			answer.Failed++
			answer.Reason = wire.AsError(err).Error()
		}
		answer.Last = kept.List[i].Recipient
	}
	return wire.Encode(answer), nil
}

// fetchCitizen fetches what is left of one citizen, whom this region owns since that move.
func (n *Node) fetchCitizen(ctx context.Context, q *wire.FetchMoved, m *wire.MoveStep,
	answer *wire.FetchedMoved) error {
	own, _, err := n.region.Ownership(m.Recipient)
	if err != nil || own != (wire.Ownership{State: wire.Owned, Epoch: m.Epoch}) {
		return err // moved on since
	}
	at, err := n.region.CopyProgress(m.Recipient, m.Epoch, q.From)
	if err != nil {
		return err
	}
	for !q.DryRun && !at.Owned {
		body, err := n.callRegion(ctx, q.From, wire.MethodCopyMoved,
			wire.Encode(&wire.CopyMoved{Recipient: m.Recipient, Epoch: m.Epoch, At: at.Next}))
		if errors.Is(err, wire.NotFound) {
			return nil // erased by now, or the code has moved on
		}
		if err != nil {
			return err
		}
		var page wire.MovePage
		if err := wire.Decode(body, &page); err != nil {
			return err
		}
		if page.Recipient != m.Recipient || page.Epoch != m.Epoch || page.From != q.From {
			return wire.Errorf(wire.Internal, "region %s answered with another page", q.From)
		}
		before := at.Next
		at = wire.MoveProgress{}
		if err := n.logAlone(ctx, wire.CmdMoveCopy, &page, &at); err != nil {
			return err
		}
		if !at.Owned && string(at.Next) == string(before) {
			return wire.Errorf(wire.Internal, "the pages of region %s do not get on", q.From)
		}
	}
	answer.Citizens++
	return nil
}
