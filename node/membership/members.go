package membership

import (
	"cmp"
	"context"
	"slices"

	"github.com/staffetta/staffetta/node/seat"
	"github.com/staffetta/staffetta/wire"
	"github.com/staffetta/staffetta/wire/link"
)

// askWait bounds the question to a region's leader how its group is.
const askWait = wire.OwnerWait

// caughtUp is how many entries a member may be behind that is to vote; see consensus.Promote.
const caughtUp = 1000

// memberCalls are the calls about who takes part.
func (d *Membership) memberCalls() []seat.Call {
	return []seat.Call{
		seat.Answers(d.Seat, wire.MethodMembers, seat.Only(link.RoleNode).Or(link.RightObserver,
			seat.Anywhere), seat.AnyNode, d.groupMembers),
		seat.Answers(d.Seat, wire.MethodChangeMembers, seat.Operators(link.RightMember,
			seat.Asked(changedRegions)), seat.FederationLeads, d.changeMembers).ByOne(seat.Judged),
		seat.Answers(d.Seat, wire.MethodTransferLeadership,
			seat.Operators(link.RightOperator, seat.Here), seat.AnyNode,
			d.transferLeadership).ByOne(seat.Undone),
		seat.Answers(d.Seat, wire.MethodConfirmMap, seat.Only(link.RoleNode), seat.FederationShows,
			d.confirmMap),
		seat.Administers[wire.JoinToken](d.Seat, wire.MethodPutToken,
			seat.Operators(link.RightMember, tokenRegions), "node token",
			wire.CmdToken).ByOne(seat.Undone),
		seat.Answers(d.Seat, wire.MethodTokens, seat.Observers, seat.FederationShows, d.tokens),
		// The only call of who joins; nodes pass it on.
		seat.Answers(d.Seat, wire.MethodEnrol, seat.Only(link.RoleJoiner, link.RoleNode),
			seat.AnyNode, d.enrol).Because("any node takes a joiner's question to the leader"),
		seat.Answers(d.Seat, wire.MethodSign, seat.Operators(link.RightMember, enrolledRegion),
			seat.FederationLeads, d.sign).ByOne(seat.Undone),
		seat.Streams(wire.MethodSeed, seat.Only(link.RoleNode), (*wire.SeedFrame)(nil), d.seeds.serve),
	}
}

// groupMembers answers MethodMembers, when this node leads the group.
func (d *Membership) groupMembers(_ context.Context, _ link.Identity, ref *wire.GroupRef) (
	*wire.GroupMembers, error) {
	g := d.Group(ref.Group)
	if g == nil {
		return nil, wire.Errorf(wire.NotFound, "no group %.70q here", ref.Group)
	}
	list, err := g.Progress()
	if err != nil {
		return nil, err
	}
	return &wire.GroupMembers{Group: ref.Group, Leader: d.ID, List: list,
		MapVersion: d.Map().Version}, nil
}

// transferLeadership answers MethodTransferLeadership: on return without an error another node
// leads the group, or an election is under way.
func (d *Membership) transferLeadership(ctx context.Context, from link.Identity,
	h *wire.LeadershipTransfer) (*seat.None, error) {
	g := d.Group(h.Group)
	if g == nil {
		return nil, wire.Errorf(wire.NotFound, "no group %.70q here", h.Group)
	}
	if _, err := g.Progress(); err != nil {
		return nil, err
	}
	if h.To == d.ID {
		return nil, wire.Errorf(wire.Conflict, "node %s leads group %s already", h.To, h.Group)
	}
	d.Log.Info("leadership is handed over on request", "group", h.Group, "to", h.To,
		"operator", from.String())
	if h.To == "" {
		return nil, g.TransferLeadership(ctx)
	}
	return nil, g.TransferTo(ctx, h.To)
}

// confirmMap answers MethodConfirmMap with the version of the map as of all that was committed
// before the call.
func (d *Membership) confirmMap(ctx context.Context, _ link.Identity,
	_ *seat.None) (*wire.MapVersion, error) {
	m, ok := d.Federation.Map()
	if !ok {
		return nil, wire.Errorf(wire.NotReady, "the federation has no map yet")
	}
	return &wire.MapVersion{Version: m.Version}, nil
}

// changeMembers answers MethodChangeMembers: one change of the map, by an operator. The leader
// looks first how the groups are, and refuses what would leave one of them without a majority that
// answers now. On return the change is in the federation's log; the leaders of the groups bring
// their membership into line with it, see tend. The answer is the map as it then is.
func (d *Membership) changeMembers(ctx context.Context, from link.Identity, c *wire.MemberChange) (
	*wire.Map, error) {
	if err := c.Validate(); err != nil {
		return nil, err
	}
	// Two changes at once could both pass and together take a majority.
	d.changing.Lock()
	defer d.changing.Unlock()
	if err := d.FederationGroup.Read(ctx); err != nil {
		return nil, err
	}
	if c.Successor != "" {
		m, there, err := d.checkReplacement(c)
		if err != nil {
			return nil, err
		}
		if there && c.DryRun {
			return m, nil
		}
	}
	dry := c.DryRun
	c.DryRun, c.Successor = false, ""
	if err := d.prepare(ctx, from, c, dry); err != nil {
		return nil, err
	}
	if dry {
		return d.planMembers(c)
	}
	if _, err := d.Administrate(ctx, from, c.Action(), wire.CmdMembers, c); err != nil {
		return nil, err
	}
	m, _ := d.Federation.Map()
	return m, nil
}

func (d *Membership) planMembers(c *wire.MemberChange) (*wire.Map, error) {
	var list []*wire.MemberChange
	if region := d.leaves(c); region != "" {
		list = append(list, d.closing(region, true))
	}
	return d.Federation.PlanMembers(append(list, c)...)
}

// prepare completes a change and refuses it when the groups are not in a state for it.
func (d *Membership) prepare(ctx context.Context, from link.Identity, c *wire.MemberChange,
	dry bool) error {
	m, ok := d.Federation.Map()
	if !ok {
		return wire.Errorf(wire.NotReady, "the federation is not founded yet")
	}
	left := d.leaves(c)
	if left != "" {
		if err := d.empty(ctx, from, left, dry); err != nil {
			return err
		}
	}
	switch {
	case c.RemoveNode != nil:
		node, ok := m.Node(c.RemoveNode.ID)
		if !ok {
			return nil // the state tells a node that was from one that never was
		}
		if left == "" { // its group, which holds nothing, ends with it otherwise
			if err := d.checkVoteSpared(ctx, m, node); err != nil {
				return err
			}
		}
		return d.replaceVoter(m, node, c.RemoveNode)
	case c.Node != nil && c.Node.SetNonvoter && c.Node.Nonvoter:
		if node, ok := m.Node(c.Node.ID); ok {
			return d.checkVoteSpared(ctx, m, node)
		}
	case len(c.Voters) > 0:
		progress, err := d.FederationGroup.Progress()
		if err != nil {
			return err
		}
		return majorityAnswers(seat.FederationGroup, c.Voters, progress)
	}
	return nil
}

// checkVoteSpared refuses when the region's group, without the node, had no majority that answers
// its leader now.
func (d *Membership) checkVoteSpared(ctx context.Context, m *wire.Map, node wire.Node) error {
	if r, _ := m.RegionByID(node.Region); r.Closing {
		return nil // it holds nothing
	}
	group, err := d.askMembers(ctx, m, node.Region)
	if err != nil {
		return wire.Errorf(wire.Conflict, "region %s cannot say whether it could do without %s: "+
			"%s", node.Region, node.ID, wire.AsError(err).Error())
	}
	if have, member := group.Member(node.ID); !member || !have.Voter {
		return nil
	}
	var rest []wire.NodeID
	for _, v := range group.List {
		// Who is to lose the vote anyway does not count any more.
		other, there := m.Node(v.Node)
		if v.Voter && v.Node != node.ID && there && !other.Nonvoter {
			rest = append(rest, v.Node)
		}
	}
	return majorityAnswers(group.Group, rest, group.List)
}

// askMembers asks a region's leader for the group's membership.
func (d *Membership) askMembers(ctx context.Context, m *wire.Map, region wire.RegionID) (
	*wire.GroupMembers, error) {
	ctx, cancel := context.WithTimeout(ctx, askWait)
	defer cancel()
	group := new(wire.GroupMembers)
	return group, d.CallRegion(ctx, region, wire.MethodMembers,
		&wire.GroupRef{Group: seat.RegionGroup(region)}, group)
}

// majorityAnswers refuses a set of voters of whom no majority answers.
func majorityAnswers(group string, voters []wire.NodeID, progress []wire.GroupMember) error {
	answer := 0
	var silent []wire.NodeID
	for _, v := range voters {
		if i := slices.IndexFunc(progress, func(p wire.GroupMember) bool {
			return p.Node == v
		}); i >= 0 && progress[i].Answers {
			answer++
		} else {
			silent = append(silent, v)
		}
	}
	if answer < len(voters)/2+1 {
		return wire.Errorf(wire.Conflict, "group %s would have %d voters of whom %d answer now, a "+
			"majority of %d is needed; no answer from %v", group, len(voters), answer,
			len(voters)/2+1, silent)
	}
	return nil
}

// replaceVoter names the federation's voters without a node that leaves: those of before, and in
// the node's place one that answers and has the log, of the region with the fewest voters.
func (d *Membership) replaceVoter(m *wire.Map, leaving wire.Node, c *wire.NodeRemoval) error {
	c.Voters = nil
	if !leaving.Voter {
		return nil
	}
	progress, err := d.FederationGroup.Progress()
	if err != nil {
		return err
	}
	leaves := func(node wire.Node) bool { return node.ID == leaving.ID }
	if c.Voters, err = chooseVoters(m, leaves, d.ID, progress); err != nil {
		return err
	}
	return majorityAnswers(seat.FederationGroup, c.Voters, progress)
}

// chooseVoters names the federation's voters when who leaves does not take part: as many as before
// where nodes answer, an odd number in any case. self is the leader.
func chooseVoters(m *wire.Map, leaves func(wire.Node) bool, self wire.NodeID,
	progress []wire.GroupMember) ([]wire.NodeID, error) {
	ready := map[wire.NodeID]bool{}
	for _, p := range progress {
		ready[p.Node] = p.Answers && p.Behind < caughtUp
	}
	var voters, others []wire.Node
	before, nodes := 0, 0
	for _, node := range m.Nodes {
		if node.Voter {
			before++
		}
		if leaves(node) {
			continue
		}
		nodes++
		if node.Voter {
			voters = append(voters, node)
		} else if ready[node.ID] && node.Maintenance == "" {
			others = append(others, node)
		}
	}
	least, size := wire.VotersMin, max(before, wire.VotersMin)
	if nodes < wire.VotersMin {
		least, size = 1, 1
	}
	for len(voters) < size && len(others) > 0 { // the region with the fewest voters is next
		next := slices.MinFunc(others, func(a, b wire.Node) int {
			return cmp.Or(cmp.Compare(votersIn(voters, a.Region), votersIn(voters, b.Region)),
				cmp.Compare(a.ID, b.ID))
		})
		voters = append(voters, next)
		others = slices.DeleteFunc(others, func(o wire.Node) bool { return o.ID == next.ID })
	}
	if len(voters) < least {
		return nil, wire.Errorf(wire.Conflict, "the federation group would have %d voters, %d are "+
			"needed, and no other node answers and has its log", len(voters), least)
	}
	for len(voters) > size || len(voters)%2 == 0 { // who does not answer goes first
		last := slices.MaxFunc(voters, func(a, b wire.Node) int {
			return cmp.Or(rank(!ready[a.ID], !ready[b.ID]), rank(a.ID != self, b.ID != self),
				cmp.Compare(votersIn(voters, a.Region), votersIn(voters, b.Region)),
				cmp.Compare(a.ID, b.ID))
		})
		voters = slices.DeleteFunc(voters, func(v wire.Node) bool { return v.ID == last.ID })
	}
	ids := make([]wire.NodeID, len(voters))
	for i := range voters {
		ids[i] = voters[i].ID
	}
	slices.Sort(ids)
	return ids, nil
}

func votersIn(voters []wire.Node, region wire.RegionID) (count int) {
	for _, v := range voters {
		if v.Region == region {
			count++
		}
	}
	return count
}

// rank orders false before true.
func rank(a, b bool) int {
	switch {
	case a == b:
		return 0
	case b:
		return -1
	}
	return 1
}

// leaves names the region that a change closes, or takes off the map, or the last node of; empty
// when the change does neither, or the region is closing already.
func (d *Membership) leaves(c *wire.MemberChange) wire.RegionID {
	m := d.Map()
	region := c.RemoveRegion
	switch {
	case c.PutRegion != nil && c.PutRegion.Closing:
		region = c.PutRegion.ID
	case c.RemoveNode != nil:
		node, ok := m.Node(c.RemoveNode.ID)
		if !ok || len(d.NodesOf(node.Region)) > 1 {
			return ""
		}
		region = node.Region
	case len(d.NodesOf(region)) > 0:
		return "" // refused for its nodes
	}
	r, ok := m.RegionByID(region)
	if !ok || r.Closing {
		return ""
	}
	return region
}

func (d *Membership) closing(region wire.RegionID, closing bool) *wire.MemberChange {
	r, _ := d.Map().RegionByID(region)
	return &wire.MemberChange{PutRegion: &wire.RegionChange{ID: r.ID, Tag: r.Tag,
		Closing: closing}}
}

// empty closes a region, so that it can claim nothing any more, and looks whether it owns a code,
// or any spool has something for it or of it. One that does is opened again, and the change
// refused: citizens' messages would be lost.
func (d *Membership) empty(ctx context.Context, from link.Identity, region wire.RegionID,
	dry bool) error {
	if !dry {
		c := d.closing(region, true)
		if _, err := d.Administrate(ctx, from, c.Action(), wire.CmdMembers, c); err != nil {
			return err
		}
	}
	owned, err := d.Federation.Owned(ctx, region)
	switch {
	case err == nil && owned > 0:
		err = wire.Errorf(wire.Conflict, "region %s owns the codes of %d citizens: move them to "+
			"other regions first", region, owned)
	case err == nil:
		err = d.cfg.CheckSpools(ctx, region)
	}
	if err == nil {
		return nil
	}
	if !dry {
		c := d.closing(region, false)
		if _, again := d.Administrate(ctx, from, "region reopen", wire.CmdMembers, c); again != nil {
			return wire.Errorf(wire.AsError(again).Code, "region %s stays closing: %s", region,
				wire.AsError(again).Error())
		}
	}
	return err
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
		regions := seat.Just(c.PutGateway.Region)
		if was := gatewayRegion(m, c.PutGateway.ID); was != "" && was != regions[0] {
			regions = append(regions, was)
		}
		return regions
	case c.RemoveGateway != "":
		return seat.Just(gatewayRegion(m, c.RemoveGateway))
	default:
		return seat.Just(link.AllRegions)
	}
	known, _ := m.Node(node)
	return seat.Just(known.Region)
}

func gatewayRegion(m *wire.Map, id wire.GatewayID) wire.RegionID {
	for _, g := range m.Gateways {
		if g.ID == id {
			return g.Region
		}
	}
	return ""
}
