package citizen

import (
	"errors"

	"github.com/staffetta/staffetta/internal/strictjson"
	"github.com/staffetta/staffetta/wire"
)

// servicePreference is the contract's ServicePreference.
type servicePreference struct {
	Email           bool  `json:"is_email_enabled"`
	Inbox           bool  `json:"is_inbox_enabled"`
	Webhook         bool  `json:"is_webhook_enabled"`
	SettingsVersion int64 `json:"settings_version"`
	ReadStatus      bool  `json:"can_access_message_read_status"`
}

func preferenceOf(p *wire.Preference) servicePreference {
	return servicePreference{Email: p.Email, Inbox: p.Inbox, Webhook: p.Webhook,
		SettingsVersion: p.SettingsVersion, ReadStatus: p.ReadStatus != wire.No}
}

// getPreference reads what the citizen receives of a service: what was chosen, or what the mode
// says where nothing was.
func (c *call) getPreference() error {
	service, err := c.service()
	if err != nil {
		return err
	}
	var p wire.Preference
	req := &wire.GetPreference{Token: c.token, Service: service}
	if err := c.ask(wire.MethodGetPreference, req, &p); err != nil {
		return err
	}
	return c.Answer(preferenceOf(&p))
}

// setPreference stores what the citizen wants of a service, under the settings version that the
// citizen has seen.
func (c *call) setPreference() error {
	o, err := c.object()
	if err != nil {
		return err
	}
	p, err := parsePreference(o)
	if err != nil {
		return err
	}
	if p.Service, err = c.service(); err != nil {
		return err
	}
	var stored wire.Preference
	req := &wire.SetPreference{Token: c.token, Preference: *p}
	if err := c.ask(wire.MethodSetPreference, req, &stored); err != nil {
		return err
	}
	return c.Answer(preferenceOf(&stored))
}

func parsePreference(o *strictjson.Object) (*wire.Preference, error) {
	p := &wire.Preference{
		Email:           tri(o.Bool("is_email_enabled", true)) == wire.Yes,
		Inbox:           tri(o.Bool("is_inbox_enabled", true)) == wire.Yes,
		Webhook:         tri(o.Bool("is_webhook_enabled", true)) == wire.Yes,
		SettingsVersion: int64(o.Integer("settings_version", versionMax)),
		ReadStatus:      tri(o.Bool("can_access_message_read_status", false)),
	}
	return p, bodyProblem(o.Err())
}

// service returns the service of the path, which must exist. What cannot be an id exists as
// little as one that nobody has.
func (c *call) service() (wire.ServiceID, error) {
	id := wire.ServiceID(c.R.PathValue("service_id"))
	if !id.Valid() {
		return "", refuse(problemMissing, "%s", c.Op.Missing)
	}
	_, err := c.api.relay.ServiceByID(c.R.Context(), id)
	if errors.Is(err, wire.NotFound) {
		return "", refuse(problemMissing, "%s", c.Op.Missing)
	}
	return id, err
}
