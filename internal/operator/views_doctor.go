package operator

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/staffetta/staffetta/wire"
)

// Severity says how bad a finding is.
type Severity string

// The severities.
const (
	Wrong   Severity = "wrong"   // something does not work, or is about to stop
	Warning Severity = "warning" // it works, with less reserve than it should have
)

// Finding is one thing that a doctor found, with what to do about it.
type Finding struct {
	Severity Severity    `json:"severity"`
	Node     wire.NodeID `json:"node,omitempty"` // empty: of the whole federation, or of a group
	Peer     wire.NodeID `json:"peer,omitempty"` // with Node: of the way from Node to Peer
	What     string      `json:"what"`
	Mend     string      `json:"mend"`
}

// Examination is all that a doctor saw.
type Examination struct {
	Map   *wire.Map  `json:"-"`
	Nodes []NodeView `json:"nodes"`
	// Reports are the probes of the nodes that could be asked, in order of Nodes.
	Reports []wire.ProbeReport `json:"reports"`
	// Unfounded: the federation has no map yet, and Map is the founding file's.
	Unfounded bool `json:"unfounded,omitempty"`
	// Took is how long the probes took, both rounds: what a node heard before says nothing.
	Took time.Duration `json:"-"`
	// Only is the node that was asked for; empty: all.
	Only wire.NodeID `json:"only,omitempty"`
}

const (
	// examineWait bounds the probes of one node: each sixteen peers that are away take seconds.
	examineWait = time.Minute
	// examineAtOnce bounds the nodes that probe at a time: each makes handshakes with all others.
	examineAtOnce = 8
)

// Examine lets every node that can be asked look at itself and reach for every other; with only,
// that node for all others and they for it. progress is told what is begun.
func (c *Client) Examine(ctx context.Context, only wire.NodeID, progress func(string)) (
	*Examination, error) {
	progress("asking every node for its status")
	m, views, err := c.Statuses(ctx)
	if err != nil {
		return nil, err
	}
	unfounded := m == c.founding
	if _, ok := m.Node(only); only != "" && !ok {
		return nil, wire.Errorf(wire.NotFound, "no node %q on the map", string(only))
	}
	e := &Examination{Map: m, Nodes: views, Only: only, Unfounded: unfounded}
	progress(fmt.Sprintf("each of %d nodes reaches for its peers", answered(views)))
	begun := time.Now()
	first := c.probeAll(ctx, views, func(node wire.NodeID) []wire.NodeID {
		return peersOf(m, node, only)
	})
	// What failed is tried again, now that all have tried: only then is it known who heard whom.
	failed := map[wire.NodeID][]wire.NodeID{}
	for _, r := range first {
		for i := range r.Peers {
			if r.Peers[i].Problem != "" {
				failed[r.Node] = append(failed[r.Node], r.Peers[i].Node)
			}
		}
	}
	if len(failed) > 0 {
		progress("trying again what failed")
		second := c.probeAll(ctx, views, func(node wire.NodeID) []wire.NodeID {
			return failed[node]
		})
		merge(first, second)
	}
	e.Took = time.Since(begun)
	for _, v := range views {
		if r, ok := first[v.Node]; ok {
			e.Reports = append(e.Reports, *r)
		}
	}
	return e, nil
}

func answered(views []NodeView) (n int) {
	for i := range views {
		if views[i].Status != nil {
			n++
		}
	}
	return n
}

// peersOf are whom a node is to reach for.
func peersOf(m *wire.Map, node, only wire.NodeID) (peers []wire.NodeID) {
	for _, n := range m.Nodes {
		if n.ID != node && (only == "" || only == node || only == n.ID) {
			peers = append(peers, n.ID)
		}
	}
	return peers
}

// probeAll asks the nodes that answered to probe the peers given for each; nodes that no peers are
// given for are not asked, and those that do not answer now are left out.
func (c *Client) probeAll(ctx context.Context, views []NodeView,
	peers func(wire.NodeID) []wire.NodeID) map[wire.NodeID]*wire.ProbeReport {
	reports := make([]*wire.ProbeReport, len(views))
	places := make(chan struct{}, examineAtOnce)
	c.each(views, func(v *NodeView) {
		list := peers(v.Node)
		if v.Status == nil || len(list) == 0 && len(views) > 1 {
			return
		}
		places <- struct{}{}
		defer func() { <-places }()
		ask, q := v.Node, &wire.Probe{Peers: list[:min(len(list), wire.ProbePeersMax)]}
		if v.Via != "" {
			ask, q.Of = v.Via, v.Node
		}
		report := new(wire.ProbeReport)
		if c.within(ctx, examineWait, ask, wire.MethodProbe, q, report) == nil {
			i := slices.IndexFunc(views, func(o NodeView) bool { return o.Node == v.Node })
			reports[i] = report
		}
	})
	byNode := map[wire.NodeID]*wire.ProbeReport{}
	for i, r := range reports {
		if r != nil {
			byNode[views[i].Node] = r
		}
	}
	return byNode
}

// merge puts the second try of each probe in place of the first.
func merge(first, second map[wire.NodeID]*wire.ProbeReport) {
	for node, again := range second {
		r := first[node]
		for i := range again.Peers {
			for j := range r.Peers {
				if r.Peers[j].Node == again.Peers[i].Node {
					r.Peers[j] = again.Peers[i]
				}
			}
		}
	}
}

// Findings says what is wrong and what to do about it, the worst first.
func (e *Examination) Findings() []Finding {
	d := doctor{Examination: e, status: map[wire.NodeID]*wire.NodeStatus{},
		probes: map[[2]wire.NodeID]*wire.PeerProbe{}}
	for i := range e.Nodes {
		if s := e.Nodes[i].Status; s != nil {
			d.status[e.Nodes[i].Node] = s
		}
	}
	for i := range e.Reports {
		r := &e.Reports[i]
		for j := range r.Peers {
			d.probes[[2]wire.NodeID{r.Node, r.Peers[j].Node}] = &r.Peers[j]
		}
	}
	d.still = standstills(e.Map, e.Nodes)
	d.said = nodesSaid(d.still)
	d.groups()
	d.recovery()
	for i := range e.Nodes {
		if e.Only == "" || e.Nodes[i].Node == e.Only {
			d.node(&e.Nodes[i])
		}
	}
	for i := range e.Reports {
		if e.Only == "" || e.Reports[i].Node == e.Only {
			d.machine(&e.Reports[i])
		}
	}
	d.clocks()
	d.paths()
	slices.SortStableFunc(d.found, func(a, b Finding) int {
		return rank(a.Severity) - rank(b.Severity)
	})
	return d.found
}

func rank(s Severity) int {
	if s == Wrong {
		return 0
	}
	return 1
}

// doctor judges an examination.
type doctor struct {
	*Examination
	still  []standstill
	said   map[wire.NodeID]bool // by one of still
	status map[wire.NodeID]*wire.NodeStatus
	probes map[[2]wire.NodeID]*wire.PeerProbe // from, to
	found  []Finding
}

func (d *doctor) say(s Severity, node, peer wire.NodeID, mend, what string, args ...any) {
	d.found = append(d.found, Finding{Severity: s, Node: node, Peer: peer, Mend: mend,
		What: fmt.Sprintf(what, args...)})
}

// groups judges what concerns no single node: leaders, majorities, digests, versions.
func (d *doctor) groups() {
	names := []string{"federation"}
	for _, r := range d.Map.Regions {
		names = append(names, "region/"+string(r.ID))
	}
	for _, name := range names {
		d.group(name)
	}
	if d.Unfounded {
		d.say(Warning, "", "", "start a majority of its voters: they found it by themselves",
			"the federation is not founded yet; this is by the founding file")
	}
	versions := map[string][]wire.NodeID{}
	for _, v := range d.Nodes {
		if v.Status != nil {
			versions[v.Status.Binary] = append(versions[v.Status.Binary], v.Node)
		}
	}
	if len(versions) > 1 {
		d.say(Warning, "", "", "finish the upgrade: one version on all nodes, then `staffetta admin "+
			"upgrade finalise`", "%d versions of the program run", len(versions))
	}
}

// group judges one group by its leader, and its replicas by each other.
func (d *doctor) group(name string) {
	members, digests := 0, map[uint64]map[string][]wire.NodeID{}
	for _, v := range d.Nodes {
		if v.Status == nil {
			continue
		}
		for _, g := range v.Status.Groups {
			if g.Group != name {
				continue
			}
			members++
			if digests[g.DigestIndex] == nil {
				digests[g.DigestIndex] = map[string][]wire.NodeID{}
			}
			byDigest := digests[g.DigestIndex]
			byDigest[g.Digest] = append(byDigest[g.Digest], v.Node)
		}
	}
	for _, index := range slices.Sorted(maps.Keys(digests)) {
		if byDigest := digests[index]; len(byDigest) > 1 {
			d.say(Wrong, "", "", "stop the replica that differs from the majority, keep its "+
				"directory, and give it an empty one", "the replicas of %s differ at index %d: %v",
				name, index, byDigest)
		}
	}
	for i := range d.still {
		if d.still[i].group == name {
			d.say(Wrong, "", "", "start its other nodes: is the process running, what is its last log "+
				"line, is its UDP port open? If disks are lost: “Copies and restore” in "+
				"docs/operating.md", "%s", d.still[i].String())
			return
		}
	}
	leader, g := leaderOf(d.Nodes, name)
	switch {
	case g == nil && members > 0:
		d.say(Wrong, "", "", "start the group's other nodes; a majority of its voters must reach "+
			"each other", "no leader of %s is known", name)
	case g != nil:
		d.majority(name, leader.Node, g)
	}
}

// majority says when a group cannot lose another member.
func (d *doctor) majority(name string, leader wire.NodeID, g *wire.GroupStatus) {
	there, voters := 1, 1
	for _, f := range g.Followers {
		if f.Voter {
			voters++
			if f.ContactMillis >= 0 && f.ContactMillis < absentMillis {
				there++
			}
		}
		if f.Stalled {
			d.say(Wrong, f.Node, "", "restart it; if it stays so, give it an empty directory",
				"it answers %s, the leader of %s, and does not follow", leader, name)
		}
	}
	if there < voters && there <= voters/2+1 {
		d.say(Warning, "", "", "bring the others back before touching one of these",
			"%s has %d of %d voters: with one less it stops", name, there, voters)
	}
}
