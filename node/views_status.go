package node

import (
	"context"
	"time"

	"github.com/staffetta/staffetta/consensus"
	"github.com/staffetta/staffetta/wire"
	"github.com/staffetta/staffetta/wire/link"
	"golang.org/x/sys/unix"
)

// status answers MethodStatus.
func (n *Node) status(context.Context, link.Identity, *wire.StatusQuery) (*wire.NodeStatus, error) {
	return n.View(), nil
}

// View is everything that the node knows of itself.
func (n *Node) View() *wire.NodeStatus {
	health, m := n.Health(), n.Map()
	self, _ := m.Node(n.ID)
	s := &wire.NodeStatus{ID: n.ID, Region: n.RegionID, Time: n.Now(),
		Started: wire.TimeOf(n.opened), Binary: n.cfg.Program, Version: wire.Version,
		ActiveVersion: m.ActiveVersion, MapVersion: m.Version,
		Groups: []wire.GroupStatus{
			groupStatus(n.RegionGroup, n.Seat.Region.Store().DiskBytes()),
			groupStatus(n.FederationGroup, n.Seat.Federation.DiskBytes())},
		Disk: n.diskStatus(), Spool: n.SpoolStatus(), Certificate: n.certificateStatus(),
		ContactMillis: uint64(n.FederationContact().Milliseconds()),
		Maintenance:   self.Maintenance,
		Ready:         health.Ready, Reasons: health.Reasons, Degraded: health.Degraded}
	return s
}

func groupStatus(g *consensus.Group, stateBytes uint64) wire.GroupStatus {
	from := g.Status()
	s := wire.GroupStatus{Group: from.Group, Role: from.Role, Leader: from.Leader,
		Term: from.Term, LastIndex: from.LastIndex, CommitIndex: from.CommitIndex,
		AppliedIndex: from.AppliedIndex, LogBytes: uint64(max(from.LogBytes, 0)),
		StateBytes: stateBytes, Digest: from.Digest, DigestIndex: from.DigestIndex,
		LastContactMillis: millis(from.LastContact)}
	for _, f := range g.Followers() {
		s.Followers = append(s.Followers, wire.FollowerStatus{Node: f.Node, Voter: f.Voter,
			Match: f.Match, ContactMillis: millis(f.Contact), SkewMillis: f.Skew.Milliseconds(),
			Stalled: f.Stalled})
	}
	return s
}

// millis keeps -1, which stands for never.
func millis(d time.Duration) int64 {
	if d < 0 {
		return -1
	}
	return d.Milliseconds()
}

// diskStatus is the file system of the data directory; zero when it cannot be asked.
func (n *Node) diskStatus() wire.DiskStatus {
	limits := n.cfg.Disk
	s := wire.DiskStatus{Full: n.disk.Refuses()}
	var fs unix.Statfs_t
	if err := unix.Statfs(n.Dir.Path, &fs); err == nil {
		s.FreeBytes = fs.Bavail * uint64(fs.Bsize)
		s.TotalBytes = fs.Blocks * uint64(fs.Bsize)
		s.RefuseBytes = limits.low(s.TotalBytes)
	}
	return s
}

// certificateStatus is the certificate that the next handshake shows.
func (n *Node) certificateStatus() wire.CertificateStatus {
	cert, err := n.cfg.Certificate()
	if err != nil || cert == nil || cert.Leaf == nil {
		return wire.CertificateStatus{}
	}
	return certificateStatus(cert.Leaf)
}
