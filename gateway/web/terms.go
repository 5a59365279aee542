package web

import (
	"net/http"

	"github.com/staffetta/staffetta/wire"
)

// termsVersion is the version of the terms that the page shows. Accepting them is the activation:
// from then on the citizen can be written to.
const termsVersion = 1

// terms shows the terms, what they mean, and the choice of what to receive.
func (c *call) terms() error { return c.showTerms(http.StatusOK, nil) }

type termsPage struct {
	*page
	Version uint64 // of the profile
	Given   bool
}

func (c *call) showTerms(status int, faults []fault) error {
	p := termsPage{page: c.page("terms.title"), Version: c.profile.Version,
		Given: c.profile.AcceptedTos != 0}
	p.Faults = faults
	return c.write(status, "terms", p)
}

// acceptTerms accepts them, with the choice that was made: nothing is chosen for anybody.
func (c *call) acceptTerms() error {
	form, err := c.form()
	if err != nil {
		return err
	}
	if c.profile.AcceptedTos != 0 {
		return redirect(pathInbox) // accepted meanwhile, as by another tab
	}
	update := c.update()
	update.AcceptedTos, update.SetMode = termsVersion, true
	var faults []fault
	switch form.Get("mode") {
	case "auto":
		update.Mode = wire.Auto
	case "manual":
		update.Mode = wire.Manual
	default:
		faults = append(faults, fault{"mode-auto", c.lang.text("terms.mode.missing")})
	}
	if form.Get("accept") != "yes" {
		faults = append(faults, fault{"accept", c.lang.text("terms.accept.missing")})
	}
	if faults != nil {
		return c.showTerms(http.StatusUnprocessableEntity, faults)
	}
	var p wire.Profile
	req := &wire.SetProfile{Token: c.token, Update: update}
	if err := c.ask(wire.MethodSetProfile, req, &p); err != nil {
		return err
	}
	return redirect(pathInbox + "?welcome=1")
}
