package node

import (
	"context"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/staffetta/staffetta/internal/adminhttp"
	"github.com/staffetta/staffetta/wire"
	"github.com/staffetta/staffetta/wire/link"
)

// incarnationPeriod is how often a node looks whether its groups were restored without it.
const incarnationPeriod = 2 * time.Second

// restoreCalls are the calls about restored groups.
func (n *Node) restoreCalls() []call {
	return []call{
		answers(n, wire.MethodIncarnations, only(link.RoleNode), anyNode, n.incarnations),
		answers(n, wire.MethodRestores, observers, anyNode, n.restores),
		answers(n, wire.MethodFenceRegion, operators(link.RightOperator, asked(
			func(_ *wire.Map, f *wire.FenceRegion) []wire.RegionID { return just(f.Region) })),
			federationLeads, n.fenceRegion).when(of(func(m *wire.Map, f *wire.FenceRegion) bool {
			r, _ := m.RegionByID(f.Region)
			return r.Incarnation != f.Incarnation // otherwise it is fenced already
		})),
		answers(n, wire.MethodForgoReport, operators(link.RightOperator, asked(
			func(_ *wire.Map, f *wire.ForgoReport) []wire.RegionID { return just(f.Region) })),
			federationLeads, n.forgoReport).when(always[wire.ForgoReport]()),
		answers(n, wire.MethodReport, only(link.RoleNode), federationLeads, n.takeReport),
	}
}

func (n *Node) incarnations(_ context.Context, from link.Identity, _ *none) (
	*wire.Incarnations, error) {
	asker, _ := n.currentMap().RegionByID(from.Region)
	return &wire.Incarnations{Federation: n.federation.Incarnation(),
		RegionID: n.cfg.Region, Region: n.region.Incarnation(), Asker: asker.Incarnation}, nil
}

// restores answers MethodRestores: how far the groups that were restored are, as is known here.
func (n *Node) restores(_ context.Context, _ link.Identity, _ *none) (*wire.Restores, error) {
	var list wire.Restores
	if n.federation.Incarnation() > 0 {
		r, err := n.federation.Restore()
		if err != nil {
			return nil, err
		}
		list.List = append(list.List, r)
	}
	if n.region.Incarnation() > 0 {
		_, r := n.region.Restore()
		list.List = append(list.List, r)
	}
	return &list, nil
}

// forgoReport answers MethodForgoReport.
func (n *Node) forgoReport(ctx context.Context, from link.Identity, f *wire.ForgoReport) (
	*none, error) {
	if err := n.lost("restore forgo", f.Region, f.Healthy); err != nil {
		return nil, err
	}
	f.Healthy = false // it is said to this process
	_, err := n.administrate(ctx, from, "restore forgo", wire.CmdForgo, f)
	return nil, err
}

// takeReport answers MethodReport. A node speaks for its own region only.
func (n *Node) takeReport(ctx context.Context, from link.Identity, r *wire.OwnershipReport) (
	*none, error) {
	if r.Region != from.Region {
		return nil, wire.Errorf(wire.Forbidden, "a node speaks for its own region only")
	}
	return nil, n.federationQueue.do(ctx, wire.CmdReport, r, nil)
}

// serves says why a region that was restored, or is about to be, takes nothing and answers nothing.
func (n *Node) serves() error {
	own := n.region.Incarnation()
	r, known := n.currentMap().RegionByID(n.cfg.Region)
	switch {
	case known && r.Incarnation > own:
		return wire.Errorf(wire.NotReady, "region %s was restored as incarnation %d, this node is "+
			"of incarnation %d", n.cfg.Region, r.Incarnation, own)
	case own == 0:
		return nil
	case !n.mapKnown():
		return wire.Errorf(wire.NotReady, "region %s is restored as incarnation %d, and the "+
			"federation's map is not known yet", n.cfg.Region, own)
	case r.Incarnation < own:
		return wire.Errorf(wire.NotReady, "region %s is restored as incarnation %d, and the map "+
			"has %d: fence the region", n.cfg.Region, own, r.Incarnation)
	case !n.region.Reconciled():
		return wire.Errorf(wire.NotReady, "region %s is restored, and its codes are being "+
			"compared with the directory", n.cfg.Region)
	}
	return nil
}

// restoreHealth says what waits for a restore to be finished.
func (n *Node) restoreHealth(h *adminhttp.Health) {
	if err := n.serves(); err != nil {
		h.Reasons = append(h.Reasons, wire.AsError(err).Detail)
	}
	awaited, err := n.federation.Awaited()
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
		m := n.currentMap()
		r, _ := m.RegionByID(n.cfg.Region)
		if err := superseded(regionGroup(n.cfg.Region), n.region.Incarnation(),
			r.Incarnation); err != nil {
			return err
		}
		if len(m.Nodes) == 0 || n.federationContact() < contactMax &&
			n.regionGroup.Ready() == nil {
			continue
		}
		other := m.Nodes[rand.IntN(len(m.Nodes))]
		if other.ID == n.cfg.ID {
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
	if n.callNode(ctx, other, wire.MethodIncarnations, nil, &theirs) != nil {
		return nil
	}
	region := theirs.Asker
	if theirs.RegionID == n.cfg.Region {
		region = max(region, theirs.Region)
	}
	if err := superseded(regionGroup(n.cfg.Region), n.region.Incarnation(), region); err != nil {
		return err
	}
	return superseded(federationGroup, n.federation.Incarnation(), theirs.Federation)
}

// superseded is why a node stops that holds an earlier incarnation of a group.
func superseded(group string, own, newest uint32) error {
	if newest <= own {
		return nil
	}
	return fmt.Errorf("%s was restored from a backup as incarnation %d, and this node's data are of "+
		"incarnation %d: they take no part any more; keep the directory for inspection, and restore "+
		"the node into a new one, or join a new node", group, newest, own)
}
