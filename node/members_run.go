package node

import (
	"context"
	"math/rand/v2"
	"time"

	"github.com/staffetta/staffetta/consensus"
	"github.com/staffetta/staffetta/node/seat"
	"github.com/staffetta/staffetta/wire"
)

const (
	// noticePeriod is how often a node that does not hear from the federation asks whether it is
	// still a part of it, noticeAsked how many others it asks each time.
	noticePeriod = 5 * time.Second
	noticeAsked  = 4
)

// founders are the members that the groups begin with, when they begin here: the founding map's;
// for a node that joined, itself in a region that is new, and nobody elsewhere. A federation is not
// founded again beside a region that was restored: the node waits to be let in.
func (n *Node) founders() (regions, federation []consensus.Member) {
	if n.cfg.Joined {
		if n.cfg.Founds {
			regions = []consensus.Member{{Node: n.ID, Voter: true}}
		}
		return regions, nil
	}
	for _, node := range n.Founding.Nodes {
		federation = append(federation, consensus.Member{Node: node.ID, Voter: node.Voter})
		if node.Region == n.RegionID {
			regions = append(regions, consensus.Member{Node: node.ID, Voter: !node.Nonvoter})
		}
	}
	if n.Seat.Region.Incarnation() > 0 && n.Seat.Federation.Incarnation() == 0 {
		federation = nil
	}
	return regions, federation
}

// noticeRemoval ends a node that was removed. It learns that from its replica of the map, and stays
// until its groups, which may need its vote until another has it, let go of it: their leaders do
// not speak to it any more then. One that did not run when it was removed has no such map, so it
// asks others. A map that is newer than its own and does not name it is proof, since names are not
// given again.
func (n *Node) noticeRemoval(ctx context.Context) error {
	tick := time.NewTicker(tendPeriod)
	defer tick.Stop()
	var asked time.Time
	var noted *wire.Map
	for {
		if m := n.Map(); m != noted {
			n.NoteAddrs(m)
			noted = m
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return nil
		}
		own, founded := n.Seat.Federation.Map()
		if !founded || own.Version < n.Founding.Version {
			continue
		}
		if _, there := own.Node(n.ID); !there && n.letGo() {
			return consensus.ErrRemoved
		}
		if n.FederationContact() < seat.ContactMax || time.Since(asked) < noticePeriod {
			continue
		}
		asked = time.Now()
		for _, i := range rand.Perm(len(own.Nodes))[:min(noticeAsked, len(own.Nodes))] {
			other := own.Nodes[i].ID
			if other != n.ID && n.removedBy(ctx, other, own.Version) {
				return consensus.ErrRemoved
			}
		}
	}
}

// letGo reports whether the groups' leaders have stopped to speak to this node.
func (n *Node) letGo() bool {
	for _, g := range []*consensus.Group{n.RegionGroup, n.FederationGroup} {
		if silent := g.LastContact(); g.IsLeader() || silent >= 0 && silent < leaveAfter {
			return false
		}
	}
	return true
}

// removedBy asks a node for its map.
func (n *Node) removedBy(ctx context.Context, id wire.NodeID, version uint64) bool {
	ctx, cancel := context.WithTimeout(ctx, wire.OwnerWait)
	defer cancel()
	var w wire.Welcome
	err := n.CallNode(ctx, id, wire.MethodHello, &wire.Hello{Version: wire.ProtocolVersion}, &w)
	if err != nil || w.Map.Federation != n.Founding.Federation {
		return false
	}
	_, there := w.Map.Node(n.ID)
	return !there && w.Map.Version > version
}

// maintenance says why this node is not to lead, as a reason of /health.
func (n *Node) maintenance() []string {
	if self, _ := n.Map().Node(n.ID); self.Maintenance != "" {
		return []string{"maintenance: " + self.Maintenance}
	}
	return nil
}
