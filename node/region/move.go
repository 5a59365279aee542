package region

import (
	"github.com/staffetta/staffetta/internal/codec"
	"github.com/staffetta/staffetta/wire"
)

// The old owner's side of a move; see wire/move.go for the whole. Every command may come twice,
// and late: what a leader proposed that led once.
//
//	         MoveIntent           MoveFence             MoveDone
//	Owned e ───────────▶ intended ─────────▶ Released ───────────▶ remains, then nothing
//	   ▲                    │  MoveAbort        │        e+1, To          but the mark
//	   │                    ▼                   ▼
//	   └──── e+2 ────── aborting ◀──────────────┘
//	         MoveUndo

// forwardRow is a session that left with its citizen: the token still names this region.
type forwardRow struct {
	Recipient wire.Recipient
	// Session is what goes along, and comes back when the move is undone; zero once it is erased.
	Session wire.Session
}

// Fields declares the row.
func (f *forwardRow) Fields(c *codec.Codec) {
	codec.Fixed(c, 1, f.Recipient[:])
	codec.Nested(c, 2, &f.Session)
}

// moveOut reads the move of r out of this region.
func (c *change) moveOut(r wire.Recipient) (m wire.Move, ok bool, err error) {
	ok, err = c.getRow(moveOutKey(r), &m)
	return m, ok, err
}

// setMoveOut writes the move, and has the leader look at it.
func (c *change) setMoveOut(r wire.Recipient, m *wire.Move) error {
	c.pending = true
	return c.setRow(moveOutKey(r), m)
}

// shown is a row as others see it.
func (s *State) shown(r wire.Recipient, m wire.Move) *wire.Move {
	m.Recipient, m.Region = r, s.cfg.Region
	return &m
}

// mover names the citizen of a request that comes with a session's token, or with the recipient.
func (s *State) mover(c *change, token wire.TokenHash, r wire.Recipient) (wire.Recipient,
	*wire.Error, error) {
	if r.IsZero() == (token == wire.TokenHash{}) {
		return r, wire.Malformedf("a move is of a session's citizen, or of a recipient"), nil
	}
	if token == (wire.TokenHash{}) {
		return r, nil, nil
	}
	r, _, refusal, err := s.citizenOf(c, token)
	return r, refusal, err
}

func (s *State) moveIntent(c *change, m *wire.MoveIntent) (wire.Result, error) {
	if !m.To.Valid() {
		return failf(wire.Malformed, "a move needs the name of a region")
	}
	r, refusal, err := s.mover(c, m.Token, m.Recipient)
	if err != nil || refusal != nil {
		return wire.Fail(refusal), err
	}
	move, moving, err := c.moveOut(r)
	if err != nil {
		return wire.Result{}, err
	}
	own, err := c.ownership(r)
	if err != nil {
		return wire.Result{}, err
	}
	switch {
	case moving && move.Aborting:
		return failf(wire.Conflict, "a move to region %s is being aborted", move.To)
	case moving && move.To != m.To:
		return failf(wire.Conflict, "a move to region %s is under way", move.To)
	case moving:
		return wire.OK(s.shown(r, move)), nil
	case own.State == wire.Released:
		return wire.Fail(movedTo(own)), nil
	case own.State == wire.Claiming:
		return failf(wire.Conflict, "the fiscal code is being claimed")
	case own.State != wire.Owned:
		return failf(wire.Conflict, "this region does not own the fiscal code")
	case m.To == s.cfg.Region:
		return wire.OK(s.shown(r, wire.Move{Epoch: own.Epoch})), nil
	}
	move = wire.Move{To: m.To, Epoch: own.Epoch + 1, State: wire.MoveIntended,
		Since: c.clock.Now}
	return wire.OK(s.shown(r, move)), c.setMoveOut(r, &move)
}

func (s *State) moveAbort(c *change, m *wire.MoveRef) (wire.Result, error) {
	r, refusal, err := s.mover(c, m.Token, m.Recipient)
	if err != nil || refusal != nil {
		return wire.Fail(refusal), err
	}
	move, moving, err := c.moveOut(r)
	if err != nil {
		return wire.Result{}, err
	}
	if !moving {
		return failf(wire.Conflict, "no move of the fiscal code away from here is under way")
	}
	if !move.Aborting {
		move.Aborting = true
		err = c.setMoveOut(r, &move)
	}
	return wire.OK(s.shown(r, move)), err
}

// moveFence is the point from which on this region decides nothing for the code.
func (s *State) moveFence(c *change, m *wire.MoveStep) (wire.Result, error) {
	move, moving, err := c.moveOut(m.Recipient)
	if err != nil {
		return wire.Result{}, err
	}
	own, err := c.ownership(m.Recipient)
	if err != nil {
		return wire.Result{}, err
	}
	switch {
	case !moving || move.Epoch != m.Epoch || move.To != m.Region:
		return failf(wire.Conflict, "no move to region %s at epoch %d is under way", m.Region,
			m.Epoch)
	case move.State == wire.MoveFenced:
		return wire.OK(nil), nil
	case move.Aborting:
		return failf(wire.Conflict, "the move is being aborted")
	case own.State != wire.Owned || own.Epoch+1 != m.Epoch:
		return failf(wire.Conflict, "the fiscal code is not this region's to give, at epoch %d",
			m.Epoch)
	}
	own = wire.Ownership{State: wire.Released, Epoch: m.Epoch, Region: m.Region}
	if err := s.setOwnership(c, m.Recipient, own); err != nil {
		return wire.Result{}, err
	}
	// The new owner tells the directory from here on.
	if err := c.del(recipientKey(pendingPrefix, m.Recipient)); err != nil {
		return wire.Result{}, err
	}
	if err := c.forwardSessions(m.Recipient); err != nil {
		return wire.Result{}, err
	}
	move.State = wire.MoveFenced
	return wire.OK(nil), c.setMoveOut(m.Recipient, &move)
}

// forwardSessions turns the citizen's sessions into forwards, so that an ordinary look-up of a
// session costs what it did.
func (c *change) forwardSessions(r wire.Recipient) error {
	list, err := c.sessionsOf(r)
	if err != nil {
		return err
	}
	for i := range list {
		t := &list[i]
		err := c.setRow(forwardKey(t.Token), &forwardRow{Recipient: r, Session: *t})
		if err != nil {
			return err
		}
		if err := c.del(sessionKey(t.Token)); err != nil {
			return err
		}
	}
	return nil
}

// tokenOf reads which session that a Login opened the citizen has, or had when moving away.
func (c *change) tokenOf(r wire.Recipient) (token wire.TokenHash, ok bool, err error) {
	current := recipientKey(currentPrefix, r)
	v, ok, err := c.get(current)
	if err != nil || !ok {
		return token, false, err
	}
	if len(v) != len(token) {
		return token, false, errDamaged(current)
	}
	return wire.TokenHash(v), true, nil
}

// returnSessions undoes forwardSessions, but for sessions that ended meanwhile.
func (c *change) returnSessions(r wire.Recipient) error {
	tokens, err := c.tokensOf(r)
	if err != nil {
		return err
	}
	for _, token := range tokens {
		var f forwardRow
		ok, err := c.getRow(forwardKey(token), &f)
		if err != nil {
			return err
		}
		if !ok {
			continue
		}
		if err := c.setRow(sessionKey(token), &f.Session); err != nil {
			return err
		}
		if err := c.del(forwardKey(token)); err != nil {
			return err
		}
	}
	return nil
}

// moveDone ends a move that succeeded. What is here of the citizen stays for a time, as a copy
// that nobody reads.
func (s *State) moveDone(c *change, m *wire.MoveStep) (wire.Result, error) {
	move, moving, err := c.moveOut(m.Recipient)
	if err != nil {
		return wire.Result{}, err
	}
	own, err := c.ownership(m.Recipient)
	switch {
	case err != nil:
		return wire.Result{}, err
	case !moving || move.Epoch != m.Epoch:
		return wire.OK(nil), nil // done before
	case c.version >= wire.VersionOwners && own.State == wire.Owned && own.Epoch > m.Epoch:
		return wire.OK(nil), c.del(moveOutKey(m.Recipient)) // the citizen is back already
	case own.State != wire.Released:
		return failf(wire.Conflict, "the fiscal code was not given up")
	}
	if err := c.del(moveOutKey(m.Recipient)); err != nil {
		return wire.Result{}, err
	}
	return wire.OK(nil), c.setRemains(m.Recipient, c.clock.Now)
}

// moveUndo ends a move that was aborted: the directory has the epoch after it.
func (s *State) moveUndo(c *change, m *wire.MoveStep) (wire.Result, error) {
	r := m.Recipient
	move, moving, err := c.moveOut(r)
	switch {
	case err != nil:
		return wire.Result{}, err
	case !moving || move.Epoch != m.Epoch:
		return wire.OK(nil), nil // done before
	case !move.Aborting:
		return failf(wire.Conflict, "nobody asked for the move's end")
	}
	own := wire.Ownership{State: wire.Owned, Epoch: m.Epoch + 1}
	if err := s.takeUp(c, r, own); err != nil {
		return wire.Result{}, err
	}
	if err := c.returnSessions(r); err != nil {
		return wire.Result{}, err
	}
	return wire.OK(nil), c.del(moveOutKey(r))
}

// takeUp makes this region the owner of a code whose profile is here, if the citizen has one, and
// has the leader tell the directory.
func (s *State) takeUp(c *change, r wire.Recipient, own wire.Ownership) error {
	var row profileRow
	ok, err := c.getRow(recipientKey(profilePrefix, r), &row)
	if err != nil {
		return err
	}
	owner := ownerRow{Ownership: own}
	if ok {
		owner.Standing = row.standing()
	}
	s.remember(r, own, owner.Standing)
	if err := c.setRow(recipientKey(ownerPrefix, r), &owner); err != nil {
		return err
	}
	return c.setPending(r, wire.Owned, own.Epoch, ok && row.active())
}

// whoseForward says what became of a session that this region does not have: Moved when it left
// with its citizen, nil when it is not known, or the citizen is back without it. The region is
// empty while they are on their way: whoever asks should ask again in a moment.
func whoseForward(token wire.TokenHash, get func(key []byte, m codec.Message) (bool, error)) (
	*wire.Error, error) {
	var f forwardRow
	ok, err := get(forwardKey(token), &f)
	if err != nil || !ok {
		return nil, err
	}
	var owner ownerRow
	if _, err = get(recipientKey(ownerPrefix, f.Recipient), &owner); err != nil {
		return nil, err
	}
	var move wire.Move
	moving, err := get(moveOutKey(f.Recipient), &move)
	if err != nil {
		return nil, err
	}
	if moving {
		return &wire.Error{Code: wire.Moved, Detail: "the citizen is moving to another region"}, nil
	}
	if owner.Ownership.State != wire.Released {
		return nil, nil
	}
	return movedTo(owner.Ownership), nil
}

// Move returns how the move of a session's citizen, or of a recipient, stands. Moved when another
// region owns the code and none is under way here; Unauthenticated for a session that is none.
func (s *State) Move(q wire.MoveRef, now wire.Time) (*wire.Move, error) {
	r := q.Recipient
	if r.IsZero() == (q.Token == wire.TokenHash{}) {
		return nil, wire.Malformedf("a move is of a session's citizen, or of a recipient")
	}
	if q.Token != (wire.TokenHash{}) {
		var f forwardRow
		left, err := s.getRow(forwardKey(q.Token), &f)
		if err != nil {
			return nil, err
		}
		if r = f.Recipient; !left {
			if _, r, err = s.sessionCitizen(q.Token, now); err != nil {
				return nil, err
			}
		}
	}
	var move wire.Move
	if moving, err := s.getRow(moveOutKey(r), &move); err != nil || moving {
		return s.shown(r, move), err
	}
	own, _, err := s.Ownership(r)
	switch {
	case err != nil:
		return nil, err
	case own.State == wire.Released:
		return nil, movedTo(own)
	case own.State != wire.Owned:
		return nil, wire.Errorf(wire.NotFound, "this region does not own the fiscal code")
	}
	return s.shown(r, wire.Move{Epoch: own.Epoch}), nil
}

// Moves returns moves out of this region, for the leader to drive: at most limit.
func (s *State) Moves(limit int) ([]wire.Move, error) {
	var list []wire.Move
	lower := []byte{movePrefix, moveOut}
	err := s.db.Iterate(lower, after(lower), false, func(k, v []byte) (bool, error) {
		if len(list) >= limit {
			return false, nil
		}
		var move wire.Move
		if len(k) != 18 {
			return false, errDamaged(k)
		}
		if err := decodeRow(k, v, &move); err != nil {
			return false, err
		}
		list = append(list, *s.shown(wire.Recipient(k[2:]), move))
		return true, nil
	})
	return list, err
}
