package node

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/staffetta/staffetta/node/seat"
	"github.com/staffetta/staffetta/wire"
	"github.com/staffetta/staffetta/wire/link"
)

// versionPeriod is how often a region's leader looks whether its log may go on in a new version.
const versionPeriod = 500 * time.Millisecond

// keepVersion raises the region's active version to the federation's, once every member of the
// group is known to run a program that knows it. It is a duty of the region's leader.
func (n *Node) keepVersion(ctx context.Context) error {
	tick := time.NewTicker(versionPeriod)
	defer tick.Stop()
	for {
		if to := n.Seat.Federation.ActiveVersion(); to > n.Seat.Region.ActiveVersion() &&
			n.supported(ctx, to) {
			err := n.RegionQueue.Do(ctx, wire.CmdRaiseVersion, &wire.RaiseVersion{Version: to}, nil)
			if err == nil {
				n.Log.Info("the region's log goes on in a new version", "version", to)
			} else if ctx.Err() == nil && !wire.Retriable(err) {
				n.Log.Warn("the region's version was not raised", "reason", err.Error())
			}
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return nil
		}
	}
}

// supported reports whether every member of the region's group knows a version. Nobody has to be
// asked about the one that the federation was founded with.
func (n *Node) supported(ctx context.Context, version uint32) bool {
	if version <= n.Founding.ActiveVersion && !n.cfg.Joined {
		return true
	}
	if version > n.Version {
		return false
	}
	_, members := membersOf(n.RegionGroup)
	answers := n.askReplicas(ctx, members, func(wire.NodeID) *wire.ReplicaQuery {
		return &wire.ReplicaQuery{Group: seat.RegionGroup(n.RegionID)}
	})
	for _, id := range members {
		if r := answers[id]; id != n.ID && (r == nil || r.Version < version) {
			return false
		}
	}
	return len(members) > 0
}

// versionAwaited reports whether the region's log is still to reach the version that the federation
// was founded with; for a node that founds its region, the one that it joined at.
func (n *Node) versionAwaited() bool {
	_, founded := n.Seat.Federation.Map()
	return founded && (!n.cfg.Joined || n.cfg.Founds) &&
		n.Seat.Region.ActiveVersion() < n.Founding.ActiveVersion
}

// upgrade answers MethodUpgrade: which program every node of the map runs, and how far it is.
func (n *Node) upgrade(ctx context.Context, _ link.Identity, _ *seat.None) (*wire.Upgrade, error) {
	u := n.versions(ctx)
	return &u, nil
}

// versions asks every node of the map for its version.
func (n *Node) versions(ctx context.Context) wire.Upgrade {
	m := n.Map()
	ids := make([]wire.NodeID, len(m.Nodes))
	regions := make(map[wire.NodeID]wire.RegionID, len(m.Nodes))
	for i, node := range m.Nodes {
		ids[i], regions[node.ID] = node.ID, node.Region
	}
	answers := n.askReplicas(ctx, ids, func(id wire.NodeID) *wire.ReplicaQuery {
		return &wire.ReplicaQuery{Group: seat.RegionGroup(regions[id])}
	})
	answers[n.ID] = &wire.Replica{Version: n.Version, Active: n.Seat.Region.ActiveVersion()}
	u := wire.Upgrade{Active: n.Seat.Federation.ActiveVersion(), Newest: n.Version}
	for _, node := range m.Nodes {
		v := wire.NodeVersion{Node: node.ID, Region: node.Region}
		if r := answers[node.ID]; r != nil {
			v.Version, v.Active = r.Version, r.Active
		}
		u.Nodes = append(u.Nodes, v)
	}
	return u
}

// finalise answers MethodFinalise: from here on the logs may hold what only programs of the new
// version know, so no node may go back to an older one. Every node of the map has to know the
// version; who is lost for good has to be removed before.
func (n *Node) finalise(ctx context.Context, from link.Identity, r *wire.RaiseVersion) (
	*seat.None, error) {
	if r.Version > n.Version || r.Version < wire.VersionMin {
		return nil, wire.Errorf(wire.Conflict, "version %d: this node's program knows versions %d "+
			"to %d of the logs", r.Version, wire.VersionMin, n.Version)
	}
	if r.Version >= wire.VersionGrants && link.GrantsIn(ctx) == nil {
		return nil, wire.Errorf(wire.Conflict, "from version %d on a certificate without grants "+
			"allows nothing, and that of %s has none: have yours issued with grants first",
			wire.VersionGrants, from)
	}
	if lacking := lacking(n.versions(ctx).Nodes, r.Version); lacking != "" {
		return nil, wire.Errorf(wire.Conflict, "not every node knows version %d: %s", r.Version,
			lacking)
	}
	_, err := n.Administrate(ctx, from, "upgrade finalise", wire.CmdFinalise, r)
	return nil, err
}

// lacking names the nodes that do not know a version, or may not.
func lacking(nodes []wire.NodeVersion, version uint32) string {
	const named = 10
	var list []string
	more := 0
	for _, v := range nodes {
		switch {
		case v.Version >= version:
		case len(list) == named:
			more++
		case v.Version == 0:
			list = append(list, string(v.Node)+" does not answer")
		default:
			list = append(list, fmt.Sprintf("%s knows versions up to %d", v.Node, v.Version))
		}
	}
	if more > 0 {
		list = append(list, fmt.Sprintf("and %d more", more))
	}
	return strings.Join(list, ", ")
}

// formatPeriod is how often a node looks whether its directory's format is still right.
const formatPeriod = time.Second

// keepFormat raises the directory's format with the groups' active versions.
func (n *Node) keepFormat(ctx context.Context) error {
	tick := time.NewTicker(formatPeriod)
	defer tick.Stop()
	for have := uint32(0); ; {
		if reached := max(n.Seat.Region.ActiveVersion(),
			n.Seat.Federation.ActiveVersion()); reached > have {
			if err := n.Dir.RaiseFormat(reached); err != nil {
				return err
			}
			have = reached
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return nil
		}
	}
}
