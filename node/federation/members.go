package federation

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"strconv"
	"unicode/utf8"

	"github.com/staffetta/staffetta/internal/codec"
	"github.com/staffetta/staffetta/internal/store"
	"github.com/staffetta/staffetta/wire"
)

// Names and tags that were given once and are given to nobody else: a machine that comes back
// after years must not meet its own name with somebody new. One row each, kept for ever.
//
//	j/n/<node>     a node that was removed
//	j/r/<region>   the tag of a region that was removed
//	j/g/<tag u16>  its name
func goneNodeKey(id wire.NodeID) []byte     { return append([]byte("j/n/"), id...) }
func goneRegionKey(id wire.RegionID) []byte { return append([]byte("j/r/"), id...) }
func goneTagKey(tag wire.RegionTag) []byte {
	return append([]byte("j/g/"), byte(tag>>8), byte(tag))
}

// past is what is kept of members that are on the map no more.
type past interface {
	// get answers the row of key; the second result is false when there is none.
	get(key []byte) ([]byte, bool)
	// restored reports whether members may have been forgotten.
	restored() bool
	// awaited is a region whose report a restored federation waits for; empty: there is none.
	awaited() wire.RegionID
}

func (t *tx) restored() bool { return t.incarnation > 0 }

// members applies one change of the federation's members; see wire.MemberChange. Every change may
// be repeated: the same one again changes nothing.
func (t *tx) members(c *wire.MemberChange) (codec.Message, *wire.Error) {
	founded := t.founded
	err := t.changeMap(func(m *wire.Map) *wire.Error { return changeMembers(m, c, t) })
	if err == nil && c.RemoveNode != nil && t.founded == founded && t.restored() {
		t.forget(c.RemoveNode.ID)
	}
	if err != nil || t.founded == founded {
		return nil, err
	}
	for _, n := range founded.m.Nodes {
		if _, there := t.founded.m.Node(n.ID); !there {
			t.set(goneNodeKey(n.ID), []byte(n.Region))
		}
	}
	for _, r := range founded.m.Regions {
		if _, there := t.founded.m.RegionByID(r.ID); !there {
			t.set(goneRegionKey(r.ID), []byte{byte(r.Tag >> 8), byte(r.Tag)})
			t.set(goneTagKey(r.Tag), []byte(r.ID))
		}
	}
	return nil, nil
}

// forget notes that a node is removed which a restored federation does not know: it joined after
// the copy was made, and is a member of its group until somebody says so.
func (t *tx) forget(id wire.NodeID) {
	_, there := t.founded.m.Node(id)
	if _, was := t.get(goneNodeKey(id)); !there && !was {
		t.set(goneNodeKey(id), nil)
	}
}

// Removed reports whether an operator removed a node: that the map does not name one may also be
// because the federation was restored from a copy that is older than the node.
func (s *State) Removed(id wire.NodeID) (bool, error) {
	_, was, err := s.db.Get(goneNodeKey(id))
	return was, err
}

// PlanMembers returns the map as changes, one after the other, would leave it, or why one would be
// refused; nothing changes. The version is the present one when nothing would.
func (s *State) PlanMembers(changes ...*wire.MemberChange) (*wire.Map, error) {
	f := s.founded.Load()
	if f == nil {
		return nil, wire.Errorf(wire.NotReady, "the federation is not founded yet")
	}
	before := wire.Encode(f.m)
	m := new(wire.Map)
	if err := wire.Decode(before, m); err != nil {
		return nil, err
	}
	awaited, err := s.Awaited()
	if err != nil {
		return nil, err
	}
	p := &viewOfPast{db: s.db, old: s.Incarnation() > 0}
	if len(awaited) > 0 {
		p.waits = awaited[0]
	}
	for _, c := range changes {
		if err := changeMembers(m, c, p); err != nil {
			return nil, err
		}
	}
	if p.err != nil {
		return nil, fmt.Errorf("federation: %w", p.err)
	}
	if err := validateMap(m); err != nil {
		return nil, err
	}
	if !bytes.Equal(wire.Encode(m), before) {
		m.Version++
	}
	return m, nil
}

// viewOfPast reads what is durable.
type viewOfPast struct {
	db    *store.DB
	old   bool
	waits wire.RegionID
	err   error
}

func (v *viewOfPast) restored() bool { return v.old }

func (v *viewOfPast) awaited() wire.RegionID { return v.waits }

func (v *viewOfPast) get(key []byte) ([]byte, bool) {
	row, ok, err := v.db.Get(key)
	v.err = errors.Join(v.err, err)
	return row, ok && err == nil
}

// changeMembers changes m, or says why not; m is then void.
func changeMembers(m *wire.Map, c *wire.MemberChange, p past) *wire.Error {
	if err := c.Validate(); err != nil {
		return err
	}
	switch {
	case c.PutRegion != nil:
		return putRegion(m, c.PutRegion, p)
	case c.RemoveRegion != "":
		return removeRegion(m, c.RemoveRegion, p)
	case c.Node != nil:
		return changeNode(m, c.Node)
	case c.RemoveNode != nil:
		return removeNode(m, c.RemoveNode, p)
	case c.PutGateway != nil:
		return putGateway(m, c.PutGateway)
	case c.RemoveGateway != "":
		m.Gateways = slices.DeleteFunc(m.Gateways,
			func(g wire.Gateway) bool { return g.ID == c.RemoveGateway })
		return nil
	}
	return setVoters(m, c.Voters)
}

func putRegion(m *wire.Map, c *wire.RegionChange, p past) *wire.Error {
	if c.Closing {
		if err := checkRedeal(p.awaited()); err != nil {
			return err
		}
	}
	i := slices.IndexFunc(m.Regions, func(r wire.Region) bool { return r.ID == c.ID })
	if i >= 0 && m.Regions[i].Tag != c.Tag {
		return wire.Errorf(wire.Conflict, "region %s has tag %d, for ever", c.ID, m.Regions[i].Tag)
	}
	if i >= 0 {
		if c.Closing {
			if err := freeOfSlots(m, m.Regions[i]); err != nil {
				return err
			}
		}
		m.Regions[i].Closing = c.Closing
		return nil
	}
	switch {
	case !c.ID.Valid() || c.Tag >= wire.RegionTags:
		return wire.Malformedf("region %.40q with tag %d: a name of 1-%d of [a-z0-9-] and a tag of "+
			"0-%d are needed", c.ID, c.Tag, wire.NameBytesMax, wire.RegionTags-1)
	case c.Closing:
		return wire.Errorf(wire.NotFound, "no region %q on the map", c.ID)
	}
	if r, taken := m.RegionByTag(c.Tag); taken {
		return wire.Errorf(wire.Conflict, "tag %d is region %s's", c.Tag, r.ID)
	}
	if id, was := p.get(goneTagKey(c.Tag)); was && wire.RegionID(id) != c.ID {
		return wire.Errorf(wire.Conflict, "tag %d was region %s's, for ever", c.Tag, id)
	}
	if tag, was := p.get(goneRegionKey(c.ID)); was && len(tag) == 2 &&
		wire.RegionTag(tag[0])<<8|wire.RegionTag(tag[1]) != c.Tag {
		return wire.Errorf(wire.Conflict, "region %s had tag %d, for ever", c.ID,
			uint16(tag[0])<<8|uint16(tag[1]))
	}
	m.Regions = append(m.Regions, wire.Region{ID: c.ID, Tag: c.Tag})
	return nil
}

// freeOfSlots refuses to give up a region that still anchors codes.
func freeOfSlots(m *wire.Map, r wire.Region) *wire.Error {
	held := 0
	for _, tag := range m.SlotOwners {
		if tag == r.Tag {
			held++
		}
	}
	if held > 0 {
		return wire.Errorf(wire.Conflict, "region %s holds %d anchor slots: deal them to other "+
			"regions first", r.ID, held)
	}
	for _, d := range m.SlotDeals {
		if d.From == r.Tag {
			return wire.Errorf(wire.Conflict, "anchor slot %d is not handed over by region %s yet",
				d.Slot, r.ID)
		}
	}
	return nil
}

func removeRegion(m *wire.Map, id wire.RegionID, p past) *wire.Error {
	r, ok := m.RegionByID(id)
	if !ok {
		if _, was := p.get(goneRegionKey(id)); was {
			return nil
		}
		return wire.Errorf(wire.NotFound, "no region %.40q on the map", id)
	}
	if nodes := nodesOf(m, id); nodes > 0 {
		return wire.Errorf(wire.Conflict, "region %s has %d nodes: remove them first", id, nodes)
	}
	for _, g := range m.Gateways {
		if g.Region == id {
			return wire.Errorf(wire.Conflict, "region %s is home of gateway %s: remove it first", id,
				g.ID)
		}
	}
	if !r.Closing {
		return wire.Errorf(wire.Conflict, "region %s is not closing", id)
	}
	if err := freeOfSlots(m, r); err != nil {
		return err
	}
	m.Regions = slices.DeleteFunc(m.Regions, func(r wire.Region) bool { return r.ID == id })
	return nil
}

func nodesOf(m *wire.Map, region wire.RegionID) (count int) {
	for _, n := range m.Nodes {
		if n.Region == region {
			count++
		}
	}
	return count
}

// regionVoters counts those who are to vote in a region's group.
func regionVoters(m *wire.Map, region wire.RegionID) (count int) {
	for _, n := range m.Nodes {
		if n.Region == region && !n.Nonvoter {
			count++
		}
	}
	return count
}

func changeNode(m *wire.Map, c *wire.NodeChange) *wire.Error {
	i := slices.IndexFunc(m.Nodes, func(n wire.Node) bool { return n.ID == c.ID })
	if i < 0 {
		return wire.Errorf(wire.NotFound, "no node %.40q on the map", c.ID)
	}
	if c.Transfer != "" && c.Transfer != "region" && c.Transfer != "federation" {
		return wire.Malformedf("a node hands over a region or the federation")
	}
	n := &m.Nodes[i]
	before := regionVoters(m, n.Region)
	if c.Addr != "" {
		if err := validateAddr(c.Addr); err != nil {
			return err
		}
		n.Addr = c.Addr
	}
	if c.SetNonvoter {
		n.Nonvoter = c.Nonvoter
	}
	if c.SetMaintenance {
		if len(c.Maintenance) > wire.MaintenanceBytesMax || !utf8.ValidString(c.Maintenance) {
			return wire.Malformedf("the reason of a maintenance is UTF-8 of at most %d bytes",
				wire.MaintenanceBytesMax)
		}
		n.Maintenance = c.Maintenance
	}
	return enoughVoters(m, n.Region, before)
}

// validateAddr refuses what no node can listen on.
func validateAddr(addr string) *wire.Error {
	host, service, err := net.SplitHostPort(addr)
	port, portErr := strconv.ParseUint(service, 10, 16)
	if err != nil || portErr != nil || host == "" || port == 0 || len(addr) > addrBytesMax ||
		!wire.Visible(addr) {
		return wire.Malformedf("%.80q is no address: host:port is needed", addr)
	}
	return nil
}

// enoughVoters refuses to take a vote where too few are left: none, or two, of whom neither may
// fail. Two on the way up are a passing thing.
func enoughVoters(m *wire.Map, region wire.RegionID, before int) *wire.Error {
	r, _ := m.RegionByID(region)
	after := regionVoters(m, region)
	switch {
	case after >= before || r.Closing:
		return nil
	case after == 0:
		return wire.Errorf(wire.Conflict, "region %s would have no voter left", region)
	case after == 2:
		return wire.Errorf(wire.Conflict, "region %s would have two voters left, of whom neither "+
			"may fail: join another node first", region)
	}
	return nil
}

func removeNode(m *wire.Map, c *wire.NodeRemoval, p past) *wire.Error {
	n, ok := m.Node(c.ID)
	if !ok {
		if _, was := p.get(goneNodeKey(c.ID)); was || p.restored() && c.ID.Valid() {
			return nil
		}
		return wire.Errorf(wire.NotFound, "no node %.40q on the map", c.ID)
	}
	r, _ := m.RegionByID(n.Region)
	if nodesOf(m, n.Region) == 1 && !r.Closing {
		return wire.Errorf(wire.Conflict, "node %s is the last of region %s, which is not closing",
			n.ID, n.Region)
	}
	before := regionVoters(m, n.Region)
	m.Nodes = slices.DeleteFunc(m.Nodes, func(n wire.Node) bool { return n.ID == c.ID })
	if err := enoughVoters(m, n.Region, before); err != nil {
		return err
	}
	if n.Voter && len(c.Voters) == 0 {
		return wire.Errorf(wire.Conflict, "node %s votes in the federation group, and nobody is "+
			"named in its place", n.ID)
	}
	if len(c.Voters) == 0 {
		return nil
	}
	return setVoters(m, c.Voters)
}

// setVoters names the voters of the federation group.
func setVoters(m *wire.Map, voters []wire.NodeID) *wire.Error {
	least := wire.VotersMin
	if len(m.Nodes) < wire.VotersMin {
		least = 1
	}
	if len(voters)%2 == 0 || len(voters) < least || len(voters) > wire.VotersMax {
		return wire.Malformedf("%d federation voters, an odd number of %d-%d is needed with %d "+
			"nodes", len(voters), least, wire.VotersMax, len(m.Nodes))
	}
	for i, v := range voters {
		if _, ok := m.Node(v); !ok {
			return wire.Errorf(wire.NotFound, "no node %.40q on the map", v)
		}
		if slices.Contains(voters[:i], v) {
			return wire.Malformedf("node %s twice among the federation voters", v)
		}
	}
	for i := range m.Nodes {
		m.Nodes[i].Voter = slices.Contains(voters, m.Nodes[i].ID)
	}
	return nil
}

func putGateway(m *wire.Map, g *wire.Gateway) *wire.Error {
	r, ok := m.RegionByID(g.Region)
	if !ok {
		return wire.Errorf(wire.NotFound, "no region %.40q on the map", g.Region)
	}
	for _, have := range m.Gateways {
		if have.ID != g.ID {
			continue
		}
		if have.Region != g.Region {
			return wire.Errorf(wire.Conflict, "gateway %s is at home in region %s: remove it first",
				g.ID, have.Region)
		}
		return nil
	}
	if r.Closing {
		return wire.Errorf(wire.Conflict, "region %s is closing", g.Region)
	}
	m.Gateways = append(m.Gateways, *g) // its name is checked with the map
	return nil
}

// closing reports whether a region may take nothing any more.
func (f *founding) closing(id wire.RegionID) bool {
	r, _ := f.m.RegionByID(id)
	return r.Closing
}

// Owned counts the codes that a region has claimed, or is claiming. It reads the whole directory,
// as of one moment: a minute for all citizens of a country.
func (s *State) Owned(ctx context.Context, region wire.RegionID) (codes int, err error) {
	f := s.founded.Load()
	if f == nil {
		return 0, wire.Errorf(wire.NotReady, "the federation is not founded yet")
	}
	tag, ok := f.tags[region]
	if !ok {
		return 0, nil
	}
	rows := 0
	err = s.db.Iterate([]byte("d/"), []byte("d0"), false, func(_, v []byte) (bool, error) {
		row, err := decodeDirectoryRow(v)
		if err != nil {
			return false, fmt.Errorf("federation: %w", err)
		}
		if row.region == tag || row.state == wire.Moving && row.to == tag {
			codes++
		}
		if rows++; rows%(1<<16) == 0 && ctx.Err() != nil {
			return false, wire.Errorf(wire.Unavailable, "the directory was not read to its end")
		}
		return true, nil
	})
	return codes, err
}
