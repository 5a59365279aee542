package membership

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"time"

	"github.com/staffetta/staffetta/consensus"
	"github.com/staffetta/staffetta/wire"
)

const (
	// tendPeriod is how often a leader compares its group's membership with the map.
	tendPeriod = time.Second
	// settledFor is how long a member must have answered and been caught up before it gets a vote.
	settledFor = 10 * time.Second
	// leaveAfter is how long the federation's group keeps a node that left the map, so that its
	// region's group lets go of it first, while it runs and hears of it; and how long the leaders
	// of both are silent before it ends.
	leaveAfter = 5 * time.Second
	// absentPause is how long a node that did not serve is left alone.
	absentPause = 5 * time.Second
	// stepWait bounds one change of a group's membership.
	stepWait = 10 * time.Second
)

// tender brings the membership of a group that this node leads into line with the map, one change
// at a time: who is missing follows, who has caught up gets its vote, who is to leave leaves. A
// change is made only when the federation's leader confirms that this replica of the map is the
// newest: by an older one a leader would take out who has just come in.
type tender struct {
	*Membership
	group  *consensus.Group
	wanted func(*wire.Map) []consensus.Member

	// leave is how long who left the map stays.
	leave time.Duration
	// since is when a member was first seen caught up, gone when it was first seen off the map.
	since, gone map[wire.NodeID]time.Time
	// resting is until when leadership is not offered again after nobody took it.
	resting time.Time
	// absent is until when a node that did not serve is not asked again.
	absent map[wire.NodeID]time.Time
}

// TendRegion keeps the region's group what the map says, on its leader.
func (d *Membership) TendRegion(ctx context.Context) error {
	return d.tend(ctx, d.RegionGroup, 0, func(m *wire.Map) (list []consensus.Member) {
		for _, node := range m.Nodes {
			if node.Region == d.RegionID {
				list = append(list, consensus.Member{Node: node.ID, Voter: !node.Nonvoter})
			}
		}
		return list
	})
}

// TendFederation is TendRegion for the federation's group.
func (d *Membership) TendFederation(ctx context.Context) error {
	return d.tend(ctx, d.FederationGroup, leaveAfter,
		func(m *wire.Map) (list []consensus.Member) {
			for _, node := range m.Nodes {
				list = append(list, consensus.Member{Node: node.ID, Voter: node.Voter})
			}
			return list
		})
}

func (d *Membership) tend(ctx context.Context, group *consensus.Group, leave time.Duration,
	wanted func(*wire.Map) []consensus.Member) error {
	t := &tender{Membership: d, group: group, wanted: wanted, leave: leave,
		since: map[wire.NodeID]time.Time{}, gone: map[wire.NodeID]time.Time{},
		absent: map[wire.NodeID]time.Time{}}
	tick := time.NewTicker(tendPeriod)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return nil
		}
		err := t.round(ctx)
		if err != nil && ctx.Err() == nil && !wire.Retriable(err) {
			d.Log.Warn("the group's membership waits", "group", group.Status().Group,
				"reason", err.Error())
		}
	}
}

// round makes at most one change.
func (t *tender) round(ctx context.Context) error {
	m, founded := t.Federation.Map()
	if !founded || t.group.Ready() != nil {
		return nil
	}
	have, err := t.group.Progress()
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, stepWait)
	defer cancel()
	want, err := t.keepUnknown(have, t.wanted(m))
	if err != nil {
		return err
	}
	t.observe(have, want)
	if handed, err := t.giveWay(ctx, m, have, want); handed || err != nil {
		return err
	}
	change, what, node := t.next(ctx, have, want)
	if change == nil {
		if t.group == t.FederationGroup {
			return t.growVoters(ctx, m, have)
		}
		return nil
	}
	if err := t.mapIsNewest(ctx, m.Version); err != nil {
		return err
	}
	if err := change(ctx, node); err != nil {
		return err
	}
	t.Log.Info("the group's membership changed", "group", t.group.Status().Group, "member", node,
		"change", what)
	return nil
}

// keepUnknown adds members whom the map does not name and nobody removed, as they are: the
// federation was restored from a copy that is older than they.
func (t *tender) keepUnknown(have []wire.GroupMember, want []consensus.Member) (
	[]consensus.Member, error) {
	for _, h := range have {
		if _, listed := memberOf(want, h.Node); listed {
			continue
		}
		removed, err := t.Federation.Removed(h.Node)
		if err != nil {
			return nil, err
		}
		if !removed {
			want = append(want, consensus.Member{Node: h.Node, Voter: h.Voter})
		}
	}
	return want, nil
}

// observe keeps the times at which things were first seen.
func (t *tender) observe(have []wire.GroupMember, want []consensus.Member) {
	now := time.Now()
	for _, h := range have {
		if !h.Answers || h.Behind >= caughtUp {
			delete(t.since, h.Node)
		} else if t.since[h.Node].IsZero() {
			t.since[h.Node] = now
		}
		if _, listed := memberOf(want, h.Node); listed {
			delete(t.gone, h.Node)
		} else if t.gone[h.Node].IsZero() {
			t.gone[h.Node] = now
		}
	}
}

func memberOf(list []consensus.Member, id wire.NodeID) (consensus.Member, bool) {
	for _, m := range list {
		if m.Node == id {
			return m, true
		}
	}
	return consensus.Member{}, false
}

// giveWay hands leadership over when this node is in maintenance, is not to vote any more, or is
// not on the map, as when a restored federation has forgotten it: nobody would find the leader.
func (t *tender) giveWay(ctx context.Context, m *wire.Map, have []wire.GroupMember,
	want []consensus.Member) (handed bool, err error) {
	self, there := m.Node(t.ID)
	place, _ := memberOf(want, t.ID)
	if there && place.Voter && self.Maintenance == "" || time.Now().Before(t.resting) {
		return false, nil
	}
	to := successor(t.ID, m, have, want)
	if to == "" {
		return false, nil // better led from here than not at all
	}
	t.Log.Info("leadership is handed over", "group", t.group.Status().Group, "to", to,
		"maintenance", self.Maintenance != "")
	if err := t.group.TransferTo(ctx, to); err != nil {
		t.resting = time.Now().Add(settledFor)
		return false, err
	}
	return true, nil
}

// successor is the voter on the map that may lead, answers and is furthest.
func successor(self wire.NodeID, m *wire.Map, have []wire.GroupMember,
	want []consensus.Member) wire.NodeID {
	var best wire.GroupMember
	for _, h := range have {
		place, _ := memberOf(want, h.Node)
		node, there := m.Node(h.Node)
		if !there || h.Node == self || !h.Voter || !place.Voter || !h.Answers || node.Maintenance != "" ||
			h.Behind >= caughtUp {
			continue
		}
		if best.Node == "" || h.Behind < best.Behind {
			best = h
		}
	}
	return best.Node
}

// next chooses the next change; nil when there is nothing to do, or it has to wait.
func (t *tender) next(ctx context.Context, have []wire.GroupMember, want []consensus.Member) (
	change func(context.Context, wire.NodeID) error, what string, node wire.NodeID) {
	if comes := t.newcomer(ctx, have, want); comes != "" {
		return t.group.AddNonvoter, "follows", comes
	}
	now, coming := time.Now(), false
	for _, h := range have {
		w, _ := memberOf(want, h.Node)
		if !w.Voter || h.Voter || t.since[h.Node].IsZero() {
			continue
		}
		if now.Sub(t.since[h.Node]) >= settledFor {
			return t.group.Promote, "votes", h.Node
		}
		coming = true
	}
	for _, h := range have {
		w, listed := memberOf(want, h.Node)
		if h.Node == t.ID {
			continue // who leads is removed by the next leader
		}
		// A vote is not taken while another one is about to come in its place.
		if h.Voter && !w.Voter && (coming || !safeWithout(have, h.Node)) {
			continue
		}
		switch {
		case !listed && now.Sub(t.gone[h.Node]) >= t.leave:
			return t.group.Remove, "left", h.Node
		case listed && h.Voter && !w.Voter:
			return t.group.Demote, "does not vote any more", h.Node
		}
	}
	return nil, "", ""
}

// safeWithout reports whether a majority of the voters answers when one of them is none any more.
func safeWithout(have []wire.GroupMember, node wire.NodeID) bool {
	voters, answer := 0, 0
	for _, h := range have {
		if !h.Voter || h.Node == node {
			continue
		}
		voters++
		if h.Answers {
			answer++
		}
	}
	return answer >= voters/2+1
}

// newcomer is a node that is to be a member, is none yet, and serves; empty: there is none. One
// that does not serve holds up nobody: it is asked again some seconds later.
func (t *tender) newcomer(ctx context.Context, have []wire.GroupMember,
	want []consensus.Member) wire.NodeID {
	for _, w := range want {
		if slices.ContainsFunc(have, func(h wire.GroupMember) bool { return h.Node == w.Node }) {
			delete(t.absent, w.Node)
			continue
		}
		if time.Now().Before(t.absent[w.Node]) {
			continue
		}
		if t.runs(ctx, w.Node) {
			return w.Node
		}
		t.absent[w.Node] = time.Now().Add(absentPause)
		return ""
	}
	return ""
}

// runs reports whether a node that is on the map and not yet in the group serves. Before that it
// may be fetching a copy of the state, behind which the group's log has to go on: the library
// would begin with the entries that come now, and then look for the end of a log that is not there.
func (d *Membership) runs(ctx context.Context, id wire.NodeID) bool {
	ctx, cancel := context.WithTimeout(ctx, tendPeriod)
	defer cancel()
	err := d.CallNode(ctx, id, wire.MethodHello, &wire.Hello{Version: wire.ProtocolVersion}, nil)
	return err == nil || errors.Is(err, wire.NotReady)
}

// mapIsNewest asks the federation's leader whether there is a newer map than version.
func (d *Membership) mapIsNewest(ctx context.Context, version uint64) error {
	var newest wire.MapVersion
	if err := d.CallFederation(ctx, wire.MethodConfirmMap, nil, &newest); err != nil {
		return err
	}
	if newest.Version != version {
		return wire.Errorf(wire.Unavailable, "the map is at version %d, this replica at %d",
			newest.Version, version)
	}
	return nil
}

// growVoters names more voters of the federation's group once there are nodes enough: a federation
// that began with one or two has one voter.
func (d *Membership) growVoters(ctx context.Context, m *wire.Map, have []wire.GroupMember) error {
	if len(m.Nodes) < wire.VotersMin || len(d.Voters()) >= wire.VotersMin {
		return nil
	}
	d.changing.Lock()
	defer d.changing.Unlock()
	nobody := func(wire.Node) bool { return false }
	voters, err := chooseVoters(m, nobody, d.ID, have)
	if err != nil {
		return nil // not enough of them answer yet
	}
	slices.SortFunc(voters, cmp.Compare)
	return d.FederationQueue.Do(ctx, wire.CmdMembers, &wire.MemberChange{Voters: voters}, nil)
}
