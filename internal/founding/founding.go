// Package founding reads the file that every founding node of a federation starts from: which
// regions, nodes and gateways there are, and where. It is JSON, the same file for all, and is
// used once, when a node's data directory is empty; from then on the federation's replicated
// map is the truth.
//
//	{ "federation": "italia", "version": 2,
//	  "regions":  [{"id": "lazio", "tag": 12}],
//	  "nodes":    [{"id": "lazio-1", "region": "lazio", "addr": "10.0.0.1:7400", "voter": true}],
//	  "gateways": [{"id": "gateway-1", "region": "lazio"}] }
//
// A region's tag is its number for ever, 0-1023 (ISTAT's region code is a good one). The anchor
// slots are dealt evenly over the regions, in their order. The version is the logs': the newest
// that the programs of all the nodes know; without one it is the first, until operators finalise.
// With "approvals": 2 it takes two operators to do what hurts a region, from version 3 on.
package founding

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"slices"

	"github.com/staffetta/staffetta/internal/strictjson"
	"github.com/staffetta/staffetta/wire"
)

// BytesMax bounds the file: 2,048 nodes take some 300 KiB.
const BytesMax = 1 << 20

// File is the founding file.
type File struct {
	Federation string    `json:"federation"`
	Version    uint32    `json:"version,omitempty"`
	Approvals  uint32    `json:"approvals,omitempty"`
	Regions    []Region  `json:"regions"`
	Nodes      []Node    `json:"nodes"`
	Gateways   []Gateway `json:"gateways,omitempty"`
}

// Region is a region group.
type Region struct {
	ID  wire.RegionID  `json:"id"`
	Tag wire.RegionTag `json:"tag"`
}

// Node is a relay node; Voter says that it votes in the federation group.
type Node struct {
	ID     wire.NodeID   `json:"id"`
	Region wire.RegionID `json:"region"`
	Addr   string        `json:"addr"`
	Voter  bool          `json:"voter,omitempty"`
}

// Gateway is a gateway and its home region.
type Gateway struct {
	ID     wire.GatewayID `json:"id"`
	Region wire.RegionID  `json:"region"`
}

// Read reads and validates the file at path.
func Read(path string) (*wire.Map, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("founding file: %w", err)
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, BytesMax+1))
	if err != nil {
		return nil, fmt.Errorf("founding file: %w", err)
	}
	m, err := Parse(b)
	if err != nil {
		return nil, fmt.Errorf("founding file %s: %w", path, err)
	}
	return m, nil
}

// Parse validates b, strictly: unknown fields and trailing data are errors.
func Parse(b []byte) (*wire.Map, error) {
	f, err := Decode(b)
	if err != nil {
		return nil, err
	}
	return f.Map()
}

// Decode reads b as it is: strictly, and without asking whether its map can be.
func Decode(b []byte) (*File, error) {
	if len(b) > BytesMax {
		return nil, fmt.Errorf("more than %d bytes", BytesMax)
	}
	var f File
	if err := strictjson.Decode(b, &f); err != nil {
		return nil, err
	}
	return &f, nil
}

// Map deals the anchor slots and returns the validated founding map.
func (f *File) Map() (*wire.Map, error) {
	if f.Version > wire.Version {
		return nil, fmt.Errorf("version %d of the logs, this program knows versions up to %d",
			f.Version, wire.Version)
	}
	if f.Approvals > 0 && f.Version < wire.VersionApprovals {
		return nil, fmt.Errorf("approvals need version %d of the logs", wire.VersionApprovals)
	}
	m := &wire.Map{Federation: f.Federation, Version: 1, ActiveVersion: f.Version,
		Approvals: f.Approvals}
	for _, r := range f.Regions {
		m.Regions = append(m.Regions, wire.Region{ID: r.ID, Tag: r.Tag})
	}
	for _, n := range f.Nodes {
		m.Nodes = append(m.Nodes, wire.Node{ID: n.ID, Region: n.Region, Addr: n.Addr,
			Voter: n.Voter})
	}
	for _, g := range f.Gateways {
		m.Gateways = append(m.Gateways, wire.Gateway(g))
	}
	if len(m.Regions) > 0 {
		m.SlotOwners = make([]wire.RegionTag, wire.Slots)
		for s := range m.SlotOwners {
			m.SlotOwners[s] = m.Regions[s*len(m.Regions)/wire.Slots].Tag
		}
	}
	if err := m.Validate(); err != nil {
		return nil, err
	}
	return m, nil
}

// Of is the file that names the nodes of a map: those that are restored from a backup, and came
// after the founding, start from it. Regions without nodes, which none can found, are left out.
func Of(m *wire.Map) *File {
	f := &File{Federation: m.Federation, Version: m.ActiveVersion, Approvals: m.Approvals}
	there := map[wire.RegionID]bool{}
	for _, n := range m.Nodes {
		there[n.Region] = true
		f.Nodes = append(f.Nodes, Node{ID: n.ID, Region: n.Region, Addr: n.Addr, Voter: n.Voter})
	}
	for _, r := range m.Regions {
		if there[r.ID] {
			f.Regions = append(f.Regions, Region{ID: r.ID, Tag: r.Tag})
		}
	}
	for _, g := range m.Gateways {
		if there[g.Region] {
			f.Gateways = append(f.Gateways, Gateway(g))
		}
	}
	return f
}

// JSON is the file's text.
func (f *File) JSON() []byte {
	b, err := json.MarshalIndent(f, "", "  ")
	if err != nil {
		panic(err) // the types have no value that cannot be encoded
	}
	return append(b, '\n')
}

// Decisive are the regions, of several, without which the federation's group has no majority: whose
// loss takes it away from all of them.
func (f *File) Decisive() (regions []wire.RegionID) {
	votes, all := map[wire.RegionID]int{}, 0
	for _, n := range f.Nodes {
		if n.Voter {
			votes[n.Region]++
			all++
		}
	}
	for _, r := range f.Regions {
		if len(f.Regions) > 1 && all-votes[r.ID] <= all/2 {
			regions = append(regions, r.ID)
		}
	}
	return regions
}

// SpreadVoters names the nodes that vote in the federation group: an odd number of at most seven,
// of every region one before any has two. Where they are fewer than the regions they are spread
// over the country: evenly over the regions in the order of their tags, which ISTAT gives from
// north to south.
func (f *File) SpreadVoters() {
	left := min(len(f.Nodes), wire.VotersMax)
	left -= 1 - left%2
	nodes := map[wire.RegionID][]*Node{}
	for i := range f.Nodes {
		n := &f.Nodes[i]
		n.Voter = false
		nodes[n.Region] = append(nodes[n.Region], n)
	}
	regions := slices.Clone(f.Regions)
	slices.SortStableFunc(regions, func(a, b Region) int { return int(a.Tag) - int(b.Tag) })
	for round := 0; left > 0; round++ {
		var next []*Node // of each region that has one more
		for _, r := range regions {
			if list := nodes[r.ID]; len(list) > round {
				next = append(next, list[round])
			}
		}
		if len(next) == 0 {
			return // the rest is of regions that the file does not have, which is refused elsewhere
		}
		votes := min(left, len(next))
		for i := range votes { // the middle of each of as many equal parts
			next[(2*i+1)*len(next)/(2*votes)].Voter = true
		}
		left -= votes
	}
}
