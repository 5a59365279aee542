package region

import (
	"github.com/staffetta/staffetta/wire"
)

// Session returns a session that is valid at now, else Unauthenticated; Moved when it left with
// its citizen.
func (s *State) Session(token wire.TokenHash, now wire.Time) (*wire.Session, error) {
	t := new(wire.Session)
	ok, err := s.getRow(sessionKey(token), t)
	if err == nil && !ok {
		var moved *wire.Error
		if moved, err = whoseForward(token, s.getRow); moved != nil {
			return nil, moved
		}
		if err == nil { // it may have come back between the two looks
			ok, err = s.getRow(sessionKey(token), t)
		}
	}
	if err != nil {
		return nil, err
	}
	if !ok || !s.valid(t, max(now, s.Now())) {
		return nil, noSession()
	}
	return t, nil
}

// sessionCitizen is Session with the citizen's hash.
func (s *State) sessionCitizen(token wire.TokenHash, now wire.Time) (*wire.Session,
	wire.Recipient, error) {
	t, err := s.Session(token, now)
	if err != nil {
		return nil, wire.Recipient{}, err
	}
	return t, s.cfg.Hasher.Recipient(t.FiscalCode), nil
}

// Profile returns the profile of a session's citizen.
func (s *State) Profile(token wire.TokenHash, now wire.Time) (*wire.Profile, error) {
	_, r, err := s.sessionCitizen(token, now)
	if err != nil {
		return nil, err
	}
	row, err := s.profile(r)
	if err != nil {
		return nil, err
	}
	return &row.Profile, nil
}

func (s *State) profile(r wire.Recipient) (*profileRow, error) {
	row := new(profileRow)
	ok, err := s.getRow(recipientKey(profilePrefix, r), row)
	if err == nil && !ok {
		err = wire.Errorf(wire.NotFound, "no such profile")
	}
	return row, err
}

// Preference returns what the citizen chose for a service under the current settings version, or
// the mode's default. Conflict in LEGACY mode, which has no preferences (contract for citizens
// §3).
func (s *State) Preference(q wire.GetPreference, now wire.Time) (*wire.Preference, error) {
	_, r, err := s.sessionCitizen(q.Token, now)
	if err != nil {
		return nil, err
	}
	if !q.Service.Valid() {
		return nil, wire.Malformedf("no valid service")
	}
	row, err := s.profile(r)
	if err != nil {
		return nil, err
	}
	p := &row.Profile
	if p.Mode == wire.Legacy {
		return nil, wire.Errorf(wire.Conflict, "The profile's preference mode is LEGACY.")
	}
	pref := new(wire.Preference)
	ok, err := s.getRow(preferenceKey(r, p.SettingsVersion, q.Service), pref)
	if err != nil {
		return nil, err
	}
	if !ok {
		on := p.Mode == wire.Auto
		pref = &wire.Preference{Service: q.Service, SettingsVersion: p.SettingsVersion,
			Inbox: on, Email: on, Webhook: on}
	}
	return pref, nil
}

// itemAs is the row as a list shows it, with the status of its message.
func (r *inboxRow) itemAs(id wire.MessageID, status wire.MessageStatus) wire.InboxItem {
	item := r.item(id)
	item.Read, item.Archived = status.Read, status.Archived
	return item
}

// GetInbox returns one message of the citizen, and does not make it a read one. NotFound when it is
// not in the inbox, whoever else's it may be.
func (s *State) GetInbox(q wire.GetInbox, now wire.Time) (*wire.InboxMessage, error) {
	t, r, err := s.sessionCitizen(q.Token, now)
	if err != nil {
		return nil, err
	}
	key := inboxKey(r, q.ID)
	var row inboxRow
	ok, err := s.getRow(key[:], &row)
	if err != nil {
		return nil, err
	}
	if !ok {
		return nil, wire.Errorf(wire.NotFound, "no such message")
	}
	var status wire.MessageStatus
	if _, err = s.getRow(statusKey(r, q.ID), &status); err != nil {
		return nil, err
	}
	content, err := s.content(&row)
	if err != nil {
		return nil, err
	}
	return &wire.InboxMessage{FiscalCode: t.FiscalCode, Item: row.itemAs(q.ID, status),
		Content: *content}, nil
}

// setMessageStatus changes what the citizen did with a message. A change that is made already
// writes nothing. The row stays once it is there: what a copy of an earlier owner says of the
// message is older.
func (s *State) setMessageStatus(c *change, m *wire.SetMessageStatus) (wire.Result, error) {
	if m.Archived > wire.No || !m.Read && m.Archived == wire.Unset {
		return failf(wire.Malformed, "no change of a message's status")
	}
	r, _, refusal, err := s.citizenOf(c, m.Token)
	if err != nil || refusal != nil {
		return wire.Fail(refusal), err
	}
	key := statusKey(r, m.ID)
	there, err := c.delivered(r, m.ID)
	if err != nil {
		return wire.Result{}, err
	}
	if !there {
		return failf(wire.NotFound, "no such message")
	}
	var status wire.MessageStatus
	if _, err := c.getRow(key, &status); err != nil {
		return wire.Result{}, err
	}
	next := wire.MessageStatus{Read: status.Read || m.Read,
		Archived: switched(status.Archived, m.Archived)}
	if next != status {
		err = c.setRow(key, &next)
	}
	return wire.OK(&next), err
}

// delivered reports whether a message is in the inbox of r.
func (c *change) delivered(r wire.Recipient, id wire.MessageID) (bool, error) {
	key := inboxKey(r, id)
	_, ok, err := c.getWide(&key)
	return ok, err
}

func (p *pageCheck) status(row *wire.Row) (ok bool, err error) {
	var status wire.MessageStatus
	return len(row.Key) == len(wideKey{}) && wire.Decode(row.Value, &status) == nil, nil
}

// ofMessage stores a row of a message that is here.
func (t *taking) ofMessage(row *wire.Row) error {
	there, err := t.c.delivered(t.r, wire.MessageID(row.Key[17:]))
	if err != nil || !there {
		return err
	}
	return t.asItIs(row)
}

// missingOfMessage stores one that the region has not.
func (t *taking) missingOfMessage(row *wire.Row) error {
	if _, there, err := t.c.get(row.Key); err != nil || there {
		return err
	}
	return t.ofMessage(row)
}
