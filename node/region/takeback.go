package region

import "github.com/staffetta/staffetta/wire"

// takeBack mends what must not be: the directory has a code with this region, at a later epoch than
// this log gave it up, and nothing is under way that would bring the two together. No other region
// decides for the code then, and what is here of the citizen would be erased. The leader holds log
// and directory together, all the time.
func (s *State) takeBack(c *change, m *wire.Standing) (wire.Result, error) {
	if m.Recipient.IsZero() || m.Region != s.cfg.Region || m.Epoch <= claimEpoch {
		return failf(wire.Malformed, "taking back without recipient or epoch, or for region %.40q",
			m.Region)
	}
	own, err := c.ownership(m.Recipient)
	if err != nil {
		return wire.Result{}, err
	}
	_, leaving, err := c.moveOut(m.Recipient)
	if err != nil {
		return wire.Result{}, err
	}
	var in moveInRow
	if _, err := c.getRow(moveInKey(m.Recipient), &in); err != nil {
		return wire.Result{}, err
	}
	switch {
	case own.State != wire.Released || own.Epoch >= m.Epoch:
		return wire.OK(nil), nil // settled since
	case leaving, in.begun():
		return failf(wire.Conflict, "a move of the fiscal code is under way")
	}
	return wire.OK(nil), s.settleHere(c, m, own)
}

// moveForget drops the row of a refused move. Until the directory knows of the end, a page could
// still come; from then on nobody sends one.
func (s *State) moveForget(c *change, m *wire.MoveStep) (wire.Result, error) {
	var in moveInRow
	ok, err := c.getRow(moveInKey(m.Recipient), &in)
	if err != nil || !ok || !in.Refused || in.Epoch != m.Epoch {
		return wire.OK(nil), err
	}
	return wire.OK(nil), c.del(moveInKey(m.Recipient))
}

// Refused returns moves to here that were refused, from a code on, at most limit, in order; Region
// is the old owner.
func (s *State) Refused(from wire.Recipient, limit int) ([]wire.MoveStep, error) {
	var list []wire.MoveStep
	err := s.db.Iterate(moveInKey(from), after([]byte{movePrefix, moveIn}), false,
		func(k, v []byte) (bool, error) {
			var in moveInRow
			if len(k) != 18 {
				return false, errDamaged(k)
			}
			if err := decodeRow(k, v, &in); err != nil {
				return false, err
			}
			if in.Refused {
				list = append(list, wire.MoveStep{Recipient: wire.Recipient(k[2:]),
					Epoch: in.Epoch, Region: in.From})
			}
			return len(list) < limit, nil
		})
	return list, err
}
