package operate

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

// KeepVersion raises the region's active version to the federation's, once every member of the
// group is known to run a program that knows it. It is a duty of the region's leader.
func (d *Desk) KeepVersion(ctx context.Context) error {
	return d.Rounds(ctx, versionPeriod, "the region's version was not raised",
		func(ctx context.Context) error {
			to := d.Federation.ActiveVersion()
			if to <= d.Region.ActiveVersion() || !d.supported(ctx, to) {
				return nil
			}
			err := d.RegionQueue.Do(ctx, wire.CmdRaiseVersion, &wire.RaiseVersion{Version: to}, nil)
			if err == nil {
				d.Log.Info("the region's log goes on in a new version", "version", to)
			}
			return err
		})
}

// supported reports whether every member of the region's group knows a version. Nobody has to be
// asked about the one that the federation was founded with.
func (d *Desk) supported(ctx context.Context, version uint32) bool {
	if version <= d.Founding.ActiveVersion && !d.cfg.Joined {
		return true
	}
	if version > d.Version {
		return false
	}
	_, members := membersOf(d.RegionGroup)
	answers := d.askReplicas(ctx, members, func(wire.NodeID) *wire.ReplicaQuery {
		return &wire.ReplicaQuery{Group: seat.RegionGroup(d.RegionID)}
	})
	for _, id := range members {
		if r := answers[id]; id != d.ID && (r == nil || r.Version < version) {
			return false
		}
	}
	return len(members) > 0
}

// VersionAwaited reports whether the region's log is still to reach the version that the federation
// was founded with; for a node that founds its region, the one that it joined at.
func (d *Desk) VersionAwaited() bool {
	_, founded := d.Federation.Map()
	return founded && (!d.cfg.Joined || d.cfg.Founds) &&
		d.Region.ActiveVersion() < d.Founding.ActiveVersion
}

// upgrade answers MethodUpgrade: which program every node of the map runs, and how far it is.
func (d *Desk) upgrade(ctx context.Context, _ link.Identity, _ *seat.None) (*wire.Upgrade, error) {
	u := d.versions(ctx)
	return &u, nil
}

// versions asks every node of the map for its version.
func (d *Desk) versions(ctx context.Context) wire.Upgrade {
	m := d.Map()
	ids := make([]wire.NodeID, len(m.Nodes))
	regions := make(map[wire.NodeID]wire.RegionID, len(m.Nodes))
	for i, node := range m.Nodes {
		ids[i], regions[node.ID] = node.ID, node.Region
	}
	answers := d.askReplicas(ctx, ids, func(id wire.NodeID) *wire.ReplicaQuery {
		return &wire.ReplicaQuery{Group: seat.RegionGroup(regions[id])}
	})
	answers[d.ID] = &wire.Replica{Version: d.Version, Active: d.Region.ActiveVersion()}
	u := wire.Upgrade{Active: d.Federation.ActiveVersion(), Newest: d.Version}
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
func (d *Desk) finalise(ctx context.Context, from link.Identity, r *wire.RaiseVersion) (
	*seat.None, error) {
	if r.Version > d.Version || r.Version < wire.VersionMin {
		return nil, wire.Errorf(wire.Conflict, "version %d: this node's program knows versions %d "+
			"to %d of the logs", r.Version, wire.VersionMin, d.Version)
	}
	if r.Version >= wire.VersionGrants && link.GrantsIn(ctx) == nil {
		return nil, wire.Errorf(wire.Conflict, "from version %d on a certificate without grants "+
			"allows nothing, and that of %s has none: have yours issued with grants first",
			wire.VersionGrants, from)
	}
	if lacking := lacking(d.versions(ctx).Nodes, r.Version); lacking != "" {
		return nil, wire.Errorf(wire.Conflict, "not every node knows version %d: %s", r.Version,
			lacking)
	}
	_, err := d.Administrate(ctx, from, "upgrade finalise", wire.CmdFinalise, r)
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

// KeepFormat raises the directory's format with the groups' active versions.
func (d *Desk) KeepFormat(ctx context.Context) error {
	have := uint32(0)
	return seat.Every(ctx, formatPeriod, func() error {
		reached := max(d.Region.ActiveVersion(), d.Federation.ActiveVersion())
		if reached <= have {
			return nil
		}
		have = reached
		return d.Dir.RaiseFormat(reached)
	})
}
