package membership

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

// Founders are the members that the groups begin with, when they begin here: the founding map's;
// for a node that joined, itself in a region that is new, and nobody elsewhere. A federation is not
// founded again beside a region that was restored: the node waits to be let in.
func (d *Membership) Founders() (regions, federation []consensus.Member) {
	if d.cfg.Joined {
		if d.cfg.Founds {
			regions = []consensus.Member{{Node: d.ID, Voter: true}}
		}
		return regions, nil
	}
	for _, node := range d.Founding.Nodes {
		federation = append(federation, consensus.Member{Node: node.ID, Voter: node.Voter})
		if node.Region == d.RegionID {
			regions = append(regions, consensus.Member{Node: node.ID, Voter: !node.Nonvoter})
		}
	}
	if d.Region.Incarnation() > 0 && d.Federation.Incarnation() == 0 {
		federation = nil
	}
	return regions, federation
}

// NoticeRemoval ends a node that was removed. It learns that from its replica of the map, and stays
// until its groups, which may need its vote until another has it, let go of it: their leaders do
// not speak to it any more then. One that did not run when it was removed has no such map, so it
// asks others. A map that is newer than its own and does not name it is proof, since names are not
// given again.
func (d *Membership) NoticeRemoval(ctx context.Context) error {
	tick := time.NewTicker(tendPeriod)
	defer tick.Stop()
	var asked time.Time
	var noted *wire.Map
	for {
		if m := d.Map(); m != noted {
			d.NoteAddrs(m)
			noted = m
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return nil
		}
		own, founded := d.Federation.Map()
		if !founded || own.Version < d.Founding.Version {
			continue
		}
		if _, there := own.Node(d.ID); !there && d.letGo() {
			return consensus.ErrRemoved
		}
		if d.FederationContact() < seat.ContactMax || time.Since(asked) < noticePeriod {
			continue
		}
		asked = time.Now()
		for _, i := range rand.Perm(len(own.Nodes))[:min(noticeAsked, len(own.Nodes))] {
			other := own.Nodes[i].ID
			if other != d.ID && d.removedBy(ctx, other, own.Version) {
				return consensus.ErrRemoved
			}
		}
	}
}

// letGo reports whether the groups' leaders have stopped to speak to this node.
func (d *Membership) letGo() bool {
	for _, g := range []*consensus.Group{d.RegionGroup, d.FederationGroup} {
		if silent := g.LastContact(); g.IsLeader() || silent >= 0 && silent < leaveAfter {
			return false
		}
	}
	return true
}

// removedBy asks a node for its map.
func (d *Membership) removedBy(ctx context.Context, id wire.NodeID, version uint64) bool {
	ctx, cancel := context.WithTimeout(ctx, wire.OwnerWait)
	defer cancel()
	var w wire.Welcome
	err := d.CallNode(ctx, id, wire.MethodHello, &wire.Hello{Version: wire.ProtocolVersion}, &w)
	if err != nil || w.Map.Federation != d.Founding.Federation {
		return false
	}
	_, there := w.Map.Node(d.ID)
	return !there && w.Map.Version > version
}
