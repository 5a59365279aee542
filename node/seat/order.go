package seat

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

// Hurts reads of a request whether it hurts. What is kept of it is its own fields, without the
// caller's deadline.
func Hurts[Q any, PQ Message[Q]](hurts func(*wire.Map, PQ) bool) func(*Seat, []byte) ([]byte, bool,
	error) {
	return func(s *Seat, req []byte) ([]byte, bool, error) {
		q := PQ(new(Q))
		if err := wire.Decode(req, q); err != nil {
			return nil, false, err
		}
		return wire.Encode(q), hurts(s.Map(), q), nil
	}
}

// Always is Hurts for a call of which every request hurts.
func Always[Q any, PQ Message[Q]]() func(*Seat, []byte) ([]byte, bool, error) {
	return Hurts(func(*wire.Map, PQ) bool { return true })
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

// CarryOut answers a request that waited as if it came now, with all that is looked at then, for
// the operator who approves it.
func (s *Seat) CarryOut(ctx context.Context, from link.Identity, p *wire.PendingRequest) error {
	c := s.Table[p.Method]
	if c == nil || c.Hurts == nil {
		return wire.Errorf(wire.UnknownKind, "method %d needs no second operator here", p.Method)
	}
	_, err := c.Answer(context.WithValue(ctx, orderKey{}, order{p.Method, p.Request, p.ID}), from,
		p.Request)
	return err
}

// RequireSecond has a call that hurts a region wait for another operator, where two are needed: the
// request is logged, and the error is AwaitsApproval and names it. Nil: the call may go on. The
// caller leads the federation and has read its log.
func (s *Seat) RequireSecond(ctx context.Context, from link.Identity, action string,
	kind wire.CommandKind, m codec.Message) error {
	o, ok := ctx.Value(orderKey{}).(order)
	if !ok || o.approval != "" || s.Map().OperatorsNeeded() < 2 {
		return nil
	}
	keep, hurts, err := s.Table[o.method].Hurts(s, o.request)
	if err != nil || !hurts {
		return err
	}
	if o.method == wire.MethodOrderRegion { // approving it has done nothing yet but let it through
		if done, err := s.Federation.Approved(o.method, keep, s.Now()); done || err != nil {
			return err
		}
	}
	p := &wire.PendingRequest{Method: o.method, Request: keep, Kind: kind, Operator: from.String(),
		Action: action, Subject: s.auditSubject(m)}
	result, err := s.logAudited(ctx, from, action, wire.CmdAsk, p)
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

// AwaitApproval returns nil when an order that this region's leader is to carry out has had its
// second operator, where it needs one. It is asked of the leader too, who can be called without a
// word to the federation; and waits for its replica, which may not have the approval of a moment
// ago.
func (s *Seat) AwaitApproval(ctx context.Context, o *wire.RegionOrder) error {
	if s.Map().OperatorsNeeded() < 2 {
		return nil
	}
	for end := time.Now().Add(orderedWait); ; {
		done, err := s.Federation.Approved(wire.MethodOrderRegion, wire.Encode(o), s.Now())
		switch {
		case done || err != nil:
			return err
		case time.Now().After(end) || !backoff.Pause(ctx, orderedPoll):
			return wire.Errorf(wire.AwaitsApproval, "%s in region %s takes two operators, and the "+
				"second one has not approved it", o.Kind.Action(), o.Region)
		}
	}
}
