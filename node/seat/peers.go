package seat

import (
	"context"

	"github.com/staffetta/staffetta/consensus"
	"github.com/staffetta/staffetta/internal/codec"
	"github.com/staffetta/staffetta/wire"
	"github.com/staffetta/staffetta/wire/link"
)

// Map is the federation's map as this replica knows it; before the federation is founded,
// the map that it will be founded with.
func (s *Seat) Map() *wire.Map {
	if s.Federation != nil {
		if m, ok := s.Federation.Map(); ok {
			return m
		}
	}
	return s.Founding
}

// Addr is where a node listens. One that left the map is still spoken to, where it was, until its
// groups have let go of it.
func (s *Seat) Addr(id wire.NodeID) (string, bool) {
	if node, ok := s.Map().Node(id); ok {
		return node.Addr, true
	}
	was, ok := s.addrs.Load(id)
	if !ok {
		return "", false
	}
	return was.(string), true
}

// NoteAddrs remembers where the map's nodes are.
func (s *Seat) NoteAddrs(m *wire.Map) {
	for _, node := range m.Nodes {
		s.addrs.Store(node.ID, node.Addr)
	}
}

// NodesOf are the nodes of a region, this one included.
func (s *Seat) NodesOf(region wire.RegionID) []wire.NodeID {
	var ids []wire.NodeID
	for _, node := range s.Map().Nodes {
		if node.Region == region {
			ids = append(ids, node.ID)
		}
	}
	return ids
}

// Voters are the nodes that vote in the federation group.
func (s *Seat) Voters() []wire.NodeID {
	var ids []wire.NodeID
	for _, node := range s.Map().Nodes {
		if node.Voter {
			ids = append(ids, node.ID)
		}
	}
	return ids
}

// CallRegion calls the leader of a region, with q, and decodes what it answers into a. Each may be
// nil. A call that may be repeated goes on until it is answered, refused, or ctx ends.
func (s *Seat) CallRegion(ctx context.Context, region wire.RegionID, m wire.Method,
	q, a codec.Message) error {
	b, err := s.Leaders.Call(ctx, RegionGroup(region), s.NodesOf(region), m, encoded(q),
		m.Repeatable())
	return decoded(b, err, a)
}

// CallFederation is CallRegion for the federation's leader; the call does not leave the process
// when that is this node.
func (s *Seat) CallFederation(ctx context.Context, m wire.Method, q, a codec.Message) error {
	b, err := s.Leaders.Call(ctx, FederationGroup, s.Voters(), m, encoded(q), m.Repeatable())
	return decoded(b, err, a)
}

// CallNode is CallRegion for one node, which is asked once.
func (s *Seat) CallNode(ctx context.Context, id wire.NodeID, m wire.Method,
	q, a codec.Message) error {
	b, err := s.Link.Call(ctx, link.Peer{Node: id}, m, encoded(q))
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

// FederationGroup names the federation's Raft group.
const FederationGroup = "federation"

// RegionGroup names a region's Raft group.
func RegionGroup(region wire.RegionID) string { return "region/" + string(region) }

// Group returns one of the node's groups by its name.
func (s *Seat) Group(name string) *consensus.Group {
	switch name {
	case FederationGroup:
		return s.FederationGroup
	case RegionGroup(s.RegionID):
		return s.RegionGroup
	}
	return nil
}

// Incarnated is a group's name as its members compare themselves under: replicas of two
// incarnations differ at equal index, and are no members of each other's group.
func (s *Seat) Incarnated(group string) string {
	if group == FederationGroup {
		return link.Incarnated(group, s.Federation.Incarnation())
	}
	return link.Incarnated(group, s.Region.Incarnation())
}
