package node

import (
	"bytes"
	"context"
	"time"

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

// hurting are the calls that can hurt a region, or make one operator two, and so need a second
// operator where the federation is set so. Each says of a request whether it does, and what of it
// is kept until then. What is not here one operator does alone.
var hurting = map[wire.Method]func(*Node, []byte) (keep []byte, hurts bool, err error){
	wire.MethodDealSlots:   when(func(_ *wire.Map, d *wire.DealSlots) bool { return d.Force }),
	wire.MethodSettleSlots: when(func(*wire.Map, *wire.SettleSlots) bool { return true }),
	wire.MethodFenceRegion: when(func(m *wire.Map, f *wire.FenceRegion) bool {
		r, _ := m.RegionByID(f.Region)
		return r.Incarnation != f.Incarnation // otherwise it is fenced already
	}),
	wire.MethodOrderRegion: when(func(_ *wire.Map, o *wire.RegionOrder) bool {
		return o.Kind == wire.OrderDiscard
	}),
	wire.MethodForgoReport: when(func(*wire.Map, *wire.ForgoReport) bool { return true }),
	wire.MethodAddRoot:     when(func(*wire.Map, *wire.Root) bool { return true }),
	wire.MethodRemoveRoot:  when(func(*wire.Map, *wire.RootRef) bool { return true }),
	wire.MethodRevoke:      when(func(*wire.Map, *wire.Revocation) bool { return true }),
	wire.MethodSetRecoveryKey: when(func(m *wire.Map, s *wire.SetRecoveryKey) bool {
		r, _ := m.RegionByID(s.Region) // the first one makes nobody's copies another's to read
		return len(r.Recovery) > 0 && !bytes.Equal(r.Recovery, s.Public)
	}),
	wire.MethodSetApprovals: when(func(m *wire.Map, a *wire.Approvals) bool {
		return a.Operators < m.OperatorsNeeded()
	}),
}

// when reads a request. What is kept of it is its own fields, without the caller's deadline.
func when[Q any, PQ message[Q]](hurts func(*wire.Map, PQ) bool) func(*Node, []byte) ([]byte, bool,
	error) {
	return func(n *Node, req []byte) ([]byte, bool, error) {
		q := PQ(new(Q))
		if err := wire.Decode(req, q); err != nil {
			return nil, false, err
		}
		return wire.Encode(q), hurts(n.currentMap(), q), nil
	}
}

// handleApprovals registers the calls about requests that wait for a second operator.
func (n *Node) handleApprovals() {
	n.link.Handle(wire.MethodApprove, n.approve, link.RoleOperator)
	n.link.Handle(wire.MethodWithdraw, n.withdraw, link.RoleOperator)
	n.link.Handle(wire.MethodListPending, n.listPending, link.RoleOperator)
	administer[wire.Approvals](n, wire.MethodSetApprovals, "approvals set", wire.CmdSetApprovals)
}

// order is an operator's call that is being answered.
type order struct {
	method  wire.Method
	request []byte
	// approval is the pending request that the call carries out; empty: the operator's own.
	approval string
}

type orderKey struct{}

// handleChange registers an operator's call that changes the federation. One that may hurt a
// region can be answered later, when a second operator approves it.
func (n *Node) handleChange(m wire.Method, h link.Handler, roles ...link.Role) {
	if hurting[m] == nil {
		n.link.Handle(m, h, roles...)
		return
	}
	if n.changes == nil {
		n.changes = map[wire.Method]link.Handler{}
	}
	n.changes[m] = h
	n.link.Handle(m, func(ctx context.Context, from link.Identity, req []byte) ([]byte, error) {
		return h(context.WithValue(ctx, orderKey{}, order{method: m, request: req}), from, req)
	}, roles...)
}

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
	keep, hurts, err := hurting[o.method](n, o.request)
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
		case time.Now().After(end) || !link.Pause(ctx, orderedPoll):
			return wire.Errorf(wire.AwaitsApproval, "%s in region %s takes two operators, and the "+
				"second one has not approved it", o.Kind.Action(), o.Region)
		}
	}
}

// pending is the request that a call of an operator with the right to make it names.
func (n *Node) pending(ctx context.Context, from link.Identity, req []byte) (*wire.PendingRequest,
	*wire.Error, error) {
	var r wire.PendingRef
	if err := wire.Decode(req, &r); err != nil {
		return nil, nil, err
	}
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
func (n *Node) approve(ctx context.Context, from link.Identity, req []byte) ([]byte, error) {
	p, refusal, err := n.pending(ctx, from, req)
	switch {
	case err != nil:
		return nil, err
	case refusal != nil:
		return nil, refusal
	case p.Approved == from.String():
		return nil, nil
	case n.changes[p.Method] == nil:
		return nil, wire.Errorf(wire.UnknownKind, "method %d needs no second operator here", p.Method)
	}
	ctx = context.WithValue(ctx, orderKey{}, order{p.Method, p.Request, p.ID})
	_, err = n.changes[p.Method](ctx, from, p.Request)
	return nil, err
}

// withdraw answers MethodWithdraw, for who asked and for whoever might approve.
func (n *Node) withdraw(ctx context.Context, from link.Identity, req []byte) ([]byte, error) {
	p, refusal, err := n.pending(ctx, from, req)
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
func (n *Node) listPending(context.Context, link.Identity, []byte) ([]byte, error) {
	index := n.federation.Position().Index
	list, err := n.federation.ListPending(n.clockNow())
	if err != nil {
		return nil, err
	}
	for i := range list {
		list[i].Request = nil
	}
	return wire.Encode(&wire.PendingList{List: list, Approvals: n.currentMap().OperatorsNeeded(),
		Fresh: n.freshness(index)}), nil
}
