package node

import (
	"context"

	"github.com/staffetta/staffetta/wire"
	"github.com/staffetta/staffetta/wire/link"
)

// handleOperators registers the calls about operators themselves.
func (n *Node) handleOperators() {
	n.link.Handle(wire.MethodWhoami, n.whoami, link.RoleOperator)
	n.link.Handle(wire.MethodMay, n.may, link.RoleOperator)
}

// whoami answers MethodWhoami. Whoever has a certificate may ask, also one that allows nothing.
func (n *Node) whoami(ctx context.Context, from link.Identity, _ []byte) ([]byte, error) {
	grants := link.GrantsIn(ctx)
	return wire.Encode(&wire.Whoami{Identity: from.String(), Grants: grants.Strings(),
		Unlimited: grants == nil && n.currentMap().ActiveVersion < wire.VersionGrants,
		Node:      n.cfg.ID}), nil
}

// may answers MethodMay.
func (n *Node) may(ctx context.Context, from link.Identity, req []byte) ([]byte, error) {
	var q wire.May
	if err := wire.Decode(req, &q); err != nil {
		return nil, err
	}
	if refusal := n.permit(from, link.GrantsIn(ctx), q.Method, q.Request); refusal != nil {
		return nil, refusal
	}
	if q.Method != wire.MethodApprove {
		return nil, nil
	}
	p, refusal, err := n.pending(ctx, from, q.Request)
	switch {
	case err != nil:
		return nil, err
	case refusal != nil:
		return nil, refusal
	case p.Operator == from.String():
		return nil, wire.Errorf(wire.Forbidden, "%s asked for it: another operator has to approve it",
			from)
	}
	return nil, nil
}
