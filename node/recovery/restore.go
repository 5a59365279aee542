package recovery

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/staffetta/staffetta/internal/adminhttp"
	"github.com/staffetta/staffetta/node/seat"
	"github.com/staffetta/staffetta/wire"
	"github.com/staffetta/staffetta/wire/link"
)

// incarnationPeriod is how often a node looks whether its groups were restored without it.
const incarnationPeriod = 2 * time.Second

// restoreCalls are the calls about restored groups.
func (d *Recovery) restoreCalls() []seat.Call {
	return []seat.Call{
		seat.Answers(d.Seat, wire.MethodIncarnations, seat.Only(link.RoleNode), seat.AnyNode,
			d.incarnations),
		seat.Answers(d.Seat, wire.MethodRestores, seat.Observers, seat.AnyNode, d.restores),
	}
}

func (d *Recovery) incarnations(_ context.Context, from link.Identity, _ *seat.None) (
	*wire.Incarnations, error) {
	asker, _ := d.Map().RegionByID(from.Region)
	return &wire.Incarnations{Federation: d.Federation.Incarnation(),
		RegionID: d.RegionID, Region: d.Region.Incarnation(), Asker: asker.Incarnation}, nil
}

// restores answers MethodRestores: how far the groups that were restored are, as is known here.
func (d *Recovery) restores(_ context.Context, _ link.Identity, _ *seat.None) (*wire.Restores,
	error) {
	var list wire.Restores
	if d.Federation.Incarnation() > 0 {
		r, err := d.Federation.RestoreProgress()
		if err != nil {
			return nil, err
		}
		list.List = append(list.List, r)
	}
	if d.Region.Incarnation() > 0 {
		_, r := d.Region.RestoreProgress()
		list.List = append(list.List, r)
	}
	return &list, nil
}

// Health adds what waits for a restore to be finished.
func (d *Recovery) Health(h *adminhttp.Health) {
	if err := d.CheckServes(); err != nil {
		h.Reasons = append(h.Reasons, wire.AsError(err).Detail)
	}
	awaited, err := d.Federation.Awaited()
	if err != nil || len(awaited) == 0 {
		return
	}
	h.Degraded = append(h.Degraded, fmt.Sprintf("the federation is restored, and waits for the "+
		"reports of %d regions, the first %s: claims and moves wait", len(awaited), awaited[0]))
}

// WatchIncarnations ends a node whose region or federation was restored without it: what it holds
// is another history. The map says so of its region, its own or that of nodes that it asks while
// it has no contact: they let it follow no map. Of the federation only nodes that take part can.
func (d *Recovery) WatchIncarnations(ctx context.Context) error {
	tick := time.NewTicker(incarnationPeriod)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return nil
		}
		m := d.Map()
		r, _ := m.RegionByID(d.RegionID)
		if err := superseded(seat.RegionGroup(d.RegionID), d.Region.Incarnation(),
			r.Incarnation); err != nil {
			return err
		}
		if len(m.Nodes) == 0 || d.FederationContact() < seat.ContactMax &&
			d.RegionGroup.Ready() == nil {
			continue
		}
		other := m.Nodes[rand.IntN(len(m.Nodes))]
		if other.ID == d.ID {
			continue
		}
		if err := d.compareIncarnations(ctx, other.ID); err != nil {
			return err
		}
	}
}

// compareIncarnations asks a node, which may not answer, for the incarnations of its groups.
func (d *Recovery) compareIncarnations(ctx context.Context, other wire.NodeID) error {
	ctx, cancel := context.WithTimeout(ctx, incarnationPeriod)
	defer cancel()
	var theirs wire.Incarnations
	if d.CallNode(ctx, other, wire.MethodIncarnations, nil, &theirs) != nil {
		return nil
	}
	region := theirs.Asker
	if theirs.RegionID == d.RegionID {
		region = max(region, theirs.Region)
	}
	if err := superseded(seat.RegionGroup(d.RegionID), d.Region.Incarnation(), region); err != nil {
		return err
	}
	return superseded(seat.FederationGroup, d.Federation.Incarnation(), theirs.Federation)
}

// superseded is why a node stops that holds an earlier incarnation of a group.
func superseded(group string, own, newest uint32) error {
	if newest <= own {
		return nil
	}
	return fmt.Errorf("%s was restored from a backup as incarnation %d, and this node's data are of "+
		"incarnation %d: %w; keep the directory for inspection, and restore the node into a new one, "+
		"or join a new node", group, newest, own, ErrSuperseded)
}

// ErrSuperseded says that a node's data are of an incarnation that another one has replaced.
var ErrSuperseded = errors.New("they take no part any more")
