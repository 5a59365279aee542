package citizen

import (
	"context"
	"errors"

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
func (a *API) getPreference(ctx context.Context, c *call) (any, error) {
	service, err := a.service(ctx, c)
	if err != nil {
		return nil, err
	}
	var p wire.Preference
	req := &wire.GetPreference{Token: c.token, Service: service}
	if err := c.ask(ctx, wire.MethodGetPreference, req, &p); err != nil {
		return nil, err
	}
	return preferenceOf(&p), nil
}

// setPreference stores what the citizen wants of a service, under the settings version that the
// citizen has seen.
func (a *API) setPreference(ctx context.Context, c *call) (any, error) {
	o, err := c.object()
	if err != nil {
		return nil, err
	}
	p, err := parsePreference(o)
	if err != nil {
		return nil, err
	}
	if p.Service, err = a.service(ctx, c); err != nil {
		return nil, err
	}
	var stored wire.Preference
	req := &wire.SetPreference{Token: c.token, Preference: *p}
	if err := c.ask(ctx, wire.MethodSetPreference, req, &stored); err != nil {
		return nil, err
	}
	return preferenceOf(&stored), nil
}

func parsePreference(o *object) (*wire.Preference, error) {
	p := &wire.Preference{
		Email:           o.boolean("is_email_enabled", true) == wire.Yes,
		Inbox:           o.boolean("is_inbox_enabled", true) == wire.Yes,
		Webhook:         o.boolean("is_webhook_enabled", true) == wire.Yes,
		SettingsVersion: o.integer("settings_version"),
		ReadStatus:      o.boolean("can_access_message_read_status", false),
	}
	return p, o.err()
}

// service returns the service of the path, which must exist. What can not be an id exists as
// little as one that nobody has.
func (a *API) service(ctx context.Context, c *call) (wire.ServiceID, error) {
	id := wire.ServiceID(c.r.PathValue("service_id"))
	if !id.Valid() {
		return "", refuse(problemMissing, "%s", opGetPreference.missing)
	}
	_, err := a.relay.ServiceByID(ctx, id)
	if errors.Is(err, wire.NotFound) {
		return "", refuse(problemMissing, "%s", opGetPreference.missing)
	}
	return id, err
}
