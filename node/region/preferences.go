package region

import (
	"encoding/binary"

	"github.com/staffetta/staffetta/wire"
)

func (s *State) setPreference(c *change, m *wire.SetPreference) (wire.Result, error) {
	p := &m.Preference
	if !p.Service.Valid() || p.ReadStatus > wire.No {
		return failf(wire.Malformed, "preference without a valid service")
	}
	r, row, refusal, err := s.citizenOf(c, m.Token)
	if err != nil {
		return wire.Result{}, err
	}
	switch {
	case refusal != nil:
		return wire.Fail(refusal), nil
	case row.Profile.Mode == wire.Legacy:
		return failf(wire.Conflict, "The profile's preference mode is LEGACY.")
	case p.SettingsVersion != row.Profile.SettingsVersion:
		return failf(wire.Conflict, "Settings version %d is not the latest version.",
			p.SettingsVersion)
	}
	_, there, err := c.get(preferenceKey(r, p.SettingsVersion, p.Service))
	if err != nil {
		return wire.Result{}, err
	}
	if !there && row.Preferences >= preferencesMax {
		return failf(wire.Conflict, "%d preferences are stored, no more fit", preferencesMax)
	}
	if err := s.putPreference(c, r, p); err != nil {
		return wire.Result{}, err
	}
	if !there {
		row.Preferences++
		err = s.putProfile(c, r, &row)
	}
	return wire.OK(p), err
}

// putPreference writes the row and the cache.
func (s *State) putPreference(c *change, r wire.Recipient, p *wire.Preference) error {
	k := choiceKey{recipient: r, version: p.SettingsVersion, service: p.Service}
	s.standings.putChoice(k, wire.TriOf(p.Inbox))
	return c.setRow(preferenceKey(r, p.SettingsVersion, p.Service), p)
}

// forgetChoice notes in the cache that a preference's row is gone.
func (s *State) forgetChoice(r wire.Recipient, key []byte) {
	s.standings.putChoice(choiceKey{recipient: r,
		version: int64(binary.BigEndian.Uint64(key[17:])), service: wire.ServiceID(key[25:])},
		wire.Unset)
}
