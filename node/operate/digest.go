package operate

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/staffetta/staffetta/consensus"
	"github.com/staffetta/staffetta/node/seat"
	"github.com/staffetta/staffetta/wire"
	"github.com/staffetta/staffetta/wire/link"
)

const (
	// replicaPeriod is how often a leader compares the replicas of its group.
	replicaPeriod = 10 * time.Second
	// replicaWait bounds one question; an operator waits for all of them within link.AttemptWait.
	// replicasAtOnce bounds how many are open: the federation's leader asks every node.
	replicaWait    = time.Second
	replicasAtOnce = 128
	// agreedMax bounds what a member is told: a replica that differs once differs ever after.
	agreedMax = 8
)

// replicaCalls are the calls that keep replicas alike, and an operator's on upgrades and disks.
func (d *Desk) replicaCalls() []seat.Call {
	return []seat.Call{
		seat.Answers(d.Seat, wire.MethodReplica, seat.Only(link.RoleNode), seat.AnyNode, d.replica),
		seat.Answers(d.Seat, wire.MethodUpgrade, seat.Observers, seat.FederationLeads, d.upgrade),
		seat.Answers(d.Seat, wire.MethodFinalise, seat.Operators(link.RightOperator, seat.Everywhere),
			seat.FederationLeads, d.finalise).ByOne(seat.Judged),
		seat.Answers(d.Seat, wire.MethodReleaseBallast, seat.Operators(link.RightOperator, seat.Here),
			seat.AnyNode, d.ballast).ByOne(seat.Urgent),
	}
}

// replica answers MethodReplica: how this member of a group is. What a majority agrees on is
// believed of the leader that this replica follows and of nobody else, since who differs ends.
// Digests are for who asks about this incarnation of the group.
func (d *Desk) replica(_ context.Context, from link.Identity, q *wire.ReplicaQuery) (
	*wire.Replica, error) {
	group, _, _ := strings.Cut(q.Group, "#")
	g := d.Group(group)
	if g == nil {
		return nil, wire.Errorf(wire.NotFound, "this node is not in that group")
	}
	if len(q.Agreed) > agreedMax {
		return nil, wire.Errorf(wire.TooLarge, "%d digests, %d allowed", len(q.Agreed), agreedMax)
	}
	answer := wire.Replica{Version: d.Version, Active: d.Region.ActiveVersion(),
		Disk: d.disk.level()}
	if q.Group == d.Incarnated(group) {
		if leader, _ := g.Leader(); leader != "" && leader == from.Node() {
			g.JudgeDigests(q.Agreed)
		}
		answer.Digests = g.Digests()
	}
	if group == seat.FederationGroup {
		answer.Active = d.Federation.ActiveVersion()
	}
	return &answer, nil
}

// askReplicas asks nodes how their replicas of a group are; who does not answer in time is
// missing. A program that does not know the question is of the first version.
func (d *Desk) askReplicas(ctx context.Context, nodes []wire.NodeID,
	query func(wire.NodeID) *wire.ReplicaQuery) map[wire.NodeID]*wire.Replica {
	answers := make(map[wire.NodeID]*wire.Replica, len(nodes))
	var mu sync.Mutex
	var all sync.WaitGroup
	slots := make(chan struct{}, replicasAtOnce)
	for _, id := range nodes {
		if id == d.ID {
			continue
		}
		slots <- struct{}{}
		all.Go(func() {
			defer func() { <-slots }()
			if r := d.askReplica(ctx, id, query(id)); r != nil {
				mu.Lock()
				answers[id] = r
				mu.Unlock()
			}
		})
	}
	all.Wait()
	return answers
}

func (d *Desk) askReplica(ctx context.Context, id wire.NodeID, q *wire.ReplicaQuery) *wire.Replica {
	ctx, cancel := context.WithTimeout(ctx, replicaWait)
	defer cancel()
	q.Version = d.Version
	r := new(wire.Replica)
	err := d.CallNode(ctx, id, wire.MethodReplica, q, r)
	if errors.Is(err, wire.UnknownKind) {
		return &wire.Replica{Version: wire.VersionMin, Active: wire.VersionMin}
	}
	if err != nil || len(r.Digests) > wire.DigestsMax {
		return nil
	}
	return r
}

// membersOf are a group's voters, and all its members.
func membersOf(g *consensus.Group) (voters, all []wire.NodeID) {
	members, err := g.Members()
	if err != nil {
		return nil, nil
	}
	for _, m := range members {
		all = append(all, m.Node)
		if m.Voter {
			voters = append(voters, m.Node)
		}
	}
	return voters, all
}

// CompareReplicas is a leader's duty: to find out who differs. A replica that differs from a
// majority of the voters is told what they agree on, and ends by itself; this one too.
func (d *Desk) CompareReplicas(ctx context.Context, name string) error {
	g := d.Group(name)
	defer g.SetDisputed(false)
	var agreed []wire.StateDigest
	disputed := false
	return seat.Every(ctx, replicaPeriod, func() error {
		// A third replica may not have had an index where two differ: only what lasts is a dispute.
		before := disputed
		agreed, disputed = d.compareOnce(ctx, name, g, agreed)
		g.SetDisputed(disputed && before)
		return nil
	})
}

// compareOnce tells the members what was agreed before, asks for their digests, and returns what is
// agreed now, and whether that leaves a dispute. Who differs from it is told at once.
func (d *Desk) compareOnce(ctx context.Context, name string, g *consensus.Group,
	before []wire.StateDigest) (agreed []wire.StateDigest, disputed bool) {
	voters, all := membersOf(g)
	of := d.Incarnated(name)
	answers := d.askReplicas(ctx, all, func(wire.NodeID) *wire.ReplicaQuery {
		return &wire.ReplicaQuery{Group: of, Agreed: before[:min(len(before), agreedMax)]}
	})
	digests := map[wire.NodeID][]wire.StateDigest{d.ID: g.Digests()}
	for id, r := range answers {
		digests[id] = r.Digests
	}
	agreed, disputed = agree(voters, digests)
	g.JudgeDigests(agreed)
	different := map[wire.NodeID][]wire.StateDigest{}
	var nodes []wire.NodeID
	for id, r := range answers {
		if list := differing(agreed, r.Digests); len(list) > 0 {
			different[id] = list
			nodes = append(nodes, id)
			d.Log.Error("a replica differs from the majority", "group", name, "member", id,
				"index", list[0].Index)
		}
	}
	d.askReplicas(ctx, nodes, func(id wire.NodeID) *wire.ReplicaQuery {
		return &wire.ReplicaQuery{Group: of, Agreed: different[id]}
	})
	return agreed, disputed
}

// agree answers the digests that a majority of the voters have, newest first, and whether voters
// differ at a later index without a majority.
func agree(voters []wire.NodeID, digests map[wire.NodeID][]wire.StateDigest) (
	agreed []wire.StateDigest, disputed bool) {
	votes := map[wire.StateDigest]int{}
	sums := map[uint64]int{} // the different digests of an index
	settled := uint64(0)     // the newest index at which a majority agrees
	for _, v := range voters {
		for _, d := range digests[v] {
			if votes[d]++; votes[d] == 1 {
				sums[d.Index]++
			}
			if votes[d] == len(voters)/2+1 {
				settled = max(settled, d.Index)
				agreed = append(agreed, d)
			}
		}
	}
	for index, different := range sums {
		if different > 1 && index > settled {
			disputed = true
		}
	}
	slices.SortFunc(agreed, func(a, b wire.StateDigest) int { return cmp.Compare(b.Index, a.Index) })
	return agreed, disputed
}

// differing are agreed digests of indexes at which a member has another one, as many as it may be
// told.
func differing(agreed, has []wire.StateDigest) []wire.StateDigest {
	sums := make(map[uint64][32]byte, len(has))
	for _, d := range has {
		sums[d.Index] = d.Sum
	}
	var list []wire.StateDigest
	for _, d := range agreed {
		if sum, ok := sums[d.Index]; ok && sum != d.Sum && len(list) < agreedMax {
			list = append(list, d)
		}
	}
	return list
}
