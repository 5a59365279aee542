package node

import (
	"context"

	"github.com/staffetta/staffetta/wire"
	"github.com/staffetta/staffetta/wire/link"
)

// viewCalls are what operators ask: any node answers for itself or from its replicas.
func (n *Node) viewCalls() []call {
	const notes = "any replica answers, as far as it is: what went on is asked when things are broken"
	watchers := only(link.RoleNode).or(link.RightObserver, anywhere)
	return []call{
		about(n, wire.MethodStatus, watchers,
			func(q *wire.StatusQuery) wire.NodeID { return q.Of }, n.status),
		about(n, wire.MethodProbe, watchers, func(q *wire.Probe) wire.NodeID { return q.Of },
			n.probe),
		answers(n, wire.MethodListAudit, observers, anyNode, n.listAudit),
		answers(n, wire.MethodListInstitutions, observers, anyNode, func(_ context.Context,
			_ link.Identity, q *wire.ListRegistry) (*wire.InstitutionPage, error) {
			page, err := n.federation.Institutions(q)
			if err == nil {
				page.Fresh = n.freshness(page.Fresh.Index)
			}
			return page, err
		}),
		answers(n, wire.MethodListServices, observers, anyNode, func(_ context.Context,
			_ link.Identity, q *wire.ListRegistry) (*wire.ServicePage, error) {
			page, err := n.federation.Services(q)
			if err == nil {
				page.Fresh = n.freshness(page.Fresh.Index)
			}
			return page, err
		}),
		answers(n, wire.MethodExplain, operators(link.RightData, here), anyNode,
			n.explain).because(notes),
		answers(n, wire.MethodFindRecipients, operators(link.RightData, here), anyNode,
			n.findRecipients).because(notes),
		answers(n, wire.MethodNoteRead, only(link.RoleNode), regionLeads, n.noteReadCall),
		answers(n, wire.MethodListReads, operators(link.RightObserver, here), anyNode,
			n.listReads).because(notes),
	}
}

// listAudit answers MethodListAudit: what operators changed, as this node's replica knows.
func (n *Node) listAudit(ctx context.Context, from link.Identity, q *wire.ListAudit) (
	*wire.AuditPage, error) {
	n.noteAudit(ctx, from, "of the federation", q.After)
	page, err := n.federation.Audit(q)
	if err != nil {
		return nil, err
	}
	page.Fresh = n.freshness(page.Fresh.Index)
	return page, nil
}

// findRecipients answers MethodFindRecipients. The question is noted before it is answered.
func (n *Node) findRecipients(ctx context.Context, from link.Identity, q *wire.FindRecipients) (
	*wire.FoundRecipients, error) {
	if err := n.noteRead(ctx, from, "explain", "message "+q.ID.String()); err != nil {
		return nil, err
	}
	found, err := n.region.FindRecipients(q.ID)
	if err != nil {
		return nil, err
	}
	found.Region = n.cfg.Region
	return found, nil
}

// freshness says how old an answer as of the federation's log index may be.
func (n *Node) freshness(index uint64) wire.Freshness {
	return wire.Freshness{Node: n.cfg.ID, Index: index,
		ContactMillis: uint64(n.federationContact().Milliseconds())}
}

// explain answers MethodExplain: the leader after a barrier, another replica as far as it is. The
// question is noted before it is answered.
func (n *Node) explain(ctx context.Context, from link.Identity, q *wire.Explain) (
	*wire.Explanation, error) {
	if err := n.noteRead(ctx, from, "explain", "message "+q.ID.String()); err != nil {
		return nil, err
	}
	leader := n.regionGroup.IsLeader() && n.regionGroup.Read(ctx) == nil
	e, err := n.region.Explain(q)
	if err != nil {
		return nil, err
	}
	e.Node, e.Region, e.Leader = n.cfg.ID, n.cfg.Region, leader
	if e.Block > 0 {
		e.Term, _ = n.regionGroup.EntryTerm(e.Block)
	}
	return e, nil
}
