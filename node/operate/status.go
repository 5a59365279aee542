package operate

import (
	"context"
	"time"

	"github.com/staffetta/staffetta/consensus"
	"github.com/staffetta/staffetta/wire"
	"github.com/staffetta/staffetta/wire/link"
	"golang.org/x/sys/unix"
)

// status answers MethodStatus.
func (d *Desk) status(context.Context, link.Identity, *wire.StatusQuery) (*wire.NodeStatus, error) {
	return d.View(), nil
}

// View is everything that the node knows of itself.
func (d *Desk) View() *wire.NodeStatus {
	health, m := d.cfg.Health(), d.Map()
	self, _ := m.Node(d.ID)
	s := &wire.NodeStatus{ID: d.ID, Region: d.RegionID, Time: d.Now(),
		Started: wire.TimeOf(d.opened), Binary: d.cfg.Program, Version: wire.Version,
		ActiveVersion: m.ActiveVersion, MapVersion: m.Version,
		Groups: []wire.GroupStatus{
			groupStatus(d.RegionGroup, d.Region.Store().DiskBytes()),
			groupStatus(d.FederationGroup, d.Federation.DiskBytes())},
		Disk: d.diskStatus(), Spool: d.cfg.Spool(), Certificate: d.certificateStatus(),
		ContactMillis: uint64(d.FederationContact().Milliseconds()),
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
func (d *Desk) diskStatus() wire.DiskStatus {
	limits := d.cfg.Disk
	s := wire.DiskStatus{Full: d.disk.Refuses()}
	var fs unix.Statfs_t
	if err := unix.Statfs(d.Dir.Path, &fs); err == nil {
		s.FreeBytes = fs.Bavail * uint64(fs.Bsize)
		s.TotalBytes = fs.Blocks * uint64(fs.Bsize)
		s.RefuseBytes = limits.low(s.TotalBytes)
	}
	return s
}

// certificateStatus is the certificate that the next handshake shows.
func (d *Desk) certificateStatus() wire.CertificateStatus {
	cert, err := d.cfg.Certificate()
	if err != nil || cert == nil || cert.Leaf == nil {
		return wire.CertificateStatus{}
	}
	return certificateStatus(cert.Leaf)
}
