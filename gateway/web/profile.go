package web

import (
	"net/http"
	"slices"

	"github.com/staffetta/staffetta/wire"
)

// profilePage is what a citizen is known by and has chosen.
type profilePage struct {
	*page
	Profile wire.Profile
	Auto    bool
	Manual  bool
	Chosen  string // the language of the profile; "": none of ours
	Home    string
	Moving  string // the region of a move that is under way
	Regions []wire.RegionID
}

func (c *call) showProfile() error {
	return c.profilePage(http.StatusOK, nil)
}

func (c *call) profilePage(status int, faults []fault) error {
	var move wire.Move
	if err := c.ask(wire.MethodGetMove, &wire.MoveRef{Token: c.token}, &move); err != nil {
		return err
	}
	p := profilePage{page: c.page("profile.title"), Profile: c.profile,
		Auto: c.profile.Mode == wire.Auto, Manual: c.profile.Mode == wire.Manual,
		Chosen: profileLang(&c.profile), Home: string(move.Region)}
	if move.State != wire.MoveNone {
		p.Moving = string(move.To)
	}
	for _, region := range c.web.cfg.Relay.Regions() {
		if region.ID != move.Region {
			p.Regions = append(p.Regions, region.ID)
		}
	}
	slices.Sort(p.Regions)
	p.Faults = faults
	switch c.R.URL.Query().Get("done") {
	case "saved":
		p.Notice = c.lang.text("profile.saved")
	case "moving":
		p.Notice = c.lang.text("profile.moving")
	}
	return c.write(status, "profile", p)
}

func profileLang(p *wire.Profile) string {
	for _, l := range langs {
		if len(p.Languages) > 0 && p.Languages[0] == l.Profile {
			return l.Code
		}
	}
	return ""
}

// update is a change of the profile that leaves everything as it is: what the contract takes away
// where it is not said again is said again.
func (c *call) update() wire.ProfileUpdate {
	return wire.ProfileUpdate{Version: c.profile.Version, Reminder: c.profile.Reminder,
		PushContent: c.profile.PushContent, LastAppVersion: c.profile.LastAppVersion}
}

// saveProfile changes what the form has. The profile's version goes along in the form: what was
// changed elsewhere since the page was shown is not overwritten.
func (c *call) saveProfile() error {
	form, err := c.form()
	if err != nil {
		return err
	}
	u := c.update()
	if !versionOf(form.Get("version"), &u.Version) {
		return errForm
	}
	u.Inbox = wire.TriOf(form.Get("inbox") == "yes")
	switch form.Get("mode") {
	case "auto":
		u.SetMode, u.Mode = true, wire.Auto
	case "manual":
		u.SetMode, u.Mode = true, wire.Manual
	default:
		return c.profilePage(http.StatusUnprocessableEntity,
			[]fault{{"mode-auto", c.lang.text("terms.mode.missing")}})
	}
	if l, ok := langNamed(form.Get("language")); ok {
		u.SetLanguages, u.Languages = true, []string{l.Profile}
	}
	var stored wire.Profile
	req := &wire.SetProfile{Token: c.token, Update: u}
	if err := c.ask(wire.MethodSetProfile, req, &stored); err != nil {
		return err
	}
	if u.SetLanguages { // the choice of this browser is the same from now on
		l, _ := langNamed(form.Get("language"))
		setLangCookie(c.W, l)
	}
	return redirect(pathProfile + "?done=saved")
}

// moveHome begins the move to another region. It is asked for with a second control, since it hands
// over everything that the citizen has.
func (c *call) moveHome() error {
	form, err := c.form()
	if err != nil {
		return err
	}
	to := wire.RegionID(form.Get("region"))
	_, known := c.web.cfg.Relay.RegionByID(to)
	switch {
	case !to.Valid() || !known:
		return c.profilePage(http.StatusUnprocessableEntity,
			[]fault{{"region", c.lang.text("profile.region.missing")}})
	case form.Get("sure") != "yes":
		return c.profilePage(http.StatusUnprocessableEntity,
			[]fault{{"sure", c.lang.text("profile.region.sure.missing")}})
	}
	var move wire.Move
	req := &wire.MoveIntent{Token: c.token, To: to}
	if err := c.ask(wire.MethodMove, req, &move); err != nil {
		return err
	}
	return redirect(pathProfile + "?done=moving")
}
