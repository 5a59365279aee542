package region

import (
	"github.com/staffetta/staffetta/internal/codec"
	"github.com/staffetta/staffetta/wire"
)

// What remains of a citizen who moved away stays for a time, in case the new owner loses what it
// was given, and is then erased: rows at once, records with the next rewrite of their blocks. It is
// erased earlier when the citizen comes back, and when a move to here was refused midway. The mark
// of the ownership stays for ever, and so does, until it ends, the forward of a session.

// setRemains notes that what is here of r is to be erased: since when, or 0 for at once.
func (c *change) setRemains(r wire.Recipient, since wire.Time) error {
	if err := c.setRow(remainsKey(r), &remainsRow{Since: since}); err != nil {
		return err
	}
	return c.set(dueRemainsKey(since, r), nil)
}

// remain reports whether something is to be erased before a move of epoch may begin: in is an
// import that a region restored from a backup never finished.
func (c *change) remain(r wire.Recipient, in *moveInRow, epoch wire.Epoch) (bool, error) {
	_, ok, err := c.get(remainsKey(r))
	return ok || in.begun() && in.Epoch < epoch, err
}

// remainsRow says since when the citizen is elsewhere.
type remainsRow struct{ Since wire.Time }

// Fields declares the row.
func (r *remainsRow) Fields(c *codec.Codec) { codec.Int(c, 1, &r.Since) }

func (s *State) moveErase(c *change, m *wire.MoveErase) (wire.Result, error) {
	r := m.Recipient
	own, err := c.ownership(r)
	if err != nil {
		return wire.Result{}, err
	}
	var since remainsRow
	remains, err := c.getRow(remainsKey(r), &since)
	if err != nil {
		return wire.Result{}, err
	}
	var in moveInRow
	if _, err = c.getRow(moveInKey(r), &in); err != nil {
		return wire.Result{}, err
	}
	switch {
	case !remains && !in.begun():
		return wire.OK(&wire.MoveErased{}), nil
	case own.State == wire.Owned:
		return failf(wire.Conflict, "the fiscal code is this region's")
	}
	e := &erasure{s: s, c: c, r: r, left: remainsRowsMax}
	for _, k := range eraseStages(c.version) {
		if err := k.erase(e, k); err != nil {
			return wire.Result{}, err
		}
		if e.left == 0 {
			return wire.OK(&wire.MoveErased{More: true}), s.eraseOn(c, r, &in, remains)
		}
	}
	if in.begun() {
		if err := c.del(moveInKey(r)); err != nil {
			return wire.Result{}, err
		}
	}
	if remains {
		if err := c.del(dueRemainsKey(since.Since, r)); err != nil {
			return wire.Result{}, err
		}
		err = c.del(remainsKey(r))
	}
	return wire.OK(&wire.MoveErased{}), err
}

// eraseOn is a step of moveErase that leaves something. Of an import no page is taken any more that
// would come on top of what is half erased: it begins anew once everything is gone.
func (s *State) eraseOn(c *change, r wire.Recipient, in *moveInRow, remains bool) error {
	if !in.begun() {
		return nil
	}
	if err := c.del(moveInKey(r)); err != nil || remains {
		return err
	}
	return c.setRemains(r, 0)
}

// erasure removes what remains of a citizen, kind by kind.
type erasure struct {
	s    *State
	c    *change
	r    wire.Recipient
	left int // rows that this step may still remove
}

// rows removes rows of one kind, as many as are left to remove.
func (e *erasure) rows(k *rowKind) error {
	return e.each(k, func(wire.Row) error { return nil })
}

func (e *erasure) messages(k *rowKind) error { return e.each(k, e.c.eraseRecord) }

func (e *erasure) preferences(k *rowKind) error {
	return e.each(k, func(row wire.Row) error {
		e.s.forgetChoice(e.r, row.Key)
		return nil
	})
}

// each is rows, and calls f with a row before it goes.
func (e *erasure) each(k *rowKind, f func(wire.Row) error) error {
	lower := k.key(e.r)
	rows, err := e.c.scan(lower, after(lower), false, e.left)
	if err != nil {
		return err
	}
	e.left -= len(rows)
	for _, row := range rows {
		if err := f(row); err != nil {
			return err
		}
		if err := e.c.del(row.Key); err != nil {
			return err
		}
	}
	return nil
}

// one removes the only row of a kind, if there is one.
func (e *erasure) one(k *rowKind) error { return e.c.delIfThere(k.key(e.r)) }

// forwards empties the forwards of the citizen's sessions: they stay until their time, with the
// token's hash and the citizen's.
func (e *erasure) forwards(*rowKind) error {
	tokens, err := e.c.tokensOf(e.r)
	if err != nil {
		return err
	}
	for _, token := range tokens {
		var f forwardRow
		ok, err := e.c.getRow(forwardKey(token), &f)
		if err != nil {
			return err
		}
		if !ok {
			continue
		}
		if err := e.c.setRow(forwardKey(token), &forwardRow{Recipient: f.Recipient}); err != nil {
			return err
		}
	}
	return nil
}

// eraseRecord has the record of an inbox row leave its block, at the next look for due work: the
// time that a block is given to be written once has passed.
func (c *change) eraseRecord(row wire.Row) error {
	var at inboxRow
	if err := decodeRow(row.Key, row.Value, &at); err != nil {
		return err
	}
	var due erasureRow
	if _, err := c.getRow(erasureKey(at.Block), &due); err != nil {
		return err
	}
	due.At = 0
	due.Positions.add(int(at.Position))
	return c.setRow(erasureKey(at.Block), &due)
}

// Remains reports whether something of r has to be erased here before a move of epoch may begin.
func (s *State) Remains(r wire.Recipient, epoch wire.Epoch) (bool, error) {
	var in moveInRow
	if _, err := s.getRow(moveInKey(r), &in); err != nil {
		return false, err
	}
	_, ok, err := s.db.Get(remainsKey(r))
	return ok || in.begun() && in.Epoch < epoch, err
}

// Leaving returns the move of r away from here that this region's log has no end of; not ok when
// there is none.
func (s *State) Leaving(r wire.Recipient) (m wire.Move, ok bool, err error) {
	ok, err = s.getRow(moveOutKey(r), &m)
	return *s.shown(r, m), ok, err
}

// DueRemains returns citizens who moved away so long before now that what remains of them is to be
// erased, at most limit, for the leader to propose a CmdMoveErase of each.
func (s *State) DueRemains(now wire.Time, limit int) ([]wire.Recipient, error) {
	var list []wire.Recipient
	lower, upper := dueRange(dueRemains, now.Add(-s.cfg.KeepMoved))
	err := s.db.Iterate(lower, upper, false, func(k, _ []byte) (bool, error) {
		if len(k) != 26 {
			return false, errDamaged(k)
		}
		list = append(list, wire.Recipient(k[10:]))
		return len(list) < limit, nil
	})
	return list, err
}
