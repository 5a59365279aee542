package operator

import (
	"bytes"
	"flag"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/staffetta/staffetta/wire"
)

var update = flag.Bool("update", false, "write what the tables look like into testdata")

var viewTime = wire.TimeOf(time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC))

// viewMap is a federation of two regions with three and two nodes.
func viewMap() *wire.Map {
	m := &wire.Map{Federation: "italia", Version: 12, ActiveVersion: 2,
		Regions: []wire.Region{{ID: "sicilia", Tag: 19}, {ID: "lazio", Tag: 12}}}
	for i, n := range []string{"lazio-1", "sicilia-1", "lazio-2", "sicilia-2", "lazio-3"} {
		region, _, _ := strings.Cut(n, "-")
		m.Nodes = append(m.Nodes, wire.Node{ID: wire.NodeID(n), Region: wire.RegionID(region),
			Addr: fmt.Sprintf("10.0.0.%d:7400", i+1), Voter: i < 3})
	}
	return m
}

// viewNodes are its nodes, all well: lazio-1 and sicilia-1 lead.
func viewNodes(m *wire.Map) (views []NodeView) {
	followers := func(group, self string) (list []wire.FollowerStatus) {
		for _, n := range m.Nodes {
			if string(n.ID) == self || group != "federation" && group != "region/"+string(n.Region) {
				continue
			}
			list = append(list, wire.FollowerStatus{Node: n.ID, Match: 1000, ContactMillis: 40,
				Voter: group != "federation" || n.Voter})
		}
		return list
	}
	for _, n := range m.Nodes {
		group := func(name string, leader wire.NodeID, role string) wire.GroupStatus {
			g := wire.GroupStatus{Group: name, Role: role, Leader: leader, Term: 3, LastIndex: 1000,
				CommitIndex: 1000, AppliedIndex: 1000, LogBytes: 32 << 20, StateBytes: 5 << 30,
				Digest: "aa", DigestIndex: 1000}
			if leader == n.ID {
				g.Role, g.Followers = "leader", followers(name, string(leader))
			}
			return g
		}
		role := "follower"
		if !n.Voter {
			role = "nonvoter"
		}
		views = append(views, NodeView{Node: n.ID, Region: n.Region, Addr: n.Addr, Voter: n.Voter,
			HeardMillis: 40, Status: &wire.NodeStatus{ID: n.ID, Region: n.Region, Time: viewTime,
				Started: viewTime.Add(-26 * time.Hour), Binary: "v1.2.0", Version: 2,
				ActiveVersion: 2, MapVersion: 12, Ready: true,
				Groups: []wire.GroupStatus{group("region/"+string(n.Region), wire.NodeID(n.Region+"-1"), "follower"),
					group("federation", "lazio-1", role)},
				Disk: wire.DiskStatus{FreeBytes: 400 << 30, TotalBytes: 1000 << 30,
					RefuseBytes: 1 << 30},
				Certificate: wire.CertificateStatus{Identity: "spiffe://italia/region/" +
					string(n.Region) + "/node/" + string(n.ID),
					NotAfter: viewTime.Add(200 * 24 * time.Hour)}}})
	}
	return views
}

// trouble makes the nodes unwell: one is away, one is asked by way of another, one is behind.
func trouble(views []NodeView) {
	for i := range views {
		v := &views[i]
		switch v.Node {
		case "lazio-3":
			v.Status, v.Problem, v.HeardMillis = nil, "unavailable: no answer", 34_000
		case "sicilia-2":
			v.Via, v.Problem = "sicilia-1", "unavailable: no answer"
			v.Status.Ready, v.Status.Reasons = false, []string{"5000 committed entries are to be applied"}
			v.Status.Groups[0].AppliedIndex = 12
			v.Status.Disk.FreeBytes, v.Status.Disk.Full = 100<<20, true
			v.Status.Certificate.NotAfter = viewTime.Add(3 * 24 * time.Hour)
		case "lazio-2":
			v.Status.Maintenance = "a new disk"
		case "lazio-1":
			v.Status.Spool = []wire.SpoolStatus{{Owner: "sicilia", Blocks: 12, Records: 900,
				Bytes: 1 << 20, Oldest: viewTime.Add(-5 * time.Minute)}}
			for g := range v.Status.Groups {
				for f := range v.Status.Groups[g].Followers {
					if follower := &v.Status.Groups[g].Followers[f]; follower.Node == "lazio-3" {
						follower.ContactMillis, follower.Match = 34_000, 400
					}
				}
			}
		}
	}
}

// TestStatusTable draws the table for terminals of several widths.
func TestStatusTable(t *testing.T) {
	well, unwell := viewNodes(viewMap()), viewNodes(viewMap())
	trouble(unwell)
	var out bytes.Buffer
	for _, c := range []struct {
		title string
		views []NodeView
		look  Look
	}{
		{"all is well", well, Look{}},
		{"not all is well", unwell, Look{}},
		{"not all is well, 80 columns", unwell, Look{Columns: 80}},
		{"not all is well, as narrow as can be", unwell, Look{Columns: 40}},
		{"not all is well, in colours", unwell, Look{Columns: 200, Colour: true}},
	} {
		c.look.Now = viewTime
		fmt.Fprintf(&out, "=== %s\n", c.title)
		var page bytes.Buffer
		if err := WriteStatus(&page, viewMap(), c.views, c.look); err != nil {
			t.Fatal(err)
		}
		table, _, _ := strings.Cut(page.String(), "\nlazio-2: in maintenance")
		for _, line := range strings.Split(table, "\n")[2:] {
			if c.look.Columns == 80 && len(line) > 80 {
				t.Errorf("a line of %d columns where there are 80: %s", len(line), line)
			}
		}
		out.WriteString(strings.ReplaceAll(page.String(), "\x1b", "ESC"))
	}
	const file = "testdata/status.txt"
	if *update {
		if err := os.WriteFile(file, out.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(out.Bytes(), want) {
		t.Errorf("got\n%s\nwant\n%s", &out, want)
	}
}

// viewExamination is a federation in which every way works.
func viewExamination() *Examination {
	m := viewMap()
	e := &Examination{Map: m, Nodes: viewNodes(m), Took: 5 * time.Second}
	for _, from := range e.Nodes {
		r := wire.ProbeReport{Node: from.Node, Self: wire.SelfProbe{FsyncMicros: 2000,
			ReceiveBufferBytes: 14 << 20, WantedBufferBytes: 7 << 20, FilesMax: 65536,
			FilesWanted: 65536}}
		for _, to := range e.Nodes {
			if to.Node != from.Node {
				r.Peers = append(r.Peers, wire.PeerProbe{Node: to.Node, Addr: to.Addr, HeardMillis: 20,
					RoundTripMicros: 3000, Certificate: to.Status.Certificate})
			}
		}
		e.Reports = append(e.Reports, r)
	}
	return e
}

func (e *Examination) self(node wire.NodeID) *wire.SelfProbe {
	i := slices.IndexFunc(e.Reports, func(r wire.ProbeReport) bool { return r.Node == node })
	return &e.Reports[i].Self
}

func (e *Examination) way(from, to wire.NodeID) *wire.PeerProbe {
	i := slices.IndexFunc(e.Reports, func(r wire.ProbeReport) bool { return r.Node == from })
	peers := e.Reports[i].Peers
	return &peers[slices.IndexFunc(peers, func(p wire.PeerProbe) bool { return p.Node == to })]
}

func (e *Examination) status(node wire.NodeID) *wire.NodeStatus {
	i := slices.IndexFunc(e.Nodes, func(v NodeView) bool { return v.Node == node })
	return e.Nodes[i].Status
}

// cut makes a way fail as a dial without an answer does.
func (e *Examination) cut(from, to wire.NodeID) {
	p := e.way(from, to)
	p.Problem, p.ProblemCode = "unavailable: no answer", wire.Unavailable
}

// TestFindings breaks one thing after the other, and looks for what is said of it.
func TestFindings(t *testing.T) {
	if got := viewExamination().Findings(); len(got) != 0 {
		t.Errorf("all is well, and the doctor finds %+v", got)
	}
	for _, c := range []struct {
		name string
		harm func(e *Examination)
		want []string // severity, where, and a part of what is said
	}{
		{"a one-way cut", func(e *Examination) {
			e.cut("lazio-1", "lazio-2")
			e.cut("lazio-2", "lazio-1")
			e.way("lazio-2", "lazio-1").HeardMillis = -1 // lazio-2 hears nothing of lazio-1
		}, []string{"wrong lazio-1 lazio-2 packets from lazio-1 to lazio-2 are lost; those back"}},
		{"a cut both ways", func(e *Examination) {
			e.cut("lazio-1", "lazio-2")
			e.cut("lazio-2", "lazio-1")
			e.way("lazio-2", "lazio-1").HeardMillis = -1
			e.way("lazio-1", "lazio-2").HeardMillis = 600_000
		}, []string{"wrong lazio-1 lazio-2 nothing comes through either way"}},
		{"small packets only", func(e *Examination) {
			e.cut("lazio-1", "lazio-2")
			e.cut("lazio-2", "lazio-1")
		}, []string{"wrong lazio-1 lazio-2 first packets arrive both ways"}},
		{"one direction of dialling", func(e *Examination) { e.cut("sicilia-1", "lazio-2") },
			[]string{"wrong sicilia-1 lazio-2 no answer, while the other direction works"}},
		{"a wrong address on the map", func(e *Examination) {
			for _, v := range e.Nodes {
				if v.Node != "lazio-2" {
					e.cut(v.Node, "lazio-2")
				}
			}
		}, []string{"wrong lazio-2  it runs, and none of 4 nodes reaches it"}},
		{"a certificate that peers refuse", func(e *Examination) {
			p := e.way("lazio-1", "lazio-2")
			p.Problem, p.ProblemCode = "certificate: expired", wire.Unauthenticated
		}, []string{"wrong lazio-1 lazio-2 refuses the certificate that it is shown"}},
		{"a certificate that is refused", func(e *Examination) {
			p := e.way("lazio-1", "lazio-2")
			p.Problem, p.ProblemCode = "unknown authority", wire.Forbidden
		}, []string{"wrong lazio-1 lazio-2 is refused: unknown authority"}},
		{"a certificate near its end", func(e *Examination) {
			e.status("lazio-2").Certificate.NotAfter = viewTime.Add(5 * 24 * time.Hour)
			e.status("lazio-3").Certificate.NotAfter = viewTime.Add(25 * 24 * time.Hour)
		}, []string{"wrong lazio-2  the certificate of", "warning lazio-3  the certificate of"}},
		{"a clock", func(e *Examination) {
			for _, v := range e.Nodes {
				if v.Node != "sicilia-1" {
					e.way(v.Node, "sicilia-1").ClockMillis = 3000
					e.way("sicilia-1", v.Node).ClockMillis = -3000
				}
			}
		}, []string{"wrong sicilia-1  its clock is 3 s ahead of the others'"}},
		{"a far node", func(e *Examination) {
			e.way("lazio-1", "lazio-2").RoundTripMicros = 80_000
			e.way("lazio-1", "sicilia-1").RoundTripMicros = 80_000
		}, []string{"warning lazio-1 lazio-2 a round trip takes 80 ms"}},
		{"a narrow tunnel", func(e *Examination) {
			e.way("lazio-1", "lazio-2").PacketBytes = 1200
			e.way("lazio-2", "lazio-1").PacketBytes = 1439
		}, []string{"warning lazio-1 lazio-2 the path carries UDP packets of at most 1200 bytes; " +
			"back: 1439 bytes"}},
		{"a tunnel as narrow both ways", func(e *Examination) {
			e.way("lazio-1", "lazio-2").PacketBytes = 1210
			e.way("lazio-2", "lazio-1").PacketBytes = 1210
		}, []string{"warning lazio-1 lazio-2 the path carries UDP packets of at most 1210 bytes; " +
			"back: 1210 bytes"}},
		{"machines", func(e *Examination) {
			e.self("lazio-1").FsyncMicros = 150_000
			e.self("lazio-2").ReceiveBufferBytes = 416 << 10
			e.self("lazio-3").FilesMax = 1024
			e.self("sicilia-1").FsyncError = "read-only file system"
			e.self("sicilia-2").CertificateProblem = "the key does not match"
		}, []string{"wrong sicilia-1  a file in the data directory cannot be written",
			"wrong sicilia-2  the certificate's files cannot be used", "warning lazio-1  an fsync took",
			"warning lazio-2  a UDP receive buffer", "warning lazio-3  a limit of 1024 open files"}},
		{"a replica that differs", func(e *Examination) {
			e.status("lazio-2").Groups[0].Digest = "bb"
		}, []string{"wrong   the replicas of region/lazio differ at index 1000"}},
		{"no leader", func(e *Examination) {
			e.status("sicilia-1").Groups[0].Role = "follower"
		}, []string{"wrong   no leader of region/sicilia is known"}},
		{"mixed versions", func(e *Examination) { e.status("lazio-3").Binary = "v1.1.0" },
			[]string{"warning   2 versions of the program run"}},
		{"a disk", func(e *Examination) {
			e.status("lazio-1").Disk.FreeBytes = 5 << 28
			e.status("lazio-2").Disk.Full = true
		}, []string{"wrong lazio-2  400 GiB free", "warning lazio-1  1.2 GiB free"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			e := viewExamination()
			c.harm(e)
			var got []string
			for _, f := range e.Findings() {
				got = append(got, fmt.Sprintf("%s %s %s %s", f.Severity, f.Node, f.Peer, f.What))
				if f.Mend == "" {
					t.Errorf("nothing to mend: %s", f.What)
				}
			}
			matches := slices.EqualFunc(got, c.want, strings.HasPrefix)
			if !matches {
				t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(c.want, "\n"))
			}
		})
	}
}

// TestFindingsOfTheUnreached: a node that nobody reaches is one finding, and costs its group.
func TestFindingsOfTheUnreached(t *testing.T) {
	e := viewExamination()
	trouble(e.Nodes)
	for _, v := range e.Nodes {
		if v.Node != "lazio-3" {
			e.cut(v.Node, "lazio-3")
		}
	}
	e.Reports = slices.DeleteFunc(e.Reports, func(r wire.ProbeReport) bool {
		return r.Node == "lazio-3"
	})
	count := map[wire.NodeID]int{}
	var all []string
	for _, f := range e.Findings() {
		count[f.Node]++
		all = append(all, fmt.Sprintf("%s %s: %s", f.Severity, f.Node, f.What))
	}
	text := strings.Join(all, "\n")
	for _, want := range []string{"wrong lazio-3: nobody reaches it, heard by a leader 34 s ago",
		"warning : region/lazio has 2 of 3 voters", "wrong sicilia-2: not ready",
		"warning sicilia-2: only other nodes reach it, such as sicilia-1"} {
		if !strings.Contains(text, want) {
			t.Errorf("nothing says %q in\n%s", want, text)
		}
	}
	if count["lazio-3"] != 1 {
		t.Errorf("%d findings about the node that is away, want one:\n%s", count["lazio-3"], text)
	}
}

// away makes nodes unreachable.
func (e *Examination) away(nodes ...wire.NodeID) {
	for i := range e.Nodes {
		if v := &e.Nodes[i]; slices.Contains(nodes, v.Node) {
			v.Status, v.Problem = nil, "unavailable: no answer"
		}
	}
	e.Reports = slices.DeleteFunc(e.Reports, func(r wire.ProbeReport) bool {
		return slices.Contains(nodes, r.Node)
	})
	for _, r := range e.Reports {
		for _, n := range nodes {
			e.cut(r.Node, n)
		}
	}
}

// TestOneCauseOneFinding: a region without a majority is one finding, and not one for each of its
// nodes, nor one for each node that waits for a leader.
func TestOneCauseOneFinding(t *testing.T) {
	for name, c := range map[string]struct {
		away []wire.NodeID
		want []string
	}{
		"a majority": {[]wire.NodeID{"lazio-2", "lazio-3"}, []string{
			"region lazio has no majority: 1 of its 3 voters answer, 2 are needed; lazio-2 " +
				"(10.0.0.3:7400), lazio-3 (10.0.0.5:7400): heard by a leader"}},
		"all of a region": {[]wire.NodeID{"sicilia-1", "sicilia-2"}, []string{
			"region sicilia has no majority: 0 of its 2 voters answer, 2 are needed"}},
		"everybody": {[]wire.NodeID{"lazio-1", "lazio-2", "lazio-3", "sicilia-1", "sicilia-2"}, []string{
			"the federation's group has no majority: 0 of its 3 voters answer",
			"region sicilia has no majority", "region lazio has no majority"}},
	} {
		e := viewExamination()
		e.away(c.away...)
		if s := e.status("lazio-1"); s != nil && name == "a majority" {
			s.Ready, s.Reasons = false, []string{"region/lazio: no leader"}
			s.Groups[0].Role, s.Groups[0].Leader = "follower", ""
		}
		var got []string
		for _, f := range e.Findings() {
			if f.Severity == Wrong {
				got = append(got, f.What)
			}
		}
		if !slices.EqualFunc(got, c.want, strings.HasPrefix) {
			t.Errorf("%s: got\n%s\nwant\n%s", name, strings.Join(got, "\n"), strings.Join(c.want, "\n"))
		}
		var page bytes.Buffer
		if err := WriteStatus(&page, e.Map, e.Nodes, Look{Now: viewTime}); err != nil {
			t.Fatal(err)
		}
		for _, want := range c.want {
			if strings.Count(page.String(), want) != 1 {
				t.Errorf("%s: the status does not say once %q:\n%s", name, want, &page)
			}
		}
		if strings.Contains(page.String(), ": unreachable, ") {
			t.Errorf("%s: the status tells of single nodes, too:\n%s", name, &page)
		}
	}
}

// TestOneCauseOneMessage: what several nodes answer alike is said once, with their addresses.
func TestOneCauseOneMessage(t *testing.T) {
	var c causes
	for _, addr := range []string{"10.0.0.2:7400", "10.0.0.1:7400", "10.0.0.3:7400"} {
		c.add(addr, wire.Errorf(wire.Unavailable, "no connection to %s: timeout", addr))
	}
	c.add("10.0.0.4:7400", wire.Errorf(wire.NotReady, "the federation has no map yet"))
	err := c.err()
	if lines := strings.Split(err.Error(), "\n"); len(lines) != 2 ||
		!strings.HasPrefix(lines[0], "10.0.0.1:7400, 10.0.0.2:7400, 10.0.0.3:7400: ") {
		t.Errorf("got\n%v", err)
	}
	if !wire.Retriable(err) {
		t.Error("the code of the errors is lost")
	}
}
