package operate

import (
	"context"

	"github.com/staffetta/staffetta/node/seat"
	"github.com/staffetta/staffetta/wire"
	"github.com/staffetta/staffetta/wire/link"
)

// approvalCalls are the calls about requests that wait for a second operator.
func (d *Desk) approvalCalls() []seat.Call {
	return []seat.Call{
		// And what it approves takes its own right; of withdrawing, that, or to have asked.
		seat.Answers(d.Seat, wire.MethodApprove, seat.Observers, seat.FederationLeads,
			d.approve).ByOne("it makes the second of two"),
		seat.Answers(d.Seat, wire.MethodWithdraw, seat.Observers, seat.FederationLeads,
			d.withdraw).ByOne(seat.Undone),
		seat.Answers(d.Seat, wire.MethodListPending, seat.Observers, seat.AnyNode, d.listPending),
		seat.Administers[wire.Approvals](d.Seat, wire.MethodSetApprovals,
			seat.Operators(link.RightMember, seat.Everywhere), "approvals set",
			wire.CmdSetApprovals).When(seat.Hurts(func(m *wire.Map, a *wire.Approvals) bool {
			return a.Operators < m.OperatorsNeeded()
		})),
	}
}

// pending is the request that a call of an operator with the right to make it names.
func (d *Desk) pending(ctx context.Context, from link.Identity, r *wire.PendingRef) (
	*wire.PendingRequest, *wire.Error, error) {
	if err := d.CheckFederates(); err != nil {
		return nil, nil, err
	}
	if err := d.FederationGroup.Read(ctx); err != nil {
		return nil, nil, err
	}
	p, err := d.Federation.Pending(r.ID)
	if err != nil {
		return nil, nil, err
	}
	return p, d.Permit(from, link.GrantsIn(ctx), p.Method, p.Request), nil
}

// approve answers MethodApprove: the request that waits is answered as if it came now, with all
// that is looked at then, and the log lets it through once. Who asked for it may not approve it,
// which is for the log to say, and leaves a line.
func (d *Desk) approve(ctx context.Context, from link.Identity, r *wire.PendingRef) (*seat.None,
	error) {
	p, refusal, err := d.pending(ctx, from, r)
	switch {
	case err != nil:
		return nil, err
	case refusal != nil:
		return nil, refusal
	case p.Approved == from.String():
		return nil, nil
	}
	return nil, d.CarryOut(ctx, from, p)
}

// withdraw answers MethodWithdraw, for who asked and for whoever might approve.
func (d *Desk) withdraw(ctx context.Context, from link.Identity, r *wire.PendingRef) (*seat.None,
	error) {
	p, refusal, err := d.pending(ctx, from, r)
	if err != nil {
		return nil, err
	}
	if refusal != nil && p.Operator != from.String() {
		return nil, refusal
	}
	_, err = d.Administrate(ctx, from, "approve --withdraw", wire.CmdWithdraw,
		&wire.PendingRef{ID: p.ID})
	return nil, err
}

// listPending answers MethodListPending, from the node's replica.
func (d *Desk) listPending(_ context.Context, _ link.Identity, _ *seat.None) (*wire.PendingList,
	error) {
	index := d.Federation.Position().Index
	list, err := d.Federation.ListPending(d.Now())
	if err != nil {
		return nil, err
	}
	for i := range list {
		list[i].Request = nil
	}
	return &wire.PendingList{List: list, Approvals: d.Map().OperatorsNeeded(),
		Fresh: d.freshness(index)}, nil
}
