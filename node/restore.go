package node

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
func (n *Node) restoreCalls() []seat.Call {
	return []seat.Call{
		seat.Answers(n.Seat, wire.MethodIncarnations, seat.Only(link.RoleNode), seat.AnyNode,
			n.incarnations),
		seat.Answers(n.Seat, wire.MethodRestores, seat.Observers, seat.AnyNode, n.restores),
		seat.Answers(n.Seat, wire.MethodFenceRegion, seat.Operators(link.RightOperator, seat.Asked(
			func(_ *wire.Map, f *wire.FenceRegion) []wire.RegionID { return seat.Just(f.Region) })),
			seat.FederationLeads, n.fenceRegion).When(seat.Hurts(func(m *wire.Map,
			f *wire.FenceRegion) bool {
			r, _ := m.RegionByID(f.Region)
			return r.Incarnation != f.Incarnation // otherwise it is fenced already
		})), seat.Answers(n.Seat, wire.MethodForgoReport, seat.Operators(link.RightOperator, seat.Asked(
			func(_ *wire.Map, f *wire.ForgoReport) []wire.RegionID { return seat.Just(f.Region) })),
			seat.FederationLeads, n.forgoReport).When(seat.Always[wire.ForgoReport]()),
		seat.Answers(n.Seat, wire.MethodReport, seat.Only(link.RoleNode), seat.FederationLeads,
			n.takeReport),
	}
}

func (n *Node) incarnations(_ context.Context, from link.Identity, _ *seat.None) (
	*wire.Incarnations, error) {
	asker, _ := n.Map().RegionByID(from.Region)
	return &wire.Incarnations{Federation: n.Seat.Federation.Incarnation(),
		RegionID: n.RegionID, Region: n.Seat.Region.Incarnation(), Asker: asker.Incarnation}, nil
}

// restores answers MethodRestores: how far the groups that were restored are, as is known here.
func (n *Node) restores(_ context.Context, _ link.Identity, _ *seat.None) (*wire.Restores, error) {
	var list wire.Restores
	if n.Seat.Federation.Incarnation() > 0 {
		r, err := n.Seat.Federation.Restore()
		if err != nil {
			return nil, err
		}
		list.List = append(list.List, r)
	}
	if n.Seat.Region.Incarnation() > 0 {
		_, r := n.Seat.Region.Restore()
		list.List = append(list.List, r)
	}
	return &list, nil
}

// forgoReport answers MethodForgoReport.
func (n *Node) forgoReport(ctx context.Context, from link.Identity, f *wire.ForgoReport) (
	*seat.None, error) {
	if err := n.CheckLost("restore forgo", f.Region, f.Healthy); err != nil {
		return nil, err
	}
	f.Healthy = false // it is said to this process
	_, err := n.Administrate(ctx, from, "restore forgo", wire.CmdForgo, f)
	return nil, err
}

// takeReport answers MethodReport. A node speaks for its own region only.
func (n *Node) takeReport(ctx context.Context, from link.Identity, r *wire.OwnershipReport) (
	*seat.None, error) {
	if r.Region != from.Region {
		return nil, wire.Errorf(wire.Forbidden, "a node speaks for its own region only")
	}
	return nil, n.FederationQueue.Do(ctx, wire.CmdReport, r, nil)
}

// restoreHealth says what waits for a restore to be finished.
func (n *Node) restoreHealth(h *adminhttp.Health) {
	if err := n.CheckServes(); err != nil {
		h.Reasons = append(h.Reasons, wire.AsError(err).Detail)
	}
	awaited, err := n.Seat.Federation.Awaited()
	if err != nil || len(awaited) == 0 {
		return
	}
	h.Degraded = append(h.Degraded, fmt.Sprintf("the federation is restored, and waits for the "+
		"reports of %d regions, the first %s: claims and moves wait", len(awaited), awaited[0]))
}

// watchIncarnations ends a node whose region or federation was restored without it: what it holds
// is another history. The map says so of its region, its own or that of nodes that it asks while
// it has no contact: they let it follow no map. Of the federation only nodes that take part can.
func (n *Node) watchIncarnations(ctx context.Context) error {
	tick := time.NewTicker(incarnationPeriod)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return nil
		}
		m := n.Map()
		r, _ := m.RegionByID(n.RegionID)
		if err := superseded(seat.RegionGroup(n.RegionID), n.Seat.Region.Incarnation(),
			r.Incarnation); err != nil {
			return err
		}
		if len(m.Nodes) == 0 || n.FederationContact() < seat.ContactMax &&
			n.RegionGroup.Ready() == nil {
			continue
		}
		other := m.Nodes[rand.IntN(len(m.Nodes))]
		if other.ID == n.ID {
			continue
		}
		if err := n.compareIncarnations(ctx, other.ID); err != nil {
			return err
		}
	}
}

// compareIncarnations asks a node, which may not answer, for the incarnations of its groups.
func (n *Node) compareIncarnations(ctx context.Context, other wire.NodeID) error {
	ctx, cancel := context.WithTimeout(ctx, incarnationPeriod)
	defer cancel()
	var theirs wire.Incarnations
	if n.CallNode(ctx, other, wire.MethodIncarnations, nil, &theirs) != nil {
		return nil
	}
	region := theirs.Asker
	if theirs.RegionID == n.RegionID {
		region = max(region, theirs.Region)
	}
	if err := superseded(seat.RegionGroup(n.RegionID), n.Seat.Region.Incarnation(),
		region); err != nil {
		return err
	}
	return superseded(seat.FederationGroup, n.Seat.Federation.Incarnation(), theirs.Federation)
}

// superseded is why a node stops that holds an earlier incarnation of a group.
func superseded(group string, own, newest uint32) error {
	if newest <= own {
		return nil
	}
	return fmt.Errorf("%s was restored from a backup as incarnation %d, and this node's data are of "+
		"incarnation %d: %w; keep the directory for inspection, and restore the node into a new one, "+
		"or join a new node", group, newest, own, errSuperseded)
}

// errSuperseded says that a node's data are of an incarnation that another one has replaced.
var errSuperseded = errors.New("they take no part any more")
