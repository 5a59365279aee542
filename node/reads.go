package node

import (
	"context"

	"github.com/staffetta/staffetta/wire"
	"github.com/staffetta/staffetta/wire/link"
)

// noteRead has a line in this region's log before an operator reads what is a citizen's. Without a
// leader there is none, and the caller refuses. The log of before version 3 has no lines.
func (n *Node) noteRead(ctx context.Context, from link.Identity, action, subject string) error {
	n.log.Info("an operator reads", "operator", from.String(), "action", action,
		"subject", subject)
	if n.region.ActiveVersion() < wire.VersionReads {
		return nil
	}
	note := &wire.ReadNote{Operator: from.String(), Action: action, Subject: subject}
	ctx, cancel := context.WithTimeout(ctx, wire.OwnerWait)
	defer cancel()
	if n.regionGroup.IsLeader() {
		return n.regionQueue.do(ctx, wire.CmdNoteRead, note, nil)
	}
	leader, ok := n.regionGroup.Leader()
	if !ok {
		return wire.Errorf(wire.NotReady, "what is read of citizens is noted in the region's log, "+
			"and the region has no leader")
	}
	return n.callNode(ctx, leader, wire.MethodNoteRead, note, nil)
}

// noteReadCall answers MethodNoteRead: a node of the region says what an operator asks of it.
func (n *Node) noteReadCall(ctx context.Context, from link.Identity, note *wire.ReadNote) (
	*none, error) {
	if from.Region != n.cfg.Region {
		return nil, wire.Errorf(wire.Forbidden, "a node notes what is read in its own region")
	}
	return nil, n.regionQueue.do(ctx, wire.CmdNoteRead, note, nil)
}

// listReads answers MethodListReads. That it was asked is a line, too; where there can be none it
// is answered all the same, since what went on is asked when things are broken.
func (n *Node) listReads(ctx context.Context, from link.Identity, q *wire.ListAudit) (
	*wire.AuditPage, error) {
	n.noteAudit(ctx, from, "of region "+string(n.cfg.Region), q.After)
	page, err := n.region.Reads(q)
	if err != nil {
		return nil, err
	}
	page.Fresh = wire.Freshness{Node: n.cfg.ID, Index: page.Fresh.Index}
	return page, nil
}

// noteAudit notes that an operator reads an audit, at its first page.
func (n *Node) noteAudit(ctx context.Context, from link.Identity, which string, after uint64) {
	if after > 0 {
		return
	}
	if err := n.noteRead(ctx, from, "audit", which); err != nil {
		n.log.Warn("a read of the audit is not noted", "operator", from.String(),
			"reason", err.Error())
	}
}
