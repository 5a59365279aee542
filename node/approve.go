package node

import (
	"context"

	"github.com/staffetta/staffetta/node/seat"
	"github.com/staffetta/staffetta/wire"
	"github.com/staffetta/staffetta/wire/link"
)

// approvalCalls are the calls about requests that wait for a second operator.
func (n *Node) approvalCalls() []seat.Call {
	return []seat.Call{
		// And what it approves takes its own right; of withdrawing, that, or to have asked.
		seat.Answers(n.Seat, wire.MethodApprove, seat.Observers, seat.FederationLeads,
			n.approve).ByOne("it makes the second of two"),
		seat.Answers(n.Seat, wire.MethodWithdraw, seat.Observers, seat.FederationLeads,
			n.withdraw).ByOne(seat.Undone),
		seat.Answers(n.Seat, wire.MethodListPending, seat.Observers, seat.AnyNode, n.listPending),
		seat.Administers[wire.Approvals](n.Seat, wire.MethodSetApprovals,
			seat.Operators(link.RightMember, seat.Everywhere), "approvals set", wire.CmdSetApprovals).When(
			seat.Hurts(func(m *wire.Map, a *wire.Approvals) bool {
				return a.Operators < m.OperatorsNeeded()
			})),
	}
}

// pending is the request that a call of an operator with the right to make it names.
func (n *Node) pending(ctx context.Context, from link.Identity, r *wire.PendingRef) (
	*wire.PendingRequest, *wire.Error, error) {
	if err := n.CheckFederates(); err != nil {
		return nil, nil, err
	}
	if err := n.FederationGroup.Read(ctx); err != nil {
		return nil, nil, err
	}
	p, err := n.Seat.Federation.Pending(r.ID)
	if err != nil {
		return nil, nil, err
	}
	return p, n.Permit(from, link.GrantsIn(ctx), p.Method, p.Request), nil
}

// approve answers MethodApprove: the request that waits is answered as if it came now, with all
// that is looked at then, and the log lets it through once. Who asked for it may not approve it,
// which is for the log to say, and leaves a line.
func (n *Node) approve(ctx context.Context, from link.Identity, r *wire.PendingRef) (*seat.None,
	error) {
	p, refusal, err := n.pending(ctx, from, r)
	switch {
	case err != nil:
		return nil, err
	case refusal != nil:
		return nil, refusal
	case p.Approved == from.String():
		return nil, nil
	}
	return nil, n.CarryOut(ctx, from, p)
}

// withdraw answers MethodWithdraw, for who asked and for whoever might approve.
func (n *Node) withdraw(ctx context.Context, from link.Identity, r *wire.PendingRef) (*seat.None,
	error) {
	p, refusal, err := n.pending(ctx, from, r)
	if err != nil {
		return nil, err
	}
	if refusal != nil && p.Operator != from.String() {
		return nil, refusal
	}
	_, err = n.Administrate(ctx, from, "approve --withdraw", wire.CmdWithdraw,
		&wire.PendingRef{ID: p.ID})
	return nil, err
}

// listPending answers MethodListPending, from the node's replica.
func (n *Node) listPending(_ context.Context, _ link.Identity, _ *seat.None) (*wire.PendingList,
	error) {
	index := n.Seat.Federation.Position().Index
	list, err := n.Seat.Federation.ListPending(n.Now())
	if err != nil {
		return nil, err
	}
	for i := range list {
		list[i].Request = nil
	}
	return &wire.PendingList{List: list, Approvals: n.Map().OperatorsNeeded(),
		Fresh: n.freshness(index)}, nil
}
