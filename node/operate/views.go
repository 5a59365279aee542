package operate

import (
	"context"

	"github.com/staffetta/staffetta/node/seat"
	"github.com/staffetta/staffetta/wire"
	"github.com/staffetta/staffetta/wire/link"
)

// viewCalls are what operators ask: any node answers for itself or from its replicas.
func (d *Desk) viewCalls() []seat.Call {
	const notes = "any replica answers, as far as it is: what went on is asked when things are broken"
	watchers := seat.Only(link.RoleNode).Or(link.RightObserver, seat.Anywhere)
	readers := seat.Operators(link.RightData, seat.Here)
	return []seat.Call{
		seat.About(d.Seat, wire.MethodStatus, watchers,
			func(q *wire.StatusQuery) wire.NodeID { return q.Of }, d.status),
		seat.About(d.Seat, wire.MethodProbe, watchers,
			func(q *wire.Probe) wire.NodeID { return q.Of }, d.probe),
		seat.Answers(d.Seat, wire.MethodListAudit, seat.Observers, seat.AnyNode, d.listAudit),
		seat.Answers(d.Seat, wire.MethodListInstitutions, seat.Observers, seat.AnyNode,
			func(_ context.Context, _ link.Identity, q *wire.ListRegistry) (*wire.InstitutionPage, error) {
				page, err := d.Federation.Institutions(q)
				if err == nil {
					page.Fresh = d.freshness(page.Fresh.Index)
				}
				return page, err
			}),
		seat.Answers(d.Seat, wire.MethodListServices, seat.Observers, seat.AnyNode,
			func(_ context.Context, _ link.Identity, q *wire.ListRegistry) (*wire.ServicePage, error) {
				page, err := d.Federation.Services(q)
				if err == nil {
					page.Fresh = d.freshness(page.Fresh.Index)
				}
				return page, err
			}),
		seat.Answers(d.Seat, wire.MethodListRemoteContents, seat.Observers, seat.AnyNode,
			func(_ context.Context, _ link.Identity, q *wire.ListRegistry) (*wire.RemoteContentPage,
				error) {
				page, err := d.Federation.RemoteContents(q)
				if err == nil {
					page.Fresh = d.freshness(page.Fresh.Index)
				}
				return page, err
			}),
		seat.Answers(d.Seat, wire.MethodExplain, readers, seat.AnyNode, d.explain).Because(notes),
		seat.Answers(d.Seat, wire.MethodFindRecipients, readers, seat.AnyNode,
			d.findRecipients).Because(notes),
		seat.Answers(d.Seat, wire.MethodSessionsOf, readers, seat.RegionShows, d.sessionsOf),
		seat.Answers(d.Seat, wire.MethodEndSessionsOf,
			seat.Operators(link.RightOperator, seat.Here), seat.RegionLeads,
			d.endSessionsOf).ByOne(seat.Urgent),
		seat.Answers(d.Seat, wire.MethodNoteRead, seat.Only(link.RoleNode), seat.RegionLeads,
			d.noteReadCall),
		seat.Answers(d.Seat, wire.MethodListReads, seat.Operators(link.RightObserver, seat.Here),
			seat.AnyNode, d.listReads).Because(notes),
	}
}

// listAudit answers MethodListAudit: what operators changed, as this node's replica knows.
func (d *Desk) listAudit(ctx context.Context, from link.Identity, q *wire.ListAudit) (
	*wire.AuditPage, error) {
	d.noteAudit(ctx, from, "of the federation", q.After)
	page, err := d.Federation.Audit(q)
	if err != nil {
		return nil, err
	}
	page.Fresh = d.freshness(page.Fresh.Index)
	return page, nil
}

// findRecipients answers MethodFindRecipients. The question is noted before it is answered.
func (d *Desk) findRecipients(ctx context.Context, from link.Identity, q *wire.FindRecipients) (
	*wire.FoundRecipients, error) {
	if err := d.NoteRead(ctx, from, "explain", "message "+q.ID.String()); err != nil {
		return nil, err
	}
	found, err := d.Region.FindRecipients(q.ID)
	if err != nil {
		return nil, err
	}
	found.Region = d.RegionID
	return found, nil
}

// freshness says how old an answer as of the federation's log index may be.
func (d *Desk) freshness(index uint64) wire.Freshness {
	return wire.Freshness{Node: d.ID, Index: index,
		ContactMillis: uint64(d.FederationContact().Milliseconds())}
}

// explain answers MethodExplain: the leader after a barrier, another replica as far as it is. The
// question is noted before it is answered.
func (d *Desk) explain(ctx context.Context, from link.Identity, q *wire.Explain) (
	*wire.Explanation, error) {
	if err := d.NoteRead(ctx, from, "explain", "message "+q.ID.String()); err != nil {
		return nil, err
	}
	leader := d.RegionGroup.IsLeader() && d.RegionGroup.Read(ctx) == nil
	e, err := d.Region.Explain(q)
	if err != nil {
		return nil, err
	}
	e.Node, e.Region, e.Leader = d.ID, d.RegionID, leader
	if e.Block > 0 {
		e.Term, _ = d.RegionGroup.EntryTerm(e.Block)
	}
	return e, nil
}
