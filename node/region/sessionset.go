package region

import (
	"cmp"
	"slices"
	"strings"
	"time"

	"github.com/staffetta/staffetta/wire"
)

// The sessions of a citizen, since version 3 of the log: a bounded set, each with a row of its own
// that its token finds, and one that finds the token. The session that a Login opened stands beside
// the set, in its place of before, until it ends.
//
// A session that was ended leaves a forward that leads nowhere, so that a late copy of the command
// that opened it does not open it again; at its time it goes as any forward does.

const (
	// The sizes of what a session says of its citizen's device, besides its name, and of who vouches.
	providerBytesMax = 256
	refBytesMax      = 96   // sha512- and 88 characters
	keyBytesMax      = 1024 // of an RSA key of 4,096 bits: 700
	// endedKept is how long an ended session's token is refused to a login: longer than any copy of
	// a command is on its way.
	endedKept = 24 * time.Hour
)

func memberKey(r wire.Recipient, id wire.SessionID) []byte {
	return append(recipientKey(memberPrefix, r), id[:]...)
}

// valid reports whether the session's token is good at a time. One that was opened before a restore
// is void: that it ended may be what was lost.
func (s *State) valid(t *wire.Session, now wire.Time) bool {
	return t.ExpiresAt > now && !s.void(t)
}

func (s *State) void(t *wire.Session) bool {
	return t.ID != wire.SessionID{} && t.Incarnation != s.restored.Load().incarnation
}

func (s *State) openSession(c *change, o *wire.OpenSession) (wire.Result, error) {
	l := &wire.Login{Session: o.Session, Email: o.Email, DateOfBirth: o.DateOfBirth}
	if err := checkLogin(l, c.clock.Now); err != nil {
		return wire.Fail(err), nil
	}
	t := &l.Session
	if err := checkMember(t, c.clock.Now); err != nil {
		return wire.Fail(err), nil
	}
	r, owner, answer, err := s.admitLogin(c, t)
	if err != nil {
		return wire.Result{}, err
	}
	if answer != nil {
		return *answer, nil
	}
	if _, ended, err := c.get(forwardKey(t.Token)); err != nil || ended {
		return wire.Fail(wire.Errorf(wire.Conflict, "the token is taken")), err
	}
	if _, taken, err := c.get(memberKey(r, t.ID)); err != nil || taken {
		return wire.Fail(wire.Errorf(wire.Conflict, "the session's id is taken")), err
	}
	if err := s.makeRoom(c, r, o.One); err != nil {
		return wire.Result{}, err
	}
	t.CreatedAt, t.RenewedAt = c.clock.Now, c.clock.Now
	t.Incarnation = s.restored.Load().incarnation
	if err := c.putMember(r, t); err != nil {
		return wire.Result{}, err
	}
	if !owner.Standing.HasProfile {
		err = s.makeProfile(c, r, l)
	}
	return wire.OK(t), err
}

// checkMember checks what a session of a set has beyond one of before.
func checkMember(t *wire.Session, now wire.Time) *wire.Error {
	switch {
	case t.ID == wire.SessionID{}:
		return wire.Malformedf("session without id")
	case !t.Level.Valid():
		return wire.Malformedf("session without level")
	case !shortText(t.Device, wire.DeviceBytesMax):
		return wire.Malformedf("device is not text of at most %d bytes", wire.DeviceBytesMax)
	case !shortText(t.Provider, providerBytesMax):
		return wire.Malformedf("provider is not text of at most %d bytes", providerBytesMax)
	case (t.Ref == "") != (t.Key == "") || !strings.HasPrefix(t.Ref, "sha") && t.Ref != "":
		return wire.Malformedf("a session has a key with its reference, or neither")
	case len(t.Ref) > refBytesMax || !shortText(t.Key, keyBytesMax):
		return wire.Malformedf("key of more than %d bytes, or its reference of more than %d",
			keyBytesMax, refBytesMax)
	case t.EndsAt != 0 && t.EndsAt < t.ExpiresAt || t.EndsAt > now.Add(SessionMax):
		return wire.Malformedf("the session ends before its token, or in more than %v", SessionMax)
	}
	return nil
}

// makeRoom ends sessions until there is room for one more: what is over, then the ones that were
// opened or renewed longest ago; all of them when there is to be only one.
func (s *State) makeRoom(c *change, r wire.Recipient, one bool) error {
	list, err := c.sessionsOf(r)
	if err != nil {
		return err
	}
	left := list[:0]
	for i := range list {
		if t := &list[i]; !one && t.End() > c.clock.Now && !s.void(t) {
			left = append(left, *t)
		} else if err := c.end(r, t); err != nil {
			return err
		}
	}
	for len(left) >= wire.SessionsMax {
		oldest := 0
		for i := range left {
			used, least := left[i].Used(), left[oldest].Used()
			// Of two at once the one with the smaller id; a time of when the clock was ahead is now.
			if min(used, c.clock.Now) < min(least, c.clock.Now) {
				oldest = i
			}
		}
		if err := c.end(r, &left[oldest]); err != nil {
			return err
		}
		left = append(left[:oldest], left[oldest+1:]...)
	}
	return nil
}

func (c *change) putMember(r wire.Recipient, t *wire.Session) error {
	if err := c.setRow(sessionKey(t.Token), t); err != nil {
		return err
	}
	if err := c.set(dueSessionKey(t.End(), t.Token), r[:]); err != nil {
		return err
	}
	return c.set(memberKey(r, t.ID), t.Token[:])
}

// end ends a session of a citizen, of whichever kind.
func (c *change) end(r wire.Recipient, t *wire.Session) error {
	if t.ID == (wire.SessionID{}) {
		return c.endSession(r)
	}
	if err := c.dropMember(r, t); err != nil {
		return err
	}
	if err := c.setRow(forwardKey(t.Token), &forwardRow{Recipient: r}); err != nil {
		return err
	}
	return c.set(dueSessionKey(c.clock.Now.Add(endedKept), t.Token), r[:])
}

// dropMember removes all rows of a session of the set.
func (c *change) dropMember(r wire.Recipient, t *wire.Session) error {
	if err := c.del(dueSessionKey(t.End(), t.Token)); err != nil {
		return err
	}
	if err := c.del(sessionKey(t.Token)); err != nil {
		return err
	}
	return c.del(memberKey(r, t.ID))
}

// tokensOf reads which sessions a citizen has, or had when moving away: the one that a Login opened
// first.
func (c *change) tokensOf(r wire.Recipient) (tokens []wire.TokenHash, err error) {
	token, ok, err := c.tokenOf(r)
	if err != nil {
		return nil, err
	}
	if ok {
		tokens = append(tokens, token)
	}
	lower := recipientKey(memberPrefix, r)
	rows, err := c.scan(lower, after(lower), false, wire.SessionsMax+1)
	for i := range rows {
		if len(rows[i].Value) != len(token) {
			return nil, errDamaged(rows[i].Key)
		}
		tokens = append(tokens, wire.TokenHash(rows[i].Value))
	}
	return tokens, err
}

// sessionsOf reads the sessions of a citizen whom this region owns.
func (c *change) sessionsOf(r wire.Recipient) (list []wire.Session, err error) {
	tokens, err := c.tokensOf(r)
	if err != nil {
		return nil, err
	}
	for _, token := range tokens {
		var t wire.Session
		if ok, err := c.getRow(sessionKey(token), &t); err != nil {
			return nil, err
		} else if ok {
			list = append(list, t)
		}
	}
	return list, nil
}

// endSessions ends what the citizen of a session no longer wants, here and on every other device.
func (s *State) endSessions(c *change, m *wire.EndSessions) (wire.Result, error) {
	r, _, refusal, err := s.citizenOf(c, m.Token)
	if err != nil || refusal != nil {
		return wire.Fail(refusal), err
	}
	own := m.Token
	if !m.KeepOwn {
		own = wire.TokenHash{}
	}
	return c.endSome(r, m.ID, own)
}

// endSessionsOf is what an operator orders.
func (s *State) endSessionsOf(c *change, m *wire.EndSessionsOf) (wire.Result, error) {
	own, err := c.ownership(m.Recipient)
	switch {
	case err != nil:
		return wire.Result{}, err
	case own.State == wire.Released:
		return wire.Fail(movedTo(own)), nil
	case own.State != wire.Owned:
		return failf(wire.NotFound, "this region does not own the fiscal code")
	}
	return c.endSome(m.Recipient, m.ID, wire.TokenHash{})
}

// endSome ends the session of an id, or all for a zero one, but for the one of a token.
func (c *change) endSome(r wire.Recipient, id wire.SessionID, keep wire.TokenHash) (wire.Result,
	error) {
	list, err := c.sessionsOf(r)
	if err != nil {
		return wire.Result{}, err
	}
	var ended wire.EndedSessions
	for i := range list {
		t := &list[i]
		if id != (wire.SessionID{}) && t.PublicID() != id || t.Token == keep {
			continue
		}
		if err := c.end(r, t); err != nil {
			return wire.Result{}, err
		}
		ended.Count++
	}
	if ended.Count == 0 && id != (wire.SessionID{}) {
		return failf(wire.NotFound, "the citizen has no such session")
	}
	return wire.OK(&ended), nil
}

// Sessions lists the sessions of a session's citizen, oldest first.
func (s *State) Sessions(token wire.TokenHash, now wire.Time) (*wire.SessionList, error) {
	_, r, err := s.sessionCitizen(token, now)
	if err != nil {
		return nil, err
	}
	return s.listSessions(r, token, now)
}

// SessionsOf lists a citizen's sessions for an operator.
func (s *State) SessionsOf(r wire.Recipient, now wire.Time) (*wire.SessionList, error) {
	own, _, err := s.Ownership(r)
	switch {
	case err != nil:
		return nil, err
	case own.State == wire.Released:
		return nil, movedTo(own)
	case own.State != wire.Owned:
		return nil, wire.Errorf(wire.NotFound, "this region does not own the fiscal code")
	}
	return s.listSessions(r, wire.TokenHash{}, now)
}

func (s *State) listSessions(r wire.Recipient, token wire.TokenHash, now wire.Time) (
	*wire.SessionList, error) {
	tokens, err := s.tokensOf(r)
	if err != nil {
		return nil, err
	}
	list := &wire.SessionList{}
	for _, each := range tokens {
		var t wire.Session
		ok, err := s.getRow(sessionKey(each), &t)
		if err != nil {
			return nil, err
		}
		if !ok || t.End() <= now || s.void(&t) {
			continue
		}
		list.List = append(list.List, wire.SessionView{ID: t.PublicID(), Device: t.Device,
			Provider: t.Provider, Level: t.Level, CreatedAt: t.CreatedAt, RenewedAt: t.RenewedAt,
			EndsAt: t.End(), HasKey: t.Key != "", Current: each == token})
	}
	slices.SortStableFunc(list.List, func(a, b wire.SessionView) int {
		return cmp.Compare(a.CreatedAt, b.CreatedAt)
	})
	return list, nil
}

// tokensOf is that of a change, of what is applied.
func (s *State) tokensOf(r wire.Recipient) (tokens []wire.TokenHash, err error) {
	token, ok, err := s.db.Get(recipientKey(currentPrefix, r))
	if err != nil {
		return nil, err
	}
	if ok && len(token) == len(wire.TokenHash{}) {
		tokens = append(tokens, wire.TokenHash(token))
	}
	lower := recipientKey(memberPrefix, r)
	err = s.db.Iterate(lower, after(lower), false, func(k, v []byte) (bool, error) {
		if len(v) != len(wire.TokenHash{}) {
			return false, errDamaged(k)
		}
		tokens = append(tokens, wire.TokenHash(v))
		return true, nil
	})
	return tokens, err
}

// members adds what the fence turned into forwards: each session under its place in the set. It is
// with the last page, as the session of before is.
func (e *export) members(*rowKind, []byte) (full bool, err error) {
	tokens, err := e.s.tokensOf(e.r)
	if err != nil {
		return false, err
	}
	for _, token := range tokens {
		var f forwardRow
		ok, err := e.s.getRow(forwardKey(token), &f)
		if err != nil {
			return false, err
		}
		if t := &f.Session; ok && t.ID != (wire.SessionID{}) && !e.s.void(t) {
			e.put(memberKey(e.r, t.ID), wire.Encode(t))
		}
	}
	return false, nil
}

// member accepts a session of the set from another region. Its time is bounded when it is taken.
func (p *pageCheck) member(row *wire.Row) (ok bool, err error) {
	var t wire.Session
	if len(row.Key) != 33 || wire.Decode(row.Value, &t) != nil {
		return false, nil
	}
	t.EndsAt = min(t.End(), p.c.clock.Now.Add(SessionMax))
	t.ExpiresAt = min(t.ExpiresAt, t.EndsAt)
	return t.ID == wire.SessionID(row.Key[17:]) && t.Token != wire.TokenHash{} &&
		checkMember(&t, p.c.clock.Now) == nil && shortText(t.Name, nameBytesMax) &&
		shortText(t.FamilyName, nameBytesMax) && t.FiscalCode.Valid() &&
		p.s.cfg.Hasher.Recipient(t.FiscalCode) == p.r, nil
}

// member stores a session of the set, unless it is over, or its token is another's here.
func (t *taking) member(row *wire.Row) error {
	c := t.c
	var m, there wire.Session
	if err := wire.Decode(row.Value, &m); err != nil {
		return err
	}
	if m.End() <= c.clock.Now {
		return nil
	}
	latest := c.clock.Now.Add(SessionMax) // the old owner's clock may be ahead of this region's
	m.ExpiresAt, m.EndsAt = min(m.ExpiresAt, latest), min(m.EndsAt, latest)
	m.Incarnation = t.s.restored.Load().incarnation
	taken, err := c.getRow(sessionKey(m.Token), &there)
	if err != nil || taken {
		return err
	}
	if _, taken, err = c.get(memberKey(t.r, m.ID)); err != nil || taken {
		return err
	}
	if err := c.delIfThere(forwardKey(m.Token)); err != nil { // the citizen is back
		return err
	}
	if err := t.s.makeRoom(c, t.r, false); err != nil {
		return err
	}
	return c.putMember(t.r, &m)
}
