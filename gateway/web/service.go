package web

import (
	"errors"
	"strconv"

	"github.com/staffetta/staffetta/wire"
)

// servicePage is what a citizen receives of one service.
type servicePage struct {
	*page
	Sender sender
	wire.Preference
	ReadTold bool // the service may learn what was read
	Legacy   bool // the profile knows no such choice
}

func (c *call) senderNamed() (sender, error) {
	id := wire.ServiceID(c.R.PathValue("id"))
	if !id.Valid() {
		return sender{}, errAbsent
	}
	s, err := c.web.cfg.Relay.ServiceByID(c.R.Context(), id)
	if err != nil {
		return sender{}, err
	}
	return sender{id, plain(s.Service.Name), plain(s.Institution.Name)}, nil
}

// service shows what is received of a service. A profile of the oldest mode has no such choice: the
// page leads to where the mode is chosen.
func (c *call) service() error {
	from, err := c.senderNamed()
	if err != nil {
		return err
	}
	p := servicePage{page: c.page("service.title"), Sender: from}
	req := &wire.GetPreference{Token: c.token, Service: from.Service}
	err = c.ask(wire.MethodGetPreference, req, &p.Preference)
	if p.Legacy = errors.Is(err, wire.Conflict); err != nil && !p.Legacy {
		return err
	}
	p.ReadTold = p.ReadStatus != wire.No
	if c.R.URL.Query().Get("done") == "saved" {
		p.Notice = c.lang.text("service.saved")
	}
	return c.show("service", p)
}

// saveService stores the choice under the settings version that the citizen has seen.
func (c *call) saveService() error {
	from, err := c.senderNamed()
	if err != nil {
		return err
	}
	form, err := c.form()
	if err != nil {
		return err
	}
	var version uint64
	if !versionOf(form.Get("version"), &version) {
		return errForm
	}
	yes := func(name string) bool { return form.Get(name) == "yes" }
	p := wire.Preference{Service: from.Service, SettingsVersion: int64(version), Inbox: yes("inbox"),
		Email: yes("email"), Webhook: yes("webhook"), ReadStatus: wire.TriOf(yes("read"))}
	var stored wire.Preference
	req := &wire.SetPreference{Token: c.token, Preference: p}
	if err := c.ask(wire.MethodSetPreference, req, &stored); err != nil {
		return err
	}
	return redirect("/services/" + string(from.Service) + "?done=saved")
}

// versionMax is the largest integer that every client keeps exact.
const versionMax = 1<<53 - 1

// versionOf reads a version that a form carries along.
func versionOf(s string, to *uint64) bool {
	n, err := strconv.ParseUint(s, 10, 64)
	*to = n
	return err == nil && n <= versionMax
}
