package operate

import (
	"context"
	"encoding/hex"

	"github.com/staffetta/staffetta/wire"
	"github.com/staffetta/staffetta/wire/link"
)

// sessionsOf answers MethodSessionsOf. The question is noted before it is answered.
func (d *Desk) sessionsOf(ctx context.Context, from link.Identity, q *wire.SessionsOf) (
	*wire.SessionList, error) {
	if err := d.NoteRead(ctx, from, "session list", whose(q.Recipient)); err != nil {
		return nil, err
	}
	now, err := d.RegionTime(ctx)
	if err != nil {
		return nil, err
	}
	return d.Region.SessionsOf(q.Recipient, now)
}

// endSessionsOf answers MethodEndSessionsOf. The region's log says who ordered it, before the
// order: the federation's, where operators' changes stand, is not asked, so that a citizen's
// sessions can be ended while it is away.
func (d *Desk) endSessionsOf(ctx context.Context, from link.Identity, q *wire.EndSessionsOf) (
	*wire.EndedSessions, error) {
	if err := d.CheckKind(wire.CmdEndSessionsOf); err != nil {
		return nil, err
	}
	if err := d.NoteRead(ctx, from, "session end", whose(q.Recipient)); err != nil {
		return nil, err
	}
	ended := new(wire.EndedSessions)
	return ended, d.RegionQueue.Do(ctx, wire.CmdEndSessionsOf, q, ended)
}

// whose is a citizen as lines of operators name one.
func whose(r wire.Recipient) string { return "recipient " + hex.EncodeToString(r[:]) }
