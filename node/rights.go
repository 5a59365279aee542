package node

import (
	"slices"
	"strings"

	"github.com/staffetta/staffetta/wire"
	"github.com/staffetta/staffetta/wire/link"
)

// demand is what an operator's call asks of the operator's grants: a right, in every one of the
// regions that it is about.
type demand struct {
	right link.Right
	// regions reads from a request which regions the call is about. AllRegions stands for what is
	// no region's; none at all for a right that may be held anywhere.
	regions func(n *Node, req []byte) ([]wire.RegionID, error)
}

// demands has a line for each call that operators can make. A call without one is refused.
var demands = map[wire.Method]demand{
	// What everybody may see who is an operator of anything. The directory key, by which fiscal
	// codes are told from their hashes, is in the answer to Hello for those with RightData only.
	wire.MethodHello:            {link.RightObserver, anywhere},
	wire.MethodGetMap:           {link.RightObserver, anywhere},
	wire.MethodResolve:          {link.RightObserver, anywhere},
	wire.MethodServiceByKey:     {link.RightObserver, anywhere},
	wire.MethodServiceByID:      {link.RightObserver, anywhere},
	wire.MethodIdentities:       {link.RightObserver, anywhere},
	wire.MethodListAudit:        {link.RightObserver, anywhere},
	wire.MethodStatus:           {link.RightObserver, anywhere},
	wire.MethodProbe:            {link.RightObserver, anywhere},
	wire.MethodListInstitutions: {link.RightObserver, anywhere},
	wire.MethodListServices:     {link.RightObserver, anywhere},
	wire.MethodMembers:          {link.RightObserver, anywhere},
	wire.MethodTokens:           {link.RightObserver, anywhere},
	wire.MethodRestores:         {link.RightObserver, anywhere},
	wire.MethodUpgrade:          {link.RightObserver, anywhere},
	wire.MethodWhoami:           {link.RightObserver, anywhere},
	wire.MethodMay:              {link.RightObserver, anywhere},
	wire.MethodListPending:      {link.RightObserver, anywhere},
	wire.MethodApprove:          {link.RightObserver, anywhere}, // and what it approves takes
	wire.MethodWithdraw:         {link.RightObserver, anywhere}, // the same, or to have asked
	wire.MethodListReads:        {link.RightObserver, here},
	wire.MethodCountSpooled:     {link.RightObserver, here},
	wire.MethodFindSpooled:      {link.RightObserver, here},
	wire.MethodGetMove:          {link.RightObserver, here},

	// What keeps things working. Institutions, services and versions are no region's.
	wire.MethodPutInstitution: {link.RightOperator, everywhere},
	wire.MethodPutService:     {link.RightOperator, everywhere},
	wire.MethodSetKey:         {link.RightOperator, everywhere},
	wire.MethodFinalise:       {link.RightOperator, everywhere},
	wire.MethodDealSlots:      {link.RightOperator, asked(dealtRegions)},
	wire.MethodSettleSlots: {link.RightOperator, asked(
		func(_ *wire.Map, s *wire.SettleSlots) []wire.RegionID { return just(s.Region) })},
	wire.MethodRotateRegionKey: {link.RightOperator, here},
	wire.MethodPublishRegionKey: {link.RightOperator, asked(
		func(_ *wire.Map, p *wire.PublishRegionKey) []wire.RegionID { return just(p.Region) })},
	wire.MethodMove:      {link.RightOperator, here}, // the order has asked for the other one
	wire.MethodAbortMove: {link.RightOperator, here},
	wire.MethodOrderMove: {link.RightOperator, movedBetween},
	wire.MethodFenceRegion: {link.RightOperator, asked(
		func(_ *wire.Map, f *wire.FenceRegion) []wire.RegionID { return just(f.Region) })},
	wire.MethodForgoReport: {link.RightOperator, asked(
		func(_ *wire.Map, f *wire.ForgoReport) []wire.RegionID { return just(f.Region) })},
	wire.MethodOrderRegion: {link.RightOperator, asked(
		func(_ *wire.Map, o *wire.RegionOrder) []wire.RegionID { return just(o.Region) })},
	wire.MethodDiscardSpooled: {link.RightOperator, here},
	wire.MethodReleaseBallast: {link.RightOperator, here},
	wire.MethodHandOver:       {link.RightOperator, here},

	// Who belongs to it.
	wire.MethodChangeMembers: {link.RightMember, asked(changedRegions)},
	wire.MethodPutToken: {link.RightMember, asked(
		func(_ *wire.Map, t *wire.JoinToken) []wire.RegionID { return just(t.Region) })},
	wire.MethodSign:         {link.RightMember, enrolledRegion},
	wire.MethodAddRoot:      {link.RightMember, everywhere},
	wire.MethodRemoveRoot:   {link.RightMember, everywhere},
	wire.MethodRevoke:       {link.RightMember, asked(revokedRegion)},
	wire.MethodSetApprovals: {link.RightMember, everywhere},
	// Not of who takes copies: whoever has a recovery key set reads those that are taken then.
	wire.MethodSetRecoveryKey: {link.RightMember, asked(
		func(_ *wire.Map, s *wire.SetRecoveryKey) []wire.RegionID { return just(s.Region) })},
	wire.MethodListRenewals:  {link.RightMember, here},
	wire.MethodSettleRenewal: {link.RightMember, here},

	// What is a citizen's.
	wire.MethodBackup: {link.RightData, asked(
		func(_ *wire.Map, q *wire.OpenBackup) []wire.RegionID { return just(groupRegion(q.Group)) })},
	wire.MethodReadBackup:     {link.RightData, anywhere}, // of a copy that the caller opened
	wire.MethodExplain:        {link.RightData, here},
	wire.MethodFindRecipients: {link.RightData, here},
	wire.MethodFetchMoved:     {link.RightData, here},
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
func asked[Q any, PQ message[Q]](f func(*wire.Map, PQ) []wire.RegionID) func(*Node, []byte) (
	[]wire.RegionID, error) {
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
	d, ok := demands[m]
	if !ok {
		return wire.Errorf(wire.Forbidden, "method %d is for no operator", m)
	}
	regions, err := d.regions(n, req)
	if err != nil {
		return wire.AsError(err)
	}
	if len(regions) == 0 {
		regions = []wire.RegionID{""}
	}
	for _, r := range regions {
		if m != wire.MethodWhoami && !grants.Allow(d.right, r) {
			return wire.Errorf(wire.Forbidden, "this takes the right %q %s, which the certificate "+
				"of %s does not grant: see `staffetta admin whoami`", d.right, inRegion(r), from)
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
