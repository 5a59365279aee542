package region

import (
	"math"
	"slices"
	"unicode/utf8"

	"github.com/staffetta/staffetta/wire"
)

// makeProfile makes the profile at the first login: inactive, LEGACY, version 0 (contract for
// citizens §2.1).
func (s *State) makeProfile(c *change, r wire.Recipient, l *wire.Login) error {
	return s.putProfile(c, r, &profileRow{Profile: wire.Profile{
		FiscalCode: l.Session.FiscalCode, Name: l.Session.Name,
		FamilyName: l.Session.FamilyName, Email: l.Email, SpidEmail: l.Email,
		DateOfBirth: l.DateOfBirth, Mode: wire.Legacy, SettingsVersion: -1,
		UpdatedAt: c.clock.Now}})
}

// putProfile writes the profile, and its standing where verdicts read it.
func (s *State) putProfile(c *change, r wire.Recipient, row *profileRow) error {
	owner, err := c.owner(r)
	if err != nil {
		return err
	}
	st := row.standing()
	s.remember(r, owner.Ownership, st)
	if st != owner.Standing {
		owner.Standing = st
		if err := c.setRow(recipientKey(ownerPrefix, r), &owner); err != nil {
			return err
		}
	}
	return c.setRow(recipientKey(profilePrefix, r), row)
}

func (s *State) setProfile(c *change, m *wire.SetProfile) (wire.Result, error) {
	u := &m.Update
	if err := checkUpdate(u); err != nil {
		return wire.Fail(err), nil
	}
	r, row, refusal, err := s.citizenOf(c, m.Token)
	if err != nil {
		return wire.Result{}, err
	}
	old := row.Profile
	switch {
	case refusal != nil:
		return wire.Fail(refusal), nil
	case u.Version != old.Version:
		return failf(wire.Conflict, "Version %d is not the latest version.", u.Version)
	case u.SetMode && u.Mode == wire.Legacy && old.Mode != wire.Legacy:
		return failf(wire.Conflict, "The preference mode cannot return to LEGACY.")
	}
	wasActive := row.active()
	row.Profile = updated(old, u, c.clock.Now)
	if row.Profile.Mode != old.Mode {
		if err := s.changeMode(c, r, &old, &row, u); err != nil {
			return wire.Result{}, err
		}
	}
	if err := s.putProfile(c, r, &row); err != nil {
		return wire.Result{}, err
	}
	if row.active() != wasActive {
		own, err := c.ownership(r)
		if err == nil {
			err = c.setPending(r, wire.Owned, own.Epoch, row.active())
		}
		if err != nil {
			return wire.Result{}, err
		}
	}
	return wire.OK(&row.Profile), nil
}

func checkUpdate(u *wire.ProfileUpdate) *wire.Error {
	switch {
	case !shortText(u.Email, emailBytesMax):
		return wire.Malformedf("email is not text of at most %d bytes", emailBytesMax)
	case u.Inbox > wire.No || u.Webhook > wire.No || u.EmailOn > wire.No || u.Reminder > wire.No:
		return wire.Malformedf("a switch is neither on nor off")
	case u.AcceptedTos != 0 && !(u.AcceptedTos >= 1 && u.AcceptedTos <= tosVersionMax):
		return wire.Malformedf("accepted terms are of no version")
	case len(u.Languages) > languagesMax:
		return wire.Malformedf("%d languages, %d allowed", len(u.Languages), languagesMax)
	case u.Mode > wire.Manual:
		return wire.Malformedf("unknown preference mode")
	case len(u.Blocked) > blockedMax:
		return wire.Malformedf("%d blocked services, %d allowed", len(u.Blocked), blockedMax)
	case u.PushContent != "" && u.PushContent != "FULL" && u.PushContent != "ANONYMOUS":
		return wire.Malformedf("unknown kind of push content")
	case !shortText(u.LastAppVersion, versionBytesMax):
		return wire.Malformedf("app version is not text of at most %d bytes", versionBytesMax)
	case u.Version == math.MaxUint64:
		return wire.Malformedf("no such version")
	}
	for _, l := range u.Languages {
		if l == "" || !shortText(l, languageBytesMax) {
			return wire.Malformedf("a language is not text of 1-%d bytes", languageBytesMax)
		}
	}
	slices.SortFunc(u.Blocked, func(a, b wire.Blocked) int {
		return compare(a.Service, b.Service)
	})
	for i, b := range u.Blocked {
		all := wire.ChannelInbox | wire.ChannelEmail | wire.ChannelWebhook
		if !b.Service.Valid() || b.Channels&^all != 0 ||
			i > 0 && u.Blocked[i-1].Service == b.Service {
			return wire.Malformedf("a blocked service is invalid or named twice")
		}
	}
	return nil
}

func compare(a, b wire.ServiceID) int {
	switch {
	case a < b:
		return -1
	case a > b:
		return 1
	}
	return 0
}

func shortText(s string, limit int) bool { return len(s) <= limit && utf8.ValidString(s) }

// updated is the profile after an update that may be made (contract for citizens §2.2).
func updated(old wire.Profile, u *wire.ProfileUpdate, now wire.Time) wire.Profile {
	p := old
	p.Version, p.UpdatedAt = old.Version+1, now
	if u.Email != "" && u.Email != old.Email {
		p.Email, p.EmailValidated = u.Email, false
	}
	p.InboxEnabled = switched(old.InboxEnabled, u.Inbox)
	p.WebhookEnabled = switched(old.WebhookEnabled, u.Webhook)
	p.EmailEnabled = switched(old.EmailEnabled, u.EmailOn)
	if u.AcceptedTos != 0 {
		p.AcceptedTos = u.AcceptedTos
	}
	switch {
	case p.AcceptedTos == 0: // nobody is active who has not accepted the terms
		p.InboxEnabled = false
	case old.AcceptedTos == 0: // the activation
		p.InboxEnabled, p.WebhookEnabled = true, true
	}
	if u.SetLanguages {
		p.Languages = u.Languages
	}
	if u.SetMode && u.Mode != old.Mode {
		p.Mode, p.SettingsVersion = u.Mode, old.SettingsVersion+1
	}
	if u.SetBlocked {
		p.Blocked = u.Blocked
	}
	if p.Mode != wire.Legacy {
		p.Blocked = nil
	}
	p.Reminder, p.PushContent, p.LastAppVersion = u.Reminder, u.PushContent, u.LastAppVersion
	return p
}

func switched(old bool, t wire.Tri) bool {
	if t == wire.Unset {
		return old
	}
	return t == wire.Yes
}

// changeMode drops the preferences of the settings version that ends, which nobody can see any
// more. From LEGACY to AUTO what was blocked becomes preferences of the new version.
func (s *State) changeMode(c *change, r wire.Recipient, old *wire.Profile, row *profileRow,
	u *wire.ProfileUpdate) error {
	lower := preferencesKey(r, old.SettingsVersion)
	var gone []wire.Row
	if row.Preferences > 0 {
		var err error
		if gone, err = c.scan(lower, after(lower), false, preferencesMax); err != nil {
			return err
		}
	}
	for _, p := range gone {
		if err := c.del(p.Key); err != nil {
			return err
		}
		s.forgetChoice(r, p.Key)
	}
	row.Preferences = 0
	if old.Mode != wire.Legacy || row.Profile.Mode != wire.Auto {
		return nil
	}
	blocked := old.Blocked
	if u.SetBlocked {
		blocked = u.Blocked // the citizen's latest word
	}
	for _, b := range blocked {
		err := s.putPreference(c, r, &wire.Preference{Service: b.Service,
			SettingsVersion: row.Profile.SettingsVersion,
			Inbox:           b.Channels&wire.ChannelInbox == 0,
			Email:           b.Channels&wire.ChannelEmail == 0,
			Webhook:         b.Channels&wire.ChannelWebhook == 0})
		if err != nil {
			return err
		}
		row.Preferences++
	}
	return nil
}
