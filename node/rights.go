package node

import (
	"slices"
	"strings"

	"github.com/staffetta/staffetta/wire"
	"github.com/staffetta/staffetta/wire/link"
)

// askers are who may make a call. What a node may ask of another region than its own is the
// answerer's to decide.
type askers struct {
	roles []link.Role
	// Of operators the call asks a right, in every one of the regions that it is about.
	right link.Right
	// regions reads from a request which regions the call is about. AllRegions stands for what is
	// no region's; none at all for a right that may be held anywhere.
	regions regionsOf
}

type regionsOf = func(n *Node, req []byte) ([]wire.RegionID, error)

// only are those of some roles, and no operator.
func only(roles ...link.Role) askers { return askers{roles: roles} }

// operators are those with a right.
func operators(right link.Right, regions regionsOf) askers { return askers{}.or(right, regions) }

// observers are operators of anything.
var observers = operators(link.RightObserver, anywhere)

// or adds operators with a right.
func (a askers) or(right link.Right, regions regionsOf) askers {
	return askers{roles: append(slices.Clip(a.roles), link.RoleOperator), right: right,
		regions: regions}
}

func anywhere(*Node, []byte) ([]wire.RegionID, error) { return nil, nil }

func everywhere(*Node, []byte) ([]wire.RegionID, error) { return just(link.AllRegions), nil }

// here is the region of the node that answers.
func here(n *Node, _ []byte) ([]wire.RegionID, error) { return just(n.cfg.Region), nil }

func just(r wire.RegionID) []wire.RegionID {
	if r == "" { // whatever that request means, it names no region that one could have a right in
		r = link.AllRegions
	}
	return []wire.RegionID{r}
}

// asked reads the regions from the request.
func asked[Q any, PQ message[Q]](f func(*wire.Map, PQ) []wire.RegionID) regionsOf {
	return func(n *Node, req []byte) ([]wire.RegionID, error) {
		q := PQ(new(Q))
		if err := wire.Decode(req, q); err != nil {
			return nil, err
		}
		return f(n.currentMap(), q), nil
	}
}

// dealtRegions are those that slots go to and those that they are taken from.
func dealtRegions(m *wire.Map, d *wire.DealSlots) []wire.RegionID {
	regions := just(d.To)
	note := func(r wire.RegionID) {
		if r != "" && !slices.Contains(regions, r) {
			regions = append(regions, r)
		}
	}
	for _, s := range d.Slots {
		if int(s) >= wire.Slots {
			continue // refused later on
		}
		note(m.Anchor(s))
		if deal, moving := m.SlotDeal(s); moving {
			from, _ := m.RegionByTag(deal.From)
			note(from.ID)
		}
	}
	return regions
}

// changedRegions are those of the nodes and gateways that a change is about. Regions come and go,
// and the federation votes, for all.
func changedRegions(m *wire.Map, c *wire.MemberChange) []wire.RegionID {
	var node wire.NodeID
	switch {
	case c.Node != nil:
		node = c.Node.ID
	case c.RemoveNode != nil:
		node = c.RemoveNode.ID
	case c.PutGateway != nil:
		regions := just(c.PutGateway.Region)
		if was := gatewayRegion(m, c.PutGateway.ID); was != "" && was != regions[0] {
			regions = append(regions, was)
		}
		return regions
	case c.RemoveGateway != "":
		return just(gatewayRegion(m, c.RemoveGateway))
	default:
		return just(link.AllRegions)
	}
	known, _ := m.Node(node)
	return just(known.Region)
}

func gatewayRegion(m *wire.Map, id wire.GatewayID) wire.RegionID {
	for _, g := range m.Gateways {
		if g.ID == id {
			return g.Region
		}
	}
	return ""
}

// enrolledRegion is the region that the token of a certificate is for.
func enrolledRegion(n *Node, req []byte) ([]wire.RegionID, error) {
	var e wire.Enrolment
	if err := wire.Decode(req, &e); err != nil {
		return nil, err
	}
	token, err := n.federation.Token(e.Hash)
	if err != nil { // none: the call says so
		return just(link.AllRegions), nil
	}
	return just(token.Region), nil
}

// movedBetween are the region that a citizen is to move to and the one that owns the code, as this
// replica knows.
func movedBetween(n *Node, req []byte) ([]wire.RegionID, error) {
	var m wire.MoveOrder
	if err := wire.Decode(req, &m); err != nil {
		return nil, err
	}
	_, entries, err := n.federation.Resolve(nil, []wire.Recipient{m.Recipient})
	if err != nil {
		return nil, err
	}
	regions := just(entries[0].Region)
	if m.To != "" {
		regions = append(regions, m.To)
	}
	return regions, nil
}

// revokedRegion is that of who is revoked. Operators are of none.
func revokedRegion(_ *wire.Map, r *wire.Revocation) []wire.RegionID {
	id, err := link.ReadIdentity(r.Identity)
	if err != nil {
		return just(link.AllRegions)
	}
	return just(id.Region)
}

// groupRegion is the region of a group; AllRegions for the federation's.
func groupRegion(group string) wire.RegionID {
	region, ok := strings.CutPrefix(group, regionGroup(""))
	if !ok {
		return link.AllRegions
	}
	return wire.RegionID(region)
}

// permit says why an operator may not make a call; nil: it may.
func (n *Node) permit(from link.Identity, grants link.Grants, m wire.Method,
	req []byte) *wire.Error {
	if grants == nil && n.currentMap().ActiveVersion < wire.VersionGrants {
		return nil // of before there were grants
	}
	c := n.table[m]
	if c == nil || c.by.regions == nil {
		return wire.Errorf(wire.Forbidden, "method %d is for no operator", m)
	}
	regions, err := c.by.regions(n, req)
	if err != nil {
		return wire.AsError(err)
	}
	if len(regions) == 0 {
		regions = []wire.RegionID{""}
	}
	for _, r := range regions {
		if m != wire.MethodWhoami && !grants.Allow(c.by.right, r) {
			return wire.Errorf(wire.Forbidden, "this takes the right %q %s, which the certificate "+
				"of %s does not grant: see `staffetta admin whoami`", c.by.right, inRegion(r), from)
		}
	}
	return nil
}

func inRegion(r wire.RegionID) string {
	switch r {
	case "":
		return "of any region"
	case link.AllRegions:
		return "of all regions (*)"
	}
	return "of region " + string(r)
}

// mayReadData reports whether an operator may read what is a citizen's, in any region.
func (n *Node) mayReadData(grants link.Grants) bool {
	if grants == nil {
		return n.currentMap().ActiveVersion < wire.VersionGrants
	}
	return grants.Allow(link.RightData, "")
}
