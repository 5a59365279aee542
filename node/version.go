package node

import (
	"context"
	"time"

	"github.com/staffetta/staffetta/wire"
)

// gate refuses commands of a version that the group is not at yet: a replica with an older
// program would stop at them, or, worse, not know that it should.
func gate(commands []wire.Command, active uint32) error {
	for i := range commands {
		if v := needs(&commands[i]); v > active {
			return wire.Errorf(wire.NotReady, "command kind %d needs active version %d of the "+
				"group, it is %d; see `staffetta admin upgrade`", commands[i].Kind, v, active)
		}
	}
	return nil
}

// needs is the active version that a command's group must have. What raises it is logged before,
// once every member knows the new version.
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
		return max(c.Kind.Since(), a.Command.Kind.Since())
	}
	return c.Kind.Since()
}

// keepVersion raises the region's active version to the federation's, once every member of the
// group is known to run a program that knows it. It is a duty of the region's leader.
func (n *Node) keepVersion(ctx context.Context) error {
	tick := time.NewTicker(dutyPause)
	defer tick.Stop()
	for {
		if to := n.federation.ActiveVersion(); to > n.region.ActiveVersion() && n.supported(to) {
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
func (n *Node) supported(version uint32) bool {
	return version <= n.cfg.Founding.ActiveVersion
}

// versionAwaited reports whether the region's log is still to reach the version that the federation
// was founded with.
func (n *Node) versionAwaited() bool {
	_, founded := n.federation.Map()
	return founded && n.region.ActiveVersion() < n.cfg.Founding.ActiveVersion
}
