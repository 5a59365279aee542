package node

import (
	"context"
	"time"

	"github.com/staffetta/staffetta/internal/backoff"
	"github.com/staffetta/staffetta/internal/codec"
	"github.com/staffetta/staffetta/wire"
	"github.com/staffetta/staffetta/wire/link"
)

const (
	// orderedWait is how long a region's leader waits for the approval of an order, orderedPoll how
	// often it looks.
	orderedWait = time.Second
	orderedPoll = 50 * time.Millisecond
)

// of reads a request. What is kept of it is its own fields, without the caller's deadline.
func of[Q any, PQ message[Q]](hurts func(*wire.Map, PQ) bool) func(*Node, []byte) ([]byte, bool,
	error) {
	return func(n *Node, req []byte) ([]byte, bool, error) {
		q := PQ(new(Q))
		if err := wire.Decode(req, q); err != nil {
			return nil, false, err
		}
		return wire.Encode(q), hurts(n.currentMap(), q), nil
	}
}

// always is of for a call of which every request hurts.
func always[Q any, PQ message[Q]]() func(*Node, []byte) ([]byte, bool, error) {
	return of(func(*wire.Map, PQ) bool { return true })
}

// approvalCalls are the calls about requests that wait for a second operator.
func (n *Node) approvalCalls() []call {
	return []call{
		// And what it approves takes its own right; of withdrawing, that, or to have asked.
		answers(n, wire.MethodApprove, observers, federationLeads,
			n.approve).byOne("it makes the second of two"),
		answers(n, wire.MethodWithdraw, observers, federationLeads, n.withdraw).byOne(undone),
		answers(n, wire.MethodListPending, observers, anyNode, n.listPending),
		administers[wire.Approvals](n, wire.MethodSetApprovals,
			operators(link.RightMember, everywhere), "approvals set", wire.CmdSetApprovals).when(
			of(func(m *wire.Map, a *wire.Approvals) bool {
				return a.Operators < m.OperatorsNeeded()
			})),
	}
}

// order is an operator's call that is being answered.
type order struct {
	method  wire.Method
	request []byte
	// approval is the pending request that the call carries out; empty: the operator's own.
	approval string
}

type orderKey struct{}

// approval is the pending request that a call carries out, if any.
func approval(ctx context.Context) string {
	o, _ := ctx.Value(orderKey{}).(order)
	return o.approval
}

// second has a call that hurts a region wait for another operator, where two are needed: the
// request is logged, and the error is AwaitsApproval and names it. Nil: the call may go on. The
// caller leads the federation and has read its log.
func (n *Node) second(ctx context.Context, from link.Identity, action string,
	kind wire.CommandKind, m codec.Message) error {
	o, ok := ctx.Value(orderKey{}).(order)
	if !ok || o.approval != "" || n.currentMap().OperatorsNeeded() < 2 {
		return nil
	}
	keep, hurts, err := n.table[o.method].hurts(n, o.request)
	if err != nil || !hurts {
		return err
	}
	if o.method == wire.MethodOrderRegion { // approving it has done nothing yet but let it through
		if done, err := n.federation.Approved(o.method, keep, n.clockNow()); done || err != nil {
			return err
		}
	}
	p := &wire.PendingRequest{Method: o.method, Request: keep, Kind: kind, Operator: from.String(),
		Action: action, Subject: n.auditSubject(m)}
	result, err := n.logAudited(ctx, from, action, wire.CmdAsk, p)
	if err != nil {
		return err
	}
	if err := wire.Decode(result.Body, p); err != nil {
		return err
	}
	if p.Operator != from.String() {
		return wire.Errorf(wire.AwaitsApproval, "%s has asked for the same: staffetta admin approve "+
			"%s, until %s", p.Operator, p.ID, p.Expires)
	}
	return wire.Errorf(wire.AwaitsApproval, "waits for a second operator: staffetta admin approve "+
		"%s, until %s", p.ID, p.Expires)
}

// ordered returns nil when an order that this region's leader is to carry out has had its second
// operator, where it needs one. It is asked of the leader too, who can be called without a word to
// the federation; and waits for its replica, which may not have the approval of a moment ago.
func (n *Node) ordered(ctx context.Context, o *wire.RegionOrder) error {
	if n.currentMap().OperatorsNeeded() < 2 {
		return nil
	}
	for end := time.Now().Add(orderedWait); ; {
		done, err := n.federation.Approved(wire.MethodOrderRegion, wire.Encode(o), n.clockNow())
		switch {
		case done || err != nil:
			return err
		case time.Now().After(end) || !backoff.Pause(ctx, orderedPoll):
			return wire.Errorf(wire.AwaitsApproval, "%s in region %s takes two operators, and the "+
				"second one has not approved it", o.Kind.Action(), o.Region)
		}
	}
}

// pending is the request that a call of an operator with the right to make it names.
func (n *Node) pending(ctx context.Context, from link.Identity, r *wire.PendingRef) (
	*wire.PendingRequest, *wire.Error, error) {
	if err := n.mayFederate(); err != nil {
		return nil, nil, err
	}
	if err := n.federationGroup.Read(ctx); err != nil {
		return nil, nil, err
	}
	p, err := n.federation.Pending(r.ID)
	if err != nil {
		return nil, nil, err
	}
	return p, n.permit(from, link.GrantsIn(ctx), p.Method, p.Request), nil
}

// approve answers MethodApprove: the request that waits is answered as if it came now, with all
// that is looked at then, and the log lets it through once. Who asked for it may not approve it,
// which is for the log to say, and leaves a line.
func (n *Node) approve(ctx context.Context, from link.Identity, r *wire.PendingRef) (*none, error) {
	p, refusal, err := n.pending(ctx, from, r)
	switch {
	case err != nil:
		return nil, err
	case refusal != nil:
		return nil, refusal
	case p.Approved == from.String():
		return nil, nil
	case n.table[p.Method] == nil || n.table[p.Method].hurts == nil:
		return nil, wire.Errorf(wire.UnknownKind, "method %d needs no second operator here", p.Method)
	}
	ctx = context.WithValue(ctx, orderKey{}, order{p.Method, p.Request, p.ID})
	_, err = n.table[p.Method].answer(ctx, from, p.Request)
	return nil, err
}

// withdraw answers MethodWithdraw, for who asked and for whoever might approve.
func (n *Node) withdraw(ctx context.Context, from link.Identity, r *wire.PendingRef) (*none,
	error) {
	p, refusal, err := n.pending(ctx, from, r)
	if err != nil {
		return nil, err
	}
	if refusal != nil && p.Operator != from.String() {
		return nil, refusal
	}
	_, err = n.administrate(ctx, from, "approve --withdraw", wire.CmdWithdraw,
		&wire.PendingRef{ID: p.ID})
	return nil, err
}

// listPending answers MethodListPending, from the node's replica.
func (n *Node) listPending(_ context.Context, _ link.Identity, _ *none) (*wire.PendingList, error) {
	index := n.federation.Position().Index
	list, err := n.federation.ListPending(n.clockNow())
	if err != nil {
		return nil, err
	}
	for i := range list {
		list[i].Request = nil
	}
	return &wire.PendingList{List: list, Approvals: n.currentMap().OperatorsNeeded(),
		Fresh: n.freshness(index)}, nil
}
