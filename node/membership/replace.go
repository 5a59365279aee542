package membership

import (
	"slices"

	"github.com/staffetta/staffetta/wire"
)

// checkReplacement refuses a removal whose node cannot be replaced by the successor that it names:
// by one of a name that is used up, by a node with a place of its own, or where too few would vote.
// m is the map, and there says that the node is still on it. What depends on a group with the
// successor in it is looked at when the node is removed.
func (d *Membership) checkReplacement(c *wire.MemberChange) (m *wire.Map, there bool, err error) {
	m, ok := d.Federation.Map()
	if !ok {
		return nil, false, wire.Errorf(wire.NotReady, "the federation is not founded yet")
	}
	old, there := m.Node(c.RemoveNode.ID)
	successor, came := m.Node(c.Successor)
	switch {
	case !came:
		removed, err := d.Federation.Removed(c.Successor)
		if err != nil {
			return nil, false, err
		}
		if removed {
			return nil, false, wire.Errorf(wire.Conflict, "node %s was removed: its name is not given "+
				"again", c.Successor)
		}
		if !c.DryRun {
			return nil, false, wire.Errorf(wire.Conflict, "node %s has not joined yet", c.Successor)
		}
	case there && successor.Region != old.Region:
		return nil, false, wire.Errorf(wire.Conflict, "node %s is on the map, in region %s",
			successor.ID, successor.Region)
	case there:
		tokens, err := d.Federation.Tokens()
		if err != nil {
			return nil, false, err
		}
		if !slices.ContainsFunc(tokens, func(t wire.JoinToken) bool {
			return t.Node == successor.ID
		}) {
			return nil, false, wire.Errorf(wire.Conflict, "node %s is on the map, and not to take "+
				"another one's place", successor.ID)
		}
	}
	if !there {
		return m, false, nil
	}
	return m, true, checkVotersLeft(m, old, c.Successor)
}

// checkVotersLeft refuses what a removal would be refused for once the successor votes: two voters,
// of whom neither may fail.
func checkVotersLeft(m *wire.Map, old wire.Node, successor wire.NodeID) error {
	voters := 1 // the successor
	for _, n := range m.Nodes {
		if n.Region == old.Region && !n.Nonvoter && n.ID != old.ID && n.ID != successor {
			voters++
		}
	}
	if r, _ := m.RegionByID(old.Region); voters == 2 && !old.Nonvoter && !r.Closing {
		return wire.Errorf(wire.Conflict, "region %s would have two voters left, of whom neither may "+
			"fail: join another node first", old.Region)
	}
	return nil
}
