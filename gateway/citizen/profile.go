package citizen

import (
	"slices"

	"github.com/staffetta/staffetta/internal/fiscalcode"
	"github.com/staffetta/staffetta/wire"
)

// initializedProfile is the contract's InitializedProfile. is_email_already_taken is left out:
// addresses are not compared between citizens, and absent means false.
type initializedProfile struct {
	AcceptedTos    float64             `json:"accepted_tos_version,omitzero"`
	Email          string              `json:"email,omitzero"`
	Blocked        map[string][]string `json:"blocked_inbox_or_channels,omitempty"`
	Languages      []string            `json:"preferred_languages,omitempty"`
	InboxEnabled   bool                `json:"is_inbox_enabled"`
	EmailValidated bool                `json:"is_email_validated"`
	EmailEnabled   bool                `json:"is_email_enabled"`
	Reminder       string              `json:"reminder_status,omitzero"`
	PushContent    string              `json:"push_notifications_content_type,omitzero"`
	WebhookEnabled bool                `json:"is_webhook_enabled"`
	FamilyName     string              `json:"family_name"`
	FiscalCode     fiscalcode.Code     `json:"fiscal_code"`
	HasProfile     bool                `json:"has_profile"`
	LastAppVersion string              `json:"last_app_version,omitzero"`
	Name           string              `json:"name"`
	SpidEmail      string              `json:"spid_email,omitzero"`
	DateOfBirth    string              `json:"date_of_birth,omitzero"`
	Settings       preferencesSettings `json:"service_preferences_settings"`
	Version        uint64              `json:"version"`
}

// preferencesSettings is the contract's ServicePreferencesSettings.
type preferencesSettings struct {
	Mode string `json:"mode"`
}

// getProfile reads the profile, which every citizen with a session has.
func (c *call) getProfile() error {
	var p wire.Profile
	if err := c.ask(wire.MethodGetProfile, &wire.SessionRef{Token: c.token}, &p); err != nil {
		return err
	}
	return c.Answer(profileOf(&p))
}

// setProfile changes the profile whose version the body names. Accepting the terms for the first
// time is the activation; the region makes it so.
func (c *call) setProfile() error {
	o, err := c.object()
	if err != nil {
		return err
	}
	update, err := parseProfile(o)
	if err != nil {
		return err
	}
	var p wire.Profile
	req := &wire.SetProfile{Token: c.token, Update: *update}
	if err := c.ask(wire.MethodSetProfile, req, &p); err != nil {
		return err
	}
	return c.Answer(profileOf(&p))
}

func profileOf(p *wire.Profile) initializedProfile {
	out := initializedProfile{
		AcceptedTos: p.AcceptedTos, Email: p.Email, Languages: p.Languages,
		InboxEnabled: p.InboxEnabled, EmailValidated: p.EmailValidated,
		EmailEnabled: p.EmailEnabled, PushContent: p.PushContent,
		WebhookEnabled: p.WebhookEnabled, FamilyName: p.FamilyName, FiscalCode: p.FiscalCode,
		HasProfile: true, LastAppVersion: p.LastAppVersion, Name: p.Name, SpidEmail: p.SpidEmail,
		DateOfBirth: p.DateOfBirth, Settings: preferencesSettings{p.Mode.String()},
		Version: p.Version,
	}
	switch p.Reminder {
	case wire.Yes:
		out.Reminder = reminderOn
	case wire.No:
		out.Reminder = reminderOff
	}
	for _, b := range p.Blocked {
		if out.Blocked == nil {
			out.Blocked = map[string][]string{}
		}
		out.Blocked[string(b.Service)] = channelNames(b.Channels)
	}
	return out
}

// The contract's words.
const (
	reminderOn    = "ENABLED"
	reminderOff   = "DISABLED"
	pushFull      = "FULL"
	pushAnonymous = "ANONYMOUS"
)

// channels are the contract's names, in its order.
var channels = []struct {
	name string
	bit  wire.Channel
}{{"EMAIL", wire.ChannelEmail}, {"INBOX", wire.ChannelInbox}, {"WEBHOOK", wire.ChannelWebhook}}

func channelNames(set wire.Channel) []string {
	names := []string{}
	for _, c := range channels {
		if set&c.bit != 0 {
			names = append(names, c.name)
		}
	}
	return names
}

func channelOf(name string) (wire.Channel, bool) {
	i := slices.IndexFunc(channels, func(c struct {
		name string
		bit  wire.Channel
	}) bool {
		return c.name == name
	})
	if i < 0 {
		return 0, false
	}
	return channels[i].bit, true
}
