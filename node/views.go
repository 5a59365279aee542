package node

import (
	"context"

	"github.com/staffetta/staffetta/node/seat"
	"github.com/staffetta/staffetta/wire"
	"github.com/staffetta/staffetta/wire/link"
)

// viewCalls are what operators ask: any node answers for itself or from its replicas.
func (n *Node) viewCalls() []seat.Call {
	const notes = "any replica answers, as far as it is: what went on is asked when things are broken"
	watchers := seat.Only(link.RoleNode).Or(link.RightObserver, seat.Anywhere)
	return []seat.Call{
		seat.About(n.Seat, wire.MethodStatus, watchers,
			func(q *wire.StatusQuery) wire.NodeID { return q.Of }, n.status),
		seat.About(n.Seat, wire.MethodProbe, watchers, func(
			q *wire.Probe) wire.NodeID {
			return q.Of
		},
			n.probe),
		seat.Answers(n.Seat, wire.MethodListAudit, seat.Observers, seat.AnyNode, n.listAudit),
		seat.Answers(n.Seat, wire.MethodListInstitutions, seat.Observers, seat.AnyNode,
			func(_ context.Context, _ link.Identity, q *wire.ListRegistry) (*wire.InstitutionPage, error) {
				page, err := n.Seat.Federation.Institutions(q)
				if err == nil {
					page.Fresh = n.freshness(page.Fresh.Index)
				}
				return page, err
			}),
		seat.Answers(n.Seat, wire.MethodListServices, seat.Observers, seat.AnyNode,
			func(_ context.Context, _ link.Identity, q *wire.ListRegistry) (*wire.ServicePage, error) {
				page, err := n.Seat.Federation.Services(q)
				if err == nil {
					page.Fresh = n.freshness(page.Fresh.Index)
				}
				return page, err
			}),
		seat.Answers(n.Seat, wire.MethodExplain, seat.Operators(link.RightData, seat.Here), seat.AnyNode,
			n.explain).Because(notes),
		seat.Answers(n.Seat, wire.MethodFindRecipients, seat.Operators(link.RightData, seat.Here),
			seat.AnyNode,
			n.findRecipients).Because(notes),
		seat.Answers(n.Seat, wire.MethodNoteRead, seat.Only(link.RoleNode), seat.RegionLeads,
			n.noteReadCall),
		seat.Answers(n.Seat, wire.MethodListReads, seat.Operators(link.RightObserver, seat.Here),
			seat.AnyNode,
			n.listReads).Because(notes),
	}
}

// listAudit answers MethodListAudit: what operators changed, as this node's replica knows.
func (n *Node) listAudit(ctx context.Context, from link.Identity, q *wire.ListAudit) (
	*wire.AuditPage, error) {
	n.noteAudit(ctx, from, "of the federation", q.After)
	page, err := n.Seat.Federation.Audit(q)
	if err != nil {
		return nil, err
	}
	page.Fresh = n.freshness(page.Fresh.Index)
	return page, nil
}

// findRecipients answers MethodFindRecipients. The question is noted before it is answered.
func (n *Node) findRecipients(ctx context.Context, from link.Identity, q *wire.FindRecipients) (
	*wire.FoundRecipients, error) {
	if err := n.NoteRead(ctx, from, "explain", "message "+q.ID.String()); err != nil {
		return nil, err
	}
	found, err := n.Seat.Region.FindRecipients(q.ID)
	if err != nil {
		return nil, err
	}
	found.Region = n.RegionID
	return found, nil
}

// freshness says how old an answer as of the federation's log index may be.
func (n *Node) freshness(index uint64) wire.Freshness {
	return wire.Freshness{Node: n.ID, Index: index,
		ContactMillis: uint64(n.FederationContact().Milliseconds())}
}

// explain answers MethodExplain: the leader after a barrier, another replica as far as it is. The
// question is noted before it is answered.
func (n *Node) explain(ctx context.Context, from link.Identity, q *wire.Explain) (
	*wire.Explanation, error) {
	if err := n.NoteRead(ctx, from, "explain", "message "+q.ID.String()); err != nil {
		return nil, err
	}
	leader := n.RegionGroup.IsLeader() && n.RegionGroup.Read(ctx) == nil
	e, err := n.Seat.Region.Explain(q)
	if err != nil {
		return nil, err
	}
	e.Node, e.Region, e.Leader = n.ID, n.RegionID, leader
	if e.Block > 0 {
		e.Term, _ = n.RegionGroup.EntryTerm(e.Block)
	}
	return e, nil
}
