package operator

import (
	"fmt"
	"slices"
	"time"

	"github.com/staffetta/staffetta/wire"
)

// What is worth a finding.
const (
	fsyncSlow     = 100 * time.Millisecond // every submission waits for one
	fsyncWrong    = time.Second
	clockWarning  = 500 * time.Millisecond
	regionFar     = 50 * time.Millisecond // of the regions' election time, a tenth
	federationFar = 500 * time.Millisecond
	// certificateWrong is how long before its end a certificate is more than a warning.
	certificateWrong = 7 * 24 * time.Hour
)

// node judges what a node says of itself.
func (d *doctor) node(v *NodeView) {
	if v.Status == nil {
		if d.said[v.Node] {
			return
		}
		d.say(Wrong, v.Node, "", "is the process running? See its last log line; if it runs: is "+
			"UDP "+v.Addr+" open, and the address on the map right?",
			"nobody reaches it, %s: %s", lastHeard(v), v.Problem)
		return
	}
	if v.Via != "" {
		d.say(Warning, v.Node, "", "let this machine through to UDP "+v.Addr+", if operators are "+
			"to reach it", "only other nodes reach it, such as %s: %s", v.Via, v.Problem)
	}
	s := v.Status
	for _, r := range s.Reasons {
		if consequence(d.still, r) {
			continue
		}
		d.say(Wrong, v.Node, "", "see “Is it well?” in docs/operating.md", "not ready: %s", r)
	}
	for _, r := range s.Degraded {
		d.say(Warning, v.Node, "", "see “Looking closer” in docs/operating.md", "degraded: %s", r)
	}
	if s.Maintenance != "" {
		d.say(Warning, v.Node, "", "end the maintenance when it is over",
			"in maintenance: %s", s.Maintenance)
	}
	switch disk := &s.Disk; {
	case disk.TotalBytes == 0:
	case disk.Full:
		d.say(Wrong, v.Node, "", "make room, or give it a larger disk",
			"%s free of %s: submissions are refused", size(disk.FreeBytes), size(disk.TotalBytes))
	case diskLow(disk):
		d.say(Warning, v.Node, "", "make room, or give it a larger disk",
			"%s free of %s; below %s submissions are refused", size(disk.FreeBytes),
			size(disk.TotalBytes), size(disk.RefuseBytes))
	}
	d.certificate(v.Node, "", &s.Certificate, s.Time)
	if behind := d.Map.Version - min(d.Map.Version, s.MapVersion); behind > 0 {
		d.say(Warning, v.Node, "", "it follows when it hears from the federation's leader",
			"its map is %d versions behind", behind)
	}
}

// diskLow reports that a disk comes near to where submissions are refused: within a third of it.
func diskLow(d *wire.DiskStatus) bool { return d.FreeBytes < d.RefuseBytes+d.RefuseBytes/3 }

// certificate judges a certificate's end.
func (d *doctor) certificate(node, peer wire.NodeID, c *wire.CertificateStatus, now wire.Time) {
	const mend = "put a new certificate and key in place of the files, each by rename"
	left := c.NotAfter.Sub(now)
	switch {
	case c.NotAfter == 0:
	case left <= 0:
		d.say(Wrong, node, peer, mend, "the certificate of %s ended %s ago", c.Identity, span(-left))
	case left < certificateWrong:
		d.say(Wrong, node, peer, mend, "the certificate of %s ends in %s", c.Identity, span(left))
	case left < certificateSoon:
		d.say(Warning, node, peer, mend, "the certificate of %s ends in %s", c.Identity, span(left))
	}
}

// machine judges what a node measured of its machine.
func (d *doctor) machine(r *wire.ProbeReport) {
	p := &r.Self
	fsync := time.Duration(p.FsyncMicros) * time.Microsecond
	const disk = "look at the disk: every submission waits for an fsync of a majority"
	switch {
	case p.FsyncError != "":
		d.say(Wrong, r.Node, "", "look at the disk and at the directory's owner",
			"a file in the data directory cannot be written: %s", p.FsyncError)
	case fsync > fsyncWrong:
		d.say(Wrong, r.Node, "", disk, "an fsync took %s", span(fsync))
	case fsync > fsyncSlow:
		d.say(Warning, r.Node, "", disk, "an fsync took %s", span(fsync))
	}
	if p.ReceiveBufferBytes > 0 && p.ReceiveBufferBytes < p.WantedBufferBytes {
		d.say(Warning, r.Node, "", "sysctl -w net.core.rmem_max=7500000 net.core.wmem_max=7500000, "+
			"then restart the node", "a UDP receive buffer of %s, %s is wanted",
			size(p.ReceiveBufferBytes), size(p.WantedBufferBytes))
	}
	if p.FilesMax > 0 && p.FilesMax < p.FilesWanted {
		d.say(Warning, r.Node, "", fmt.Sprintf("LimitNOFILE=%d in its unit, then restart it",
			p.FilesWanted), "a limit of %d open files, %d is wanted", p.FilesMax, p.FilesWanted)
	}
	if p.CertificateProblem != "" {
		d.say(Wrong, r.Node, "", "put right the files; the node goes on with the old ones meanwhile",
			"the certificate's files cannot be used as they are now: %s", p.CertificateProblem)
	}
}

// recovery warns of regions whose copies whoever takes them can read.
func (d *doctor) recovery() {
	if d.Unfounded || d.Only != "" || d.Map.ActiveVersion < wire.VersionRecovery {
		return
	}
	for _, r := range d.Map.Regions {
		if len(r.Recovery) == 0 {
			d.say(Warning, "", "", "staffetta admin region recovery-key --region "+string(r.ID)+
				" --out FILE",
				"region %s has no recovery key: its copies are taken in clear, or not at all", r.ID)
		}
	}
}

// clocks judges each node's clock by those who compared theirs with it: the median of what they
// saw is right as long as most of them are.
func (d *doctor) clocks() {
	for _, v := range d.Nodes {
		if d.Only != "" && v.Node != d.Only {
			continue
		}
		var ahead []int64
		for key, p := range d.probes {
			if p.Problem != "" {
				continue
			}
			switch v.Node {
			case key[1]:
				ahead = append(ahead, p.ClockMillis)
			case key[0]:
				ahead = append(ahead, -p.ClockMillis)
			}
		}
		if len(ahead) == 0 {
			continue
		}
		slices.Sort(ahead)
		off := time.Duration(ahead[len(ahead)/2]) * time.Millisecond
		way := "ahead of"
		if off < 0 {
			way = "behind"
		}
		const mend = "look at NTP on its machine: chronyc tracking, or timedatectl"
		switch {
		case off.Abs() > wire.ClockSkewMax:
			d.say(Wrong, v.Node, "", mend, "its clock is %s %s the others': it cannot lead",
				span(off.Abs()), way)
		case off.Abs() > clockWarning:
			d.say(Warning, v.Node, "", mend, "its clock is %s %s the others'", span(off.Abs()), way)
		}
	}
}

// paths judges every way between two nodes, one that nobody reaches once and not once for each.
func (d *doctor) paths() {
	unreached := map[wire.NodeID]bool{}
	for _, v := range d.Nodes {
		tried, came := 0, 0
		for key, p := range d.probes {
			if key[1] == v.Node {
				tried++
				if p.Problem == "" {
					came++
				}
			}
		}
		unreached[v.Node] = tried > 1 && came == 0
		if unreached[v.Node] && d.status[v.Node] != nil {
			d.say(Wrong, v.Node, "", "open UDP "+v.Addr+" on its side, or mend its address on the map",
				"it runs, and none of %d nodes reaches it: %s", tried, d.problemsOf(v.Node))
		}
	}
	for _, from := range d.Nodes {
		for _, to := range d.Nodes {
			p := d.probes[[2]wire.NodeID{from.Node, to.Node}]
			switch {
			case p == nil || unreached[to.Node]:
			case p.Problem != "":
				d.broken(from, to, p)
			default:
				d.slow(from, to, p)
			}
		}
	}
}

// problemsOf is why a node is not reached, in the words of one that tried.
func (d *doctor) problemsOf(node wire.NodeID) string {
	for _, from := range d.Nodes {
		if p := d.probes[[2]wire.NodeID{from.Node, node}]; p != nil && p.Problem != "" {
			return p.Problem
		}
	}
	return ""
}

// broken says which way of a path is cut, where that can be told.
func (d *doctor) broken(from, to NodeView, p *wire.PeerProbe) {
	switch p.ProblemCode {
	case wire.Unauthenticated, wire.WrongFederation:
		d.say(Wrong, from.Node, to.Node, "look at "+string(to.Node)+"'s certificate, and at the "+
			"authorities that "+string(from.Node)+" believes",
			"refuses the certificate that it is shown: %s", p.Problem)
		return
	case wire.Forbidden:
		d.say(Wrong, from.Node, to.Node, "look at "+string(from.Node)+"'s certificate, and at the "+
			"authorities that "+string(to.Node)+" believes", "is refused: %s", p.Problem)
		return
	}
	back := d.probes[[2]wire.NodeID{to.Node, from.Node}]
	const firewall = "look at firewalls and routes on that way"
	switch {
	case back == nil: // the other side could not be asked
		d.say(Wrong, from.Node, to.Node, firewall, "no answer: %s", p.Problem)
	case back.Problem == "":
		d.say(Wrong, from.Node, to.Node, "let "+string(from.Node)+" begin connections to UDP "+
			p.Addr+", and look whether that address is right from there",
			"no answer, while the other direction works: %s", p.Problem)
	case d.hears(p) && !d.hears(back):
		d.say(Wrong, from.Node, to.Node, firewall, "packets from %s to %s are lost; those back "+
			"arrive", from.Node, to.Node)
	case !d.hears(p) && d.hears(back): // said of the other direction
	case from.Node > to.Node: // said of the other direction, too
	case d.hears(p):
		d.say(Wrong, from.Node, to.Node, narrow,
			"first packets arrive both ways, and no connection comes about: %s", p.Problem)
	default:
		d.say(Wrong, from.Node, to.Node, firewall+"; else "+narrow,
			"nothing comes through either way: %s", p.Problem)
	}
}

// narrow is what to do about a path on which small packets arrive.
const narrow = "does the path carry IP packets of 1,228 bytes (1,248 with IPv6), which QUIC " +
	"needs? Try `ping -M do -s 1200`, and look at the MTU of tunnels on the way"

// packetsWide is the UDP payload from which a path is as wide as IPv6 demands of every link.
const packetsWide = 1280 - 40 - 8

// width says that a path carries small packets only, with what was found each way.
func (d *doctor) width(from, to NodeView, p *wire.PeerProbe) {
	back := "not known"
	if b := d.probes[[2]wire.NodeID{to.Node, from.Node}]; b != nil && b.PacketBytes > 0 {
		if b.PacketBytes < p.PacketBytes || b.PacketBytes == p.PacketBytes && from.Node > to.Node {
			return // said of the other direction
		}
		back = fmt.Sprintf("%d bytes", b.PacketBytes)
	}
	if p.PacketBytes > 0 && p.PacketBytes < packetsWide {
		d.say(Warning, from.Node, to.Node, "look at the MTU of tunnels on the way: with less than "+
			"1,200 bytes no connection comes about", "the path carries UDP packets of at most %d "+
			"bytes; back: %s", p.PacketBytes, back)
	}
}

// hears reports whether the prober heard from the peer's address during the examination.
func (d *doctor) hears(p *wire.PeerProbe) bool {
	return p.HeardMillis >= 0 && p.HeardMillis <= d.Took.Milliseconds()
}

// slow judges a path that works.
func (d *doctor) slow(from, to NodeView, p *wire.PeerProbe) {
	trip := time.Duration(p.RoundTripMicros) * time.Microsecond
	far := federationFar
	if from.Region == to.Region {
		far = regionFar
	}
	if trip > far {
		d.say(Warning, from.Node, to.Node, "look at the line between them: elections and every "+
			"commit take a multiple of it", "a round trip takes %s", span(trip))
	}
	d.width(from, to, p)
	if s := d.status[to.Node]; s != nil && p.Certificate.Identity != "" &&
		p.Certificate.Identity != s.Certificate.Identity {
		d.say(Wrong, from.Node, to.Node, "look who listens at "+p.Addr, "it shows a certificate of "+
			"%s", p.Certificate.Identity)
	}
}
