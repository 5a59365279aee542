package node

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/staffetta/staffetta/wire"
	"github.com/staffetta/staffetta/wire/link"
)

// versionPeriod is how often a region's leader looks whether its log may go on in a new version.
const versionPeriod = 500 * time.Millisecond

// gate refuses commands of a version that the group is not at yet: a replica with an older
// program would stop at them, or, worse, not know that it should. What this program does not know
// itself is of no version, and is refused in any.
func gate(commands []wire.Command, active uint32) error {
	for i := range commands {
		v := needs(&commands[i])
		if v == 0 {
			return commands[i].Kind.Unknown()
		}
		if v > active {
			return wire.Errorf(wire.NotReady, "command kind %d needs active version %d of the "+
				"group, it is %d; see `staffetta admin upgrade`", commands[i].Kind, v, active)
		}
	}
	return nil
}

// needs is the active version that a command's group must have; 0: it is not known. What raises it
// is logged before, once every member knows the new version.
func needs(c *wire.Command) uint32 {
	switch c.Kind {
	case wire.CmdRaiseVersion, wire.CmdFinalise:
		return wire.VersionMin
	case wire.CmdAudit:
		var a wire.Audited
		if wire.Decode(c.Body, &a) != nil {
			break // refused at apply
		}
		if a.Command.Kind == wire.CmdFinalise {
			return wire.VersionMin
		}
		if a.Command.Kind.Since() == 0 {
			return 0
		}
		return max(c.Kind.Since(), a.Command.Kind.Since())
	}
	return c.Kind.Since()
}

// keepVersion raises the region's active version to the federation's, once every member of the
// group is known to run a program that knows it. It is a duty of the region's leader.
func (n *Node) keepVersion(ctx context.Context) error {
	tick := time.NewTicker(versionPeriod)
	defer tick.Stop()
	for {
		if to := n.federation.ActiveVersion(); to > n.region.ActiveVersion() && n.supported(ctx, to) {
			err := n.regionQueue.do(ctx, wire.CmdRaiseVersion, &wire.RaiseVersion{Version: to}, nil)
			if err == nil {
				n.log.Info("the region's log goes on in a new version", "version", to)
			} else if ctx.Err() == nil && !wire.Retriable(err) {
				n.log.Warn("the region's version was not raised", "reason", err.Error())
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
	if version <= n.cfg.Founding.ActiveVersion && !n.cfg.Joined {
		return true
	}
	if version > n.cfg.Version {
		return false
	}
	_, members := membersOf(n.regionGroup)
	answers := n.askReplicas(ctx, members, func(wire.NodeID) *wire.ReplicaQuery {
		return &wire.ReplicaQuery{Group: regionGroup(n.cfg.Region)}
	})
	for _, id := range members {
		if r := answers[id]; id != n.cfg.ID && (r == nil || r.Version < version) {
			return false
		}
	}
	return len(members) > 0
}

// versionAwaited reports whether the region's log is still to reach the version that the federation
// was founded with; for a node that founds its region, the one that it joined at.
func (n *Node) versionAwaited() bool {
	_, founded := n.federation.Map()
	return founded && (!n.cfg.Joined || n.cfg.Founds) &&
		n.region.ActiveVersion() < n.cfg.Founding.ActiveVersion
}

// upgrade answers MethodUpgrade: which program every node of the map runs, and how far it is.
func (n *Node) upgrade(ctx context.Context, _ link.Identity, _ *none) (*wire.Upgrade, error) {
	u := n.versions(ctx)
	return &u, nil
}

// versions asks every node of the map for its version.
func (n *Node) versions(ctx context.Context) wire.Upgrade {
	m := n.currentMap()
	ids := make([]wire.NodeID, len(m.Nodes))
	regions := make(map[wire.NodeID]wire.RegionID, len(m.Nodes))
	for i, node := range m.Nodes {
		ids[i], regions[node.ID] = node.ID, node.Region
	}
	answers := n.askReplicas(ctx, ids, func(id wire.NodeID) *wire.ReplicaQuery {
		return &wire.ReplicaQuery{Group: regionGroup(regions[id])}
	})
	answers[n.cfg.ID] = &wire.Replica{Version: n.cfg.Version, Active: n.region.ActiveVersion()}
	u := wire.Upgrade{Active: n.federation.ActiveVersion(), Newest: n.cfg.Version}
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
	*none, error) {
	if r.Version > n.cfg.Version || r.Version < wire.VersionMin {
		return nil, wire.Errorf(wire.Conflict, "version %d: this node's program knows versions %d "+
			"to %d of the logs", r.Version, wire.VersionMin, n.cfg.Version)
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
	_, err := n.administrate(ctx, from, "upgrade finalise", wire.CmdFinalise, r)
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

// ownerFormat is a data directory's format: the newest version that its groups' logs may hold. An
// older program refuses a directory above its own, whatever it would find in the logs.
const ownerFormat = wire.VersionMin

// formatPeriod is how often a node looks whether its directory's format is still right.
const formatPeriod = time.Second

// checkFormat refuses a directory that a newer program wrote.
func (o owner) checkFormat(path string) error {
	if o.Format < wire.VersionMin || o.Format > wire.Version {
		return fmt.Errorf("data directory %s is of version %d, this program knows versions %d to "+
			"%d: start it with the program that wrote it, or a newer one", path, o.Format,
			wire.VersionMin, wire.Version)
	}
	return nil
}

// raiseFormat notes the version that the groups have reached.
func (d *dataDir) raiseFormat(version uint32) error {
	b, err := os.ReadFile(d.sub(ownerFile))
	if err != nil {
		return fmt.Errorf("data directory: %w", err)
	}
	var o owner
	if err := json.Unmarshal(b, &o); err != nil {
		return fmt.Errorf("data directory: %s is damaged: %w", ownerFile, err)
	}
	if o.Format >= int(version) {
		return nil
	}
	o.Format = int(version)
	if b, err = json.Marshal(o); err != nil {
		return err
	}
	if err := writeSynced(d.path, ownerFile, b); err != nil {
		return fmt.Errorf("data directory: %w", err)
	}
	return nil
}

// keepFormat raises the directory's format with the groups' active versions.
func (n *Node) keepFormat(ctx context.Context) error {
	tick := time.NewTicker(formatPeriod)
	defer tick.Stop()
	for have := uint32(0); ; {
		if reached := max(n.region.ActiveVersion(), n.federation.ActiveVersion()); reached > have {
			if err := n.dir.raiseFormat(reached); err != nil {
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
