package node

import (
	"context"

	"github.com/staffetta/staffetta/internal/codec"
	"github.com/staffetta/staffetta/wire"
	"github.com/staffetta/staffetta/wire/link"
)

// currentMap is the federation's map as this replica knows it; before the federation is founded,
// the map that it will be founded with.
func (n *Node) currentMap() *wire.Map {
	if n.federation != nil {
		if m, ok := n.federation.Map(); ok {
			return m
		}
	}
	return n.cfg.Founding
}

// mapKnown reports whether currentMap is the federation's own, and not the founding file's.
func (n *Node) mapKnown() bool {
	if n.federation == nil {
		return false
	}
	_, ok := n.federation.Map()
	return ok
}

// addr is where a node listens. One that left the map is still spoken to, where it was, until its
// groups have let go of it.
func (n *Node) addr(id wire.NodeID) (string, bool) {
	if node, ok := n.currentMap().Node(id); ok {
		return node.Addr, true
	}
	was, ok := n.addrs.Load(id)
	if !ok {
		return "", false
	}
	return was.(string), true
}

// noteAddrs remembers where the map's nodes are.
func (n *Node) noteAddrs(m *wire.Map) {
	for _, node := range m.Nodes {
		n.addrs.Store(node.ID, node.Addr)
	}
}

// nodesOf are the nodes of a region, this one included.
func (n *Node) nodesOf(region wire.RegionID) []wire.NodeID {
	var ids []wire.NodeID
	for _, node := range n.currentMap().Nodes {
		if node.Region == region {
			ids = append(ids, node.ID)
		}
	}
	return ids
}

// voters are the nodes that vote in the federation group.
func (n *Node) voters() []wire.NodeID {
	var ids []wire.NodeID
	for _, node := range n.currentMap().Nodes {
		if node.Voter {
			ids = append(ids, node.ID)
		}
	}
	return ids
}

// anchor is the region that owns the code while nobody has claimed it.
func (n *Node) anchor(r wire.Recipient) wire.RegionID { return n.currentMap().Anchor(r.Slot()) }

// callRegion calls the leader of a region, with q, and decodes what it answers into a. Each may be
// nil. A call that may be repeated goes on until it is answered, refused, or ctx ends.
func (n *Node) callRegion(ctx context.Context, region wire.RegionID, m wire.Method,
	q, a codec.Message) error {
	b, err := n.leaders.Call(ctx, regionGroup(region), n.nodesOf(region), m, encoded(q),
		m.Repeatable())
	return decoded(b, err, a)
}

// callFederation is callRegion for the federation's leader; the call does not leave the process
// when that is this node.
func (n *Node) callFederation(ctx context.Context, m wire.Method, q, a codec.Message) error {
	b, err := n.leaders.Call(ctx, federationGroup, n.voters(), m, encoded(q), m.Repeatable())
	return decoded(b, err, a)
}

// callNode is callRegion for one node, which is asked once.
func (n *Node) callNode(ctx context.Context, id wire.NodeID, m wire.Method,
	q, a codec.Message) error {
	b, err := n.link.Call(ctx, link.Peer{Node: id}, m, encoded(q))
	return decoded(b, err, a)
}

func encoded(q codec.Message) []byte {
	if q == nil {
		return nil
	}
	return wire.Encode(q)
}

func decoded(b []byte, err error, a codec.Message) error {
	if err != nil || a == nil {
		return err
	}
	return wire.Decode(b, a)
}

// federationGroup and regionGroup name the Raft groups.
const federationGroup = "federation"

func regionGroup(region wire.RegionID) string { return "region/" + string(region) }
