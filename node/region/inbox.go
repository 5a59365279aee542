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
	if !ok || t.ExpiresAt <= max(now, s.Now()) {
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

// ListInbox returns a page of the citizen's inbox, newest id first (contract for citizens §4.1).
// It reads the page's rows, one more, and no block.
func (s *State) ListInbox(q wire.ListInbox, now wire.Time) (*wire.InboxPage, error) {
	if q.Size < 1 || q.Size > wire.PageMax {
		return nil, wire.Malformedf("page of %d messages, 1-%d allowed", q.Size, wire.PageMax)
	}
	t, r, err := s.sessionCitizen(q.Token, now)
	if err != nil {
		return nil, err
	}
	page := &wire.InboxPage{FiscalCode: t.FiscalCode}
	if q.Archived {
		return page, nil // nothing can be archived yet
	}
	lower := recipientKey(inboxPrefix, r)
	upper := after(lower)
	if !q.Before.IsZero() {
		k := inboxKey(r, q.Before)
		upper = k[:]
	}
	if !q.After.IsZero() {
		k := inboxKey(r, q.After)
		lower = append(k[:], 0) // the first key above it
	}
	if string(lower) >= string(upper) {
		return page, nil
	}
	err = s.db.Iterate(lower, upper, true, func(k, v []byte) (bool, error) {
		if len(page.Items) == int(q.Size) {
			page.More = true
			return false, nil
		}
		var row inboxRow
		if !isWide(k) {
			return false, errDamaged(k)
		}
		if err := decodeRow(k, v, &row); err != nil {
			return false, err
		}
		page.Items = append(page.Items, row.item(wire.MessageID(k[17:])))
		return true, nil
	})
	if err != nil {
		return nil, err
	}
	return page, nil
}

// GetInbox returns one message of the citizen. NotFound when it is not in the inbox, whoever
// else's it may be.
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
	content, err := s.content(&row)
	if err != nil {
		return nil, err
	}
	return &wire.InboxMessage{FiscalCode: t.FiscalCode, Item: row.item(q.ID),
		Content: *content}, nil
}
