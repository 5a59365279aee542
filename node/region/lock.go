package region

import (
	"crypto/subtle"

	"github.com/staffetta/staffetta/internal/codec"
	"github.com/staffetta/staffetta/wire"
)

// lockRow is a citizen's lock of their own access. It moves with them.
type lockRow struct {
	Since wire.Time
	Proof wire.Proof
	Tries uint32 // of the code that were wrong
}

// Fields declares the row.
func (l *lockRow) Fields(c *codec.Codec) {
	codec.Int(c, 1, &l.Since)
	codec.Fixed(c, 2, l.Proof[:])
	codec.Uint(c, 3, &l.Tries)
}

// barred refuses a login that a citizen's lock does not let in.
func (c *change) barred(r wire.Recipient, level wire.Level) (*wire.Error, error) {
	_, locked, err := c.get(recipientKey(lockPrefix, r))
	if err != nil || !locked || level == wire.Level3 {
		return nil, err
	}
	return wire.Errorf(wire.Locked, "the citizen has locked access"), nil
}

func (s *State) lockAccess(c *change, m *wire.LockAccess) (wire.Result, error) {
	if m.Proof == (wire.Proof{}) {
		return failf(wire.Malformed, "a lock without what opens it")
	}
	r, _, refusal, err := s.citizenOf(c, m.Token)
	if err != nil || refusal != nil {
		return wire.Fail(refusal), err
	}
	key := recipientKey(lockPrefix, r)
	if _, locked, err := c.get(key); err != nil || locked {
		return wire.Fail(wire.Errorf(wire.Conflict, "Access is locked already.")), err
	}
	if err := s.makeRoom(c, r, true); err != nil {
		return wire.Result{}, err
	}
	return wire.OK(nil), c.setRow(key, &lockRow{Since: c.clock.Now, Proof: m.Proof})
}

func (s *State) unlockAccess(c *change, m *wire.UnlockAccess) (wire.Result, error) {
	r, high, refusal, err := s.unlocker(c, m)
	if err != nil || refusal != nil {
		return wire.Fail(refusal), err
	}
	var l lockRow
	key := recipientKey(lockPrefix, r)
	locked, err := c.getRow(key, &l)
	if err != nil {
		return wire.Result{}, err
	}
	switch {
	case !locked:
		return wire.OK(&wire.AccessState{}), nil
	case high, l.Tries < wire.UnlockTriesMax &&
		subtle.ConstantTimeCompare(l.Proof[:], m.Proof[:]) == 1:
		return wire.OK(&wire.AccessState{}), c.del(key)
	case l.Tries < wire.UnlockTriesMax:
		l.Tries++
		err = c.setRow(key, &l)
	}
	return wire.OK(l.state()), err
}

func (l *lockRow) state() *wire.AccessState {
	return &wire.AccessState{Locked: true, Since: l.Since, Tries: l.Tries}
}

// unlocker finds whose access is to be unlocked, and whether a session of the highest level asks.
func (s *State) unlocker(c *change, m *wire.UnlockAccess) (r wire.Recipient, high bool,
	refusal *wire.Error, err error) {
	if m.Recipient.IsZero() == (m.Token == wire.TokenHash{}) {
		return r, false, wire.Malformedf("an unlock is of a session's citizen, or of a recipient"), nil
	}
	if m.Token == (wire.TokenHash{}) {
		own, err := c.ownership(m.Recipient)
		switch {
		case err != nil:
			return r, false, nil, err
		case own.State == wire.Released:
			return r, false, movedTo(own), nil
		case own.State != wire.Owned:
			return r, false, wire.Errorf(wire.NotFound, "nobody here has that fiscal code"), nil
		}
		return m.Recipient, false, nil, nil
	}
	if r, _, refusal, err = s.citizenOf(c, m.Token); err != nil || refusal != nil {
		return r, false, refusal, err
	}
	var t wire.Session
	_, err = c.getRow(sessionKey(m.Token), &t)
	return r, t.Level == wire.Level3, nil, err
}

// Access says whether the citizen of a session has locked access.
func (s *State) Access(token wire.TokenHash, now wire.Time) (*wire.AccessState, error) {
	_, r, err := s.sessionCitizen(token, now)
	if err != nil {
		return nil, err
	}
	var l lockRow
	locked, err := s.getRow(recipientKey(lockPrefix, r), &l)
	if err != nil || !locked {
		return &wire.AccessState{}, err
	}
	return l.state(), nil
}

func (p *pageCheck) lock(row *wire.Row) (ok bool, err error) {
	var l lockRow
	return len(row.Key) == 17 && wire.Decode(row.Value, &l) == nil && l.Proof != wire.Proof{}, nil
}

// missing stores the only row of a kind, unless there is one.
func (t *taking) missing(row *wire.Row) error {
	if _, there, err := t.c.get(row.Key); err != nil || there {
		return err
	}
	return t.asItIs(row)
}
