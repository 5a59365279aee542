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
	left := remainsRowsMax
	kinds := []byte{inboxPrefix, rejectedPrefix, idempotencyPrefix, preferencePrefix}
	if c.version >= wire.VersionOwners {
		// Keys before what they lead to: a copy that is made in the middle has none that leads nowhere.
		kinds = []byte{idempotencyPrefix, inboxPrefix, rejectedPrefix, preferencePrefix}
	}
	for _, kind := range kinds {
		if err := s.eraseRows(c, kind, r, &left); err != nil {
			return wire.Result{}, err
		}
		if left == 0 {
			return wire.OK(&wire.MoveErased{More: true}), s.eraseOn(c, r, &in, remains)
		}
	}
	if err := c.erasePerson(r); err != nil {
		return wire.Result{}, err
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

// eraseRows removes rows of one kind, as many as are left to remove.
func (s *State) eraseRows(c *change, kind byte, r wire.Recipient, left *int) error {
	lower := recipientKey(kind, r)
	rows, err := c.scan(lower, after(lower), false, *left)
	if err != nil {
		return err
	}
	*left -= len(rows)
	for _, row := range rows {
		switch kind {
		case inboxPrefix:
			err = c.eraseRecord(row)
		case preferencePrefix:
			s.forgetChoice(r, row.Key)
		}
		if err != nil {
			return err
		}
		if err := c.del(row.Key); err != nil {
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

// erasePerson removes profile and session. Of the session the forward stays until its time, with
// the token's hash and the citizen's, and nothing that names anybody.
func (c *change) erasePerson(r wire.Recipient) error {
	token, ok, err := c.tokenOf(r)
	if err != nil {
		return err
	}
	if ok {
		var f forwardRow
		there, err := c.getRow(forwardKey(token), &f)
		if err != nil {
			return err
		}
		if there {
			err := c.setRow(forwardKey(token), &forwardRow{Recipient: f.Recipient})
			if err != nil {
				return err
			}
		}
		if err := c.del(recipientKey(currentPrefix, r)); err != nil {
			return err
		}
	}
	if err := c.delIfThere(moveCopyKey(r)); err != nil {
		return err
	}
	return c.delIfThere(recipientKey(profilePrefix, r))
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
