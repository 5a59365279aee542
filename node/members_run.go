package node

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/staffetta/staffetta/consensus"
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
			regions = []consensus.Member{{Node: n.cfg.ID, Voter: true}}
		}
		return regions, nil
	}
	for _, node := range n.cfg.Founding.Nodes {
		federation = append(federation, consensus.Member{Node: node.ID, Voter: node.Voter})
		if node.Region == n.cfg.Region {
			regions = append(regions, consensus.Member{Node: node.ID, Voter: !node.Nonvoter})
		}
	}
	if n.region.Incarnation() > 0 && n.federation.Incarnation() == 0 {
		federation = nil
	}
	return regions, federation
}

// groupNamed is this node's replica of a group; nil when it has none.
func (n *Node) groupNamed(name string) *consensus.Group {
	switch name {
	case federationGroup:
		return n.federationGroup
	case regionGroup(n.cfg.Region):
		return n.regionGroup
	}
	return nil
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
		if m := n.currentMap(); m != noted {
			n.noteAddrs(m)
			noted = m
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return nil
		}
		own, founded := n.federation.Map()
		if !founded || own.Version < n.cfg.Founding.Version {
			continue
		}
		if _, there := own.Node(n.cfg.ID); !there && n.letGo() {
			return consensus.ErrRemoved
		}
		if n.federationContact() < contactMax || time.Since(asked) < noticePeriod {
			continue
		}
		asked = time.Now()
		for _, i := range rand.Perm(len(own.Nodes))[:min(noticeAsked, len(own.Nodes))] {
			other := own.Nodes[i].ID
			if other != n.cfg.ID && n.removedBy(ctx, other, own.Version) {
				return consensus.ErrRemoved
			}
		}
	}
}

// letGo reports whether the groups' leaders have stopped to speak to this node.
func (n *Node) letGo() bool {
	for _, g := range []*consensus.Group{n.regionGroup, n.federationGroup} {
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
	err := n.callNode(ctx, id, wire.MethodHello, &wire.Hello{Version: wire.ProtocolVersion}, &w)
	if err != nil || w.Map.Federation != n.cfg.Founding.Federation {
		return false
	}
	_, there := w.Map.Node(n.cfg.ID)
	return !there && w.Map.Version > version
}

// noteRemoval makes the end of a node that was removed final.
func (n *Node) noteRemoval(err error) error {
	if !errors.Is(err, consensus.ErrRemoved) {
		return err
	}
	if noted := n.dir.removed(); noted != nil {
		n.log.Error("the data directory could not be marked", "reason", noted)
	}
	return fmt.Errorf("node %s was removed from the federation and does not come back: %w",
		n.cfg.ID, consensus.ErrRemoved)
}

// maintenance says why this node is not to lead, as a reason of /health.
func (n *Node) maintenance() []string {
	if self, _ := n.currentMap().Node(n.cfg.ID); self.Maintenance != "" {
		return []string{"maintenance: " + self.Maintenance}
	}
	return nil
}

// closeStates closes what openStates opened, where no group owns it.
func (n *Node) closeStates() error {
	var errs []error
	if n.region != nil {
		errs = append(errs, n.region.Close())
	}
	if n.federation != nil {
		errs = append(errs, n.federation.Close())
	}
	n.cache.Unref()
	n.coder.Close()
	return errors.Join(errs...)
}
