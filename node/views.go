package node

import (
	"context"

	"github.com/staffetta/staffetta/internal/codec"
	"github.com/staffetta/staffetta/wire"
	"github.com/staffetta/staffetta/wire/link"
)

// handleViews registers what operators ask: any node answers for itself or from its replicas.
func (n *Node) handleViews() {
	n.link.Handle(wire.MethodStatus, n.status, link.RoleOperator, link.RoleNode)
	n.link.Handle(wire.MethodProbe, n.probe, link.RoleOperator, link.RoleNode)
	n.link.Handle(wire.MethodListAudit, n.listAudit, link.RoleOperator)
	view(n, wire.MethodListInstitutions,
		func(q *wire.ListRegistry) (*wire.InstitutionPage, error) {
			page, err := n.federation.Institutions(q)
			if err == nil {
				page.Fresh = n.freshness(page.Fresh.Index)
			}
			return page, err
		})
	view(n, wire.MethodListServices, func(q *wire.ListRegistry) (*wire.ServicePage, error) {
		page, err := n.federation.Services(q)
		if err == nil {
			page.Fresh = n.freshness(page.Fresh.Index)
		}
		return page, err
	})
	n.link.Handle(wire.MethodExplain, n.explain, link.RoleOperator)
	n.link.Handle(wire.MethodFindRecipients, n.findRecipients, link.RoleOperator)
}

// listAudit answers MethodListAudit: what operators changed, as this node's replica knows.
func (n *Node) listAudit(ctx context.Context, from link.Identity, req []byte) ([]byte, error) {
	var q wire.ListAudit
	if err := wire.Decode(req, &q); err != nil {
		return nil, err
	}
	n.noteAudit(ctx, from, "of the federation", q.After)
	page, err := n.federation.Audit(&q)
	if err != nil {
		return nil, err
	}
	page.Fresh = n.freshness(page.Fresh.Index)
	return wire.Encode(page), nil
}

// findRecipients answers MethodFindRecipients. The question is noted before it is answered.
func (n *Node) findRecipients(ctx context.Context, from link.Identity, req []byte) ([]byte, error) {
	var q wire.FindRecipients
	if err := wire.Decode(req, &q); err != nil {
		return nil, err
	}
	if err := n.noteRead(ctx, from, "explain", "message "+q.ID.String()); err != nil {
		return nil, err
	}
	found, err := n.region.FindRecipients(q.ID)
	if err != nil {
		return nil, err
	}
	found.Region = n.cfg.Region
	return wire.Encode(found), nil
}

// view registers an operator's question that this node answers by itself.
func view[Q, A any, PQ message[Q], PA message[A]](n *Node, m wire.Method,
	f func(PQ) (PA, error)) {
	n.link.Handle(m, func(_ context.Context, _ link.Identity, req []byte) ([]byte, error) {
		q := PQ(new(Q))
		if err := wire.Decode(req, q); err != nil {
			return nil, err
		}
		a, err := f(q)
		if err != nil {
			return nil, err
		}
		return wire.Encode(a), nil
	}, link.RoleOperator)
}

// freshness says how old an answer as of the federation's log index may be.
func (n *Node) freshness(index uint64) wire.Freshness {
	return wire.Freshness{Node: n.cfg.ID, Index: index,
		ContactMillis: uint64(n.federationContact().Milliseconds())}
}

// explain answers MethodExplain: the leader after a barrier, another replica as far as it is. The
// question is noted before it is answered.
func (n *Node) explain(ctx context.Context, from link.Identity, req []byte) ([]byte, error) {
	var q wire.Explain
	if err := wire.Decode(req, &q); err != nil {
		return nil, err
	}
	if err := n.noteRead(ctx, from, "explain", "message "+q.ID.String()); err != nil {
		return nil, err
	}
	leader := n.regionGroup.IsLeader() && n.regionGroup.Read(ctx) == nil
	e, err := n.region.Explain(&q)
	if err != nil {
		return nil, err
	}
	e.Node, e.Region, e.Leader = n.cfg.ID, n.cfg.Region, leader
	if e.Block > 0 {
		e.Term, _ = n.regionGroup.EntryTerm(e.Block)
	}
	return wire.Encode(e), nil
}

// instead passes an operator's question on to the node that it is about, for one who does not
// reach that node; ok is false when it is about this one. A node passes nothing on for another.
func (n *Node) instead(ctx context.Context, from link.Identity, of wire.NodeID, m wire.Method,
	q codec.Message) (answer []byte, ok bool, err error) {
	if of == "" || of == n.cfg.ID {
		return nil, false, nil
	}
	if from.Role != link.RoleOperator {
		return nil, true, wire.Errorf(wire.Forbidden, "%s asks %s for %s", from, n.cfg.ID, of)
	}
	answer, err = n.link.Call(ctx, link.Peer{Node: of}, m, wire.Encode(q))
	return answer, true, err
}
