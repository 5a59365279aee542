package web

import (
	"slices"

	"github.com/staffetta/staffetta/wire"
)

// devicesPage lists the citizen's sessions, the newest first.
type devicesPage struct {
	*page
	List []wire.SessionView
}

func (c *call) devices() error {
	var got wire.SessionList
	ref := &wire.SessionRef{Token: c.token}
	if err := c.ask(wire.MethodListSessions, ref, &got); err != nil {
		return err
	}
	p := devicesPage{page: c.page("devices.title"), List: got.List}
	slices.Reverse(p.List)
	for i := range p.List {
		p.List[i].Device, p.List[i].Provider = plain(p.List[i].Device), plain(p.List[i].Provider)
	}
	if c.R.URL.Query().Get("done") == "ended" {
		p.Notice = c.lang.text("devices.ended")
	}
	return c.show("devices", p)
}

// endDevices ends one session, or all but the one of this browser, which has its own way out.
func (c *call) endDevices() error {
	form, err := c.form()
	if err != nil {
		return err
	}
	req := &wire.EndSessions{Token: c.token, KeepOwn: true}
	if form.Get("session") != "all" {
		var ok bool
		if req.ID, ok = wire.ParseSessionID(form.Get("session")); !ok {
			return errForm
		}
	}
	var ended wire.EndedSessions
	if err := c.ask(wire.MethodEndSessions, req, &ended); err != nil {
		return err
	}
	return redirect(pathDevices + "?done=ended")
}
