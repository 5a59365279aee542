package membership

import (
	"context"

	"github.com/staffetta/staffetta/node/seat"
	"github.com/staffetta/staffetta/wire"
	"github.com/staffetta/staffetta/wire/link"
)

// fenceCalls is the call by which a region's incarnation ends.
func (d *Membership) fenceCalls() []seat.Call {
	return []seat.Call{
		seat.Answers(d.Seat, wire.MethodFenceRegion, seat.Operators(link.RightOperator, seat.Of(
			func(f *wire.FenceRegion) wire.RegionID { return f.Region })), seat.FederationLeads,
			d.fenceRegion).When(seat.Hurts(func(m *wire.Map, f *wire.FenceRegion) bool {
			r, _ := m.RegionByID(f.Region)
			return r.Incarnation != f.Incarnation // otherwise it is fenced already
		})),
	}
}

// fenceRegion answers MethodFenceRegion. Nodes of the region that vote in the federation's group
// lose that vote first, where others can take it over: those that run stop, and those that are
// restored on new disks have forgotten what they voted for and helped to acknowledge.
func (d *Membership) fenceRegion(ctx context.Context, from link.Identity, f *wire.FenceRegion) (
	*seat.None, error) {
	d.changing.Lock()
	defer d.changing.Unlock()
	if err := d.FederationGroup.Read(ctx); err != nil {
		return nil, err
	}
	if err := d.Federation.PlanFence(f); err != nil {
		return nil, err
	}
	dry, m := f.DryRun, d.Map()
	var voters []wire.NodeID
	if r, _ := m.RegionByID(f.Region); r.Incarnation != f.Incarnation {
		if err := d.CheckLost("a fence", f.Region, f.Healthy); err != nil {
			return nil, err
		}
		progress, err := d.FederationGroup.Progress()
		if err != nil {
			return nil, err
		}
		if voters, err = fenceVoters(m, f.Region, d.ID, progress); err != nil {
			return nil, err
		}
	}
	if dry {
		return nil, nil
	}
	if err := d.RequireSecond(ctx, from, "restore fence", wire.CmdFenceRegion, f); err != nil {
		return nil, err // before the votes are taken
	}
	if len(voters) > 0 {
		c := &wire.MemberChange{Voters: voters}
		if _, err := d.Administrate(ctx, from, c.Action(), wire.CmdMembers, c); err != nil {
			return nil, err
		}
	}
	f.DryRun, f.Healthy = false, false // they are said to this process
	_, err := d.Administrate(ctx, from, "restore fence", wire.CmdFenceRegion, f)
	return nil, err
}

// fenceVoters names the federation's voters for when a region is fenced: none of it, and others in
// their place. None are named when they can stay as they are, or nobody can take their place.
// Conflict when those that are left would be no majority, until the group has followed.
func fenceVoters(m *wire.Map, region wire.RegionID, self wire.NodeID,
	progress []wire.GroupMember) ([]wire.NodeID, error) {
	leaves := func(node wire.Node) bool { return node.Region == region }
	voters, answer, concerned := 0, 0, false
	for _, p := range progress {
		node, _ := m.Node(p.Node)
		switch {
		case !p.Voter:
			continue
		case leaves(node):
			concerned = true
		case p.Answers:
			answer++
		}
		voters++
	}
	if concerned && answer < voters/2+1 {
		return nil, wire.Errorf(wire.Conflict, "group %s has %d voters, of whom %d answer that are "+
			"not of region %s, a majority of %d is needed: name others with `staffetta admin "+
			"voters` first, or restore the federation with the region", seat.FederationGroup,
			voters, answer, region, voters/2+1)
	}
	named := false
	for _, node := range m.Nodes {
		named = named || node.Voter && leaves(node)
	}
	if !named {
		return nil, nil
	}
	chosen, err := chooseVoters(m, leaves, self, progress)
	if err != nil || len(chosen) < wire.VotersMin && len(m.Nodes) >= wire.VotersMin {
		return nil, nil // too few nodes: the operator is told
	}
	return chosen, majorityAnswers(seat.FederationGroup, chosen, progress)
}
