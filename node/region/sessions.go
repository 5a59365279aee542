package region

import (
	"github.com/staffetta/staffetta/wire"
)

func (s *State) login(c *change, l *wire.Login) (wire.Result, error) {
	if err := checkLogin(l, c.clock.Now); err != nil {
		return wire.Fail(err), nil
	}
	r, owner, answer, err := s.admitLogin(c, &l.Session)
	if err != nil {
		return wire.Result{}, err
	}
	if answer != nil {
		return *answer, nil
	}
	if err := c.endSession(r); err != nil {
		return wire.Result{}, err
	}
	if err := c.beginSession(r, &l.Session); err != nil {
		return wire.Result{}, err
	}
	if !owner.Standing.HasProfile {
		err = s.makeProfile(c, r, l)
	}
	return wire.OK(&l.Session), err
}

// admitLogin finds the citizen of a login. The answer is not nil when that is all there is to do:
// the code is not this region's, the token is taken, or the same login was here before.
func (s *State) admitLogin(c *change, t *wire.Session) (r wire.Recipient, owner ownerRow,
	answer *wire.Result, err error) {
	refuse := func(e *wire.Error) (wire.Recipient, ownerRow, *wire.Result, error) {
		result := wire.Fail(e)
		return r, owner, &result, nil
	}
	r = s.cfg.Hasher.Recipient(t.FiscalCode)
	if owner, err = c.owner(r); err != nil {
		return r, owner, nil, err
	}
	switch owner.Ownership.State {
	case wire.Released:
		return refuse(movedTo(owner.Ownership))
	case wire.NotOwned, wire.Claiming:
		return refuse(wire.Errorf(wire.Conflict, "this region does not own the fiscal code yet"))
	}
	barred, err := c.barred(r, t.Level)
	switch {
	case err != nil:
		return r, owner, nil, err
	case barred != nil:
		return refuse(barred)
	}
	var there wire.Session
	ok, err := c.getRow(sessionKey(t.Token), &there)
	switch {
	case err != nil:
		return r, owner, nil, err
	case ok && (there.FiscalCode != t.FiscalCode || there.ExpiresAt <= c.clock.Now):
		return refuse(wire.Errorf(wire.Conflict, "the token is taken"))
	case ok:
		result := wire.OK(&there) // the same login again
		return r, owner, &result, nil
	}
	return r, owner, nil, nil
}

func checkLogin(l *wire.Login, now wire.Time) *wire.Error {
	t := &l.Session
	switch {
	case t.Token == wire.TokenHash{}:
		return wire.Malformedf("login without token")
	case !t.FiscalCode.Valid():
		return wire.Malformedf("login without a valid fiscal code")
	case !shortText(t.Name, nameBytesMax) || !shortText(t.FamilyName, nameBytesMax):
		return wire.Malformedf("name is not text of at most %d bytes", nameBytesMax)
	case !shortText(l.Email, emailBytesMax):
		return wire.Malformedf("email is not text of at most %d bytes", emailBytesMax)
	case !shortText(l.DateOfBirth, len("2006-01-02")):
		return wire.Malformedf("date of birth is not YYYY-MM-DD")
	case t.ExpiresAt <= now:
		return wire.Malformedf("the session is over before it begins")
	case t.ExpiresAt > now.Add(SessionMax):
		return wire.Malformedf("session of more than %v", SessionMax)
	}
	return nil
}

func (c *change) beginSession(r wire.Recipient, t *wire.Session) error {
	if err := c.setRow(sessionKey(t.Token), t); err != nil {
		return err
	}
	if err := c.set(dueSessionKey(t.ExpiresAt, t.Token), r[:]); err != nil {
		return err
	}
	return c.set(recipientKey(currentPrefix, r), t.Token[:])
}

// endSession removes the session that a Login opened, if there is one.
func (c *change) endSession(r wire.Recipient) error {
	current := recipientKey(currentPrefix, r)
	v, ok, err := c.get(current)
	if err != nil || !ok {
		return err
	}
	if len(v) != len(wire.TokenHash{}) {
		return errDamaged(current)
	}
	token := wire.TokenHash(v)
	var t wire.Session
	if ok, err = c.getRow(sessionKey(token), &t); err != nil {
		return err
	}
	if ok {
		if err := c.del(dueSessionKey(t.ExpiresAt, token)); err != nil {
			return err
		}
	}
	if err := c.del(sessionKey(token)); err != nil {
		return err
	}
	return c.del(current)
}

func (s *State) logout(c *change, m *wire.Logout) (wire.Result, error) {
	var t wire.Session
	ok, err := c.getRow(sessionKey(m.Token), &t)
	if err != nil {
		return wire.Result{}, err
	}
	if !ok { // it ended, or left with its citizen
		refusal, err := whoseForward(m.Token, c.getRow)
		if err != nil || refusal != nil {
			return wire.Fail(refusal), err
		}
		return wire.OK(nil), nil
	}
	return wire.OK(nil), c.end(s.cfg.Hasher.Recipient(t.FiscalCode), &t)
}

// citizenOf returns the citizen of a session with the profile, or the reason why there is none.
func (s *State) citizenOf(c *change, token wire.TokenHash) (r wire.Recipient, row profileRow,
	refusal *wire.Error, err error) {
	var t wire.Session
	ok, err := c.getRow(sessionKey(token), &t)
	if err != nil {
		return r, row, nil, err
	}
	if !ok {
		if refusal, err = whoseForward(token, c.getRow); err != nil || refusal != nil {
			return r, row, refusal, err
		}
	}
	if !ok || !s.valid(&t, c.clock.Now) {
		return r, row, noSession(), nil
	}
	r = s.cfg.Hasher.Recipient(t.FiscalCode)
	ok, err = c.getRow(recipientKey(profilePrefix, r), &row)
	if err == nil && !ok {
		err = errDamaged(recipientKey(profilePrefix, r)) // a login makes it
	}
	return r, row, nil, err
}

func noSession() *wire.Error { return wire.Errorf(wire.Unauthenticated, "no valid session") }
