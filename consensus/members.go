package consensus

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/hashicorp/raft"
	"github.com/staffetta/staffetta/wire"
)

// promoteLag is how far behind a member may be that is given a vote: a voter that is far behind
// holds up every commit when another one is lost.
const promoteLag = 1000

// Members answers the group's membership as this replica knows it.
func (g *Group) Members() ([]Member, error) {
	f := g.raft.GetConfiguration()
	if err := f.Error(); err != nil {
		return nil, g.proposeError(err)
	}
	return toMembers(f.Configuration()), nil
}

// AddNonvoter makes node a member that receives the log and does not vote; it is how every new
// member begins. Adding a member again changes nothing.
//
// Membership changes are the leader's, one at a time; errors are those of Propose.
func (g *Group) AddNonvoter(ctx context.Context, node wire.NodeID) error {
	if !node.Valid() {
		return wire.Errorf(wire.Malformed, "not a node's name")
	}
	if m, err := g.member(node); err != nil || m != nil {
		return err
	}
	return g.change(ctx, func(d time.Duration) raft.Future {
		return g.raft.AddNonvoter(raft.ServerID(node), raft.ServerAddress(node), 0, d)
	})
}

// Promote gives a member a vote. One that does not answer or is far behind is refused with
// Conflict.
func (g *Group) Promote(ctx context.Context, node wire.NodeID) error {
	m, err := g.member(node)
	if err != nil || m != nil && m.Voter {
		return err
	}
	if m == nil {
		return wire.Errorf(wire.NotFound, "not a member of the group")
	}
	behind, there := g.peers.lag(node, g.raft.CurrentTerm(), g.raft.LastIndex())
	if !there || behind > promoteLag {
		return wire.Errorf(wire.Conflict, "the member is %d entries behind or does not answer",
			behind)
	}
	return g.change(ctx, func(d time.Duration) raft.Future {
		return g.raft.AddVoter(raft.ServerID(node), raft.ServerAddress(node), 0, d)
	})
}

// Demote takes a member's vote; it goes on following. The leader itself hands leadership over
// first. A demoted member that is none changes nothing.
func (g *Group) Demote(ctx context.Context, node wire.NodeID) error {
	if m, err := g.member(node); err != nil || m == nil || !m.Voter {
		return err
	}
	return g.change(ctx, func(d time.Duration) raft.Future {
		return g.raft.DemoteVoter(raft.ServerID(node), 0, d)
	})
}

// Remove ends a node's membership. The node should be running, so that it learns of it; one that
// is not must never be started again on its old data (hashicorp/raft#524).
func (g *Group) Remove(ctx context.Context, node wire.NodeID) error {
	if m, err := g.member(node); err != nil || m == nil {
		return err
	}
	return g.change(ctx, func(d time.Duration) raft.Future {
		return g.raft.RemoveServer(raft.ServerID(node), 0, d)
	})
}

// TransferLeadership hands leadership to the voter that is furthest; it returns when this node
// no longer leads. Unavailable when nobody took it.
func (g *Group) TransferLeadership(ctx context.Context) error {
	return g.transferBy(ctx, func() raft.Future { return g.raft.LeadershipTransfer() })
}

// TransferTo hands leadership to a voter, which must answer and have the log but for what is under
// way; it returns when this node no longer leads. Unavailable when it was not taken.
func (g *Group) TransferTo(ctx context.Context, node wire.NodeID) error {
	return g.transferBy(ctx, func() raft.Future {
		return g.raft.LeadershipTransferToServer(raft.ServerID(node), raft.ServerAddress(node))
	})
}

func (g *Group) transferBy(ctx context.Context, begin func() raft.Future) error {
	if err := g.running(); err != nil {
		return err
	}
	if g.raft.State() != raft.Leader {
		return g.notLeader()
	}
	err := g.bounded(ctx, func() error { return await(begin(), g.ended, g.config.guards) })
	if err != nil && !errors.Is(err, raft.ErrNotLeader) {
		return wire.Errorf(wire.Unavailable, "nobody took over leadership")
	}
	return nil
}

// Progress answers how the members do, as this leader sees them; NotLeader on others.
func (g *Group) Progress() ([]wire.GroupMember, error) { return g.progress(0) }

// MembersBehind names the members that answer this leader and do not have its log up to index yet:
// one that was cut off for minutes hears from the leader up to ten seconds before the library
// brings it the log.
func (g *Group) MembersBehind(index uint64) (list []wire.NodeID, err error) {
	members, err := g.progress(index)
	for _, m := range members {
		if m.Answers && m.Behind > 0 {
			list = append(list, m.Node)
		}
	}
	return list, err
}

// progress says how far the members are behind an index of the leader's log; 0: its end.
func (g *Group) progress(index uint64) ([]wire.GroupMember, error) {
	if err := g.running(); err != nil {
		return nil, err
	}
	if g.raft.State() != raft.Leader {
		return nil, g.notLeader()
	}
	all, err := g.Members()
	if err != nil {
		return nil, err
	}
	list := make([]wire.GroupMember, len(all))
	term := g.raft.CurrentTerm()
	if index == 0 {
		index = g.raft.LastIndex()
	}
	for i, m := range all {
		list[i] = wire.GroupMember{Node: m.Node, Voter: m.Voter, Answers: true}
		if m.Node != g.config.Self {
			list[i].Behind, list[i].Answers = g.peers.lag(m.Node, term, index)
		}
	}
	return list, nil
}

// member answers node's membership on the leader, nil when there is none.
func (g *Group) member(node wire.NodeID) (*Member, error) {
	if err := g.running(); err != nil {
		return nil, err
	}
	if g.raft.State() != raft.Leader {
		return nil, g.notLeader()
	}
	all, err := g.Members()
	if err != nil {
		return nil, err
	}
	for i := range all {
		if all[i].Node == node {
			return &all[i], nil
		}
	}
	return nil, nil
}

func (g *Group) change(ctx context.Context, propose func(time.Duration) raft.Future) error {
	err := g.bounded(ctx, func() error {
		return await(propose(g.config.Timing.Enqueue), g.ended, g.config.guards)
	})
	if err == nil || errors.Is(err, errOver) {
		return asUnknown(err)
	}
	return g.proposeError(err)
}

var errOver = errors.New("caller stopped waiting")

func asUnknown(err error) error {
	if err == nil {
		return nil
	}
	return wire.Errorf(wire.OutcomeUnknown, "the caller stopped waiting")
}

// bounded waits for f at most until ctx is over. Operators call it, a few times a year.
func (g *Group) bounded(ctx context.Context, f func() error) error {
	done := make(chan error, 1)
	go func() { done <- f() }()
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
		return errOver
	}
}

// seeded gives a replica that begins with a copy of another one's state, and no log, the term of
// that state: a member that never was one has no votes to lose. The log begins behind the state.
func (r *reconciler) seeded() error {
	voted, err := r.uint64(keyVoteTerm)
	if err != nil {
		return fmt.Errorf("read vote: %w", err)
	}
	if !r.config.Seeded || !r.pos.Installed || r.last != 0 || r.term != 0 || voted != 0 {
		return nil
	}
	if err := r.stable.SetUint64(keyTerm, r.pos.Term); err != nil {
		return fmt.Errorf("begin from a copy of the state: %w", err)
	}
	return r.load()
}
