package operate

import (
	"context"

	"github.com/staffetta/staffetta/node/seat"
	"github.com/staffetta/staffetta/wire"
	"github.com/staffetta/staffetta/wire/link"
)

// operatorCalls are the calls about operators themselves.
func (d *Desk) operatorCalls() []seat.Call {
	return []seat.Call{
		seat.Answers(d.Seat, wire.MethodWhoami, seat.Observers, seat.AnyNode, d.whoami),
		seat.Answers(d.Seat, wire.MethodMay, seat.Observers, seat.AnyNode, d.answerMay),
	}
}

// whoami answers MethodWhoami. Whoever has a certificate may ask, also one that allows nothing.
func (d *Desk) whoami(ctx context.Context, from link.Identity, _ *seat.None) (*wire.Whoami, error) {
	grants := link.GrantsIn(ctx)
	return &wire.Whoami{Identity: from.String(), Grants: grants.Strings(),
		Unlimited: grants == nil && d.Map().ActiveVersion < wire.VersionGrants, Node: d.ID}, nil
}

// answerMay answers MethodMay.
func (d *Desk) answerMay(ctx context.Context, from link.Identity, q *wire.May) (*seat.None, error) {
	if q.Method != wire.MethodApprove {
		return nil, d.Rehearse(ctx, from, q.Method, q.Request)
	}
	if refusal := d.Permit(from, link.GrantsIn(ctx), q.Method, q.Request); refusal != nil {
		return nil, refusal
	}
	var r wire.PendingRef
	if err := wire.Decode(q.Request, &r); err != nil {
		return nil, err
	}
	p, refusal, err := d.pending(ctx, from, &r)
	switch {
	case err != nil:
		return nil, err
	case refusal != nil:
		return nil, refusal
	case p.Operator == from.String():
		return nil, wire.Errorf(wire.Forbidden,
			"%s asked for it: another operator has to approve it", from)
	}
	return nil, nil
}
