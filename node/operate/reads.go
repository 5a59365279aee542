package operate

import (
	"context"

	"github.com/staffetta/staffetta/node/seat"
	"github.com/staffetta/staffetta/wire"
	"github.com/staffetta/staffetta/wire/link"
)

// noteReadCall answers MethodNoteRead: a node of the region says what an operator asks of it.
func (d *Desk) noteReadCall(ctx context.Context, from link.Identity, note *wire.ReadNote) (
	*seat.None, error) {
	if from.Region != d.RegionID {
		return nil, wire.Errorf(wire.Forbidden, "a node notes what is read in its own region")
	}
	return nil, d.RegionQueue.Do(ctx, wire.CmdNoteRead, note, nil)
}

// listReads answers MethodListReads. That it was asked is a line, too; where there can be none it
// is answered all the same, since what went on is asked when things are broken.
func (d *Desk) listReads(ctx context.Context, from link.Identity, q *wire.ListAudit) (
	*wire.AuditPage, error) {
	d.noteAudit(ctx, from, "of region "+string(d.RegionID), q.After)
	page, err := d.Region.Reads(q)
	if err != nil {
		return nil, err
	}
	page.Fresh = wire.Freshness{Node: d.ID, Index: page.Fresh.Index}
	return page, nil
}

// noteAudit notes that an operator reads an audit, at its first page.
func (d *Desk) noteAudit(ctx context.Context, from link.Identity, which string, after uint64) {
	if after > 0 {
		return
	}
	if err := d.NoteRead(ctx, from, "audit", which); err != nil {
		d.Log.Warn("a read of the audit is not noted", "operator", from.String(),
			"reason", err.Error())
	}
}
