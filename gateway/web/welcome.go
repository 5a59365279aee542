package web

import (
	"errors"
	"net/http"
	"time"

	"github.com/staffetta/staffetta/gateway/citizen"
	"github.com/staffetta/staffetta/gateway/session"
	"github.com/staffetta/staffetta/wire"
)

// welcome is the first page: what this is, and the ways to sign in.
type welcome struct {
	*page
	TestLogin bool
	Ways      ways
}

func (c *call) welcome() error {
	q := c.R.URL.Query()
	if c.region != "" && !q.Has("ended") && !q.Has("signed-out") {
		return redirect(pathInbox)
	}
	return c.showWelcome(http.StatusOK, "")
}

// showWelcome shows the first page; wrong is the text of why nobody could sign in.
func (c *call) showWelcome(status int, wrong string) error {
	w := welcome{page: c.page("welcome.title"), TestLogin: c.web.cfg.TestLogin,
		Ways: c.ways(pathInbox)}
	w.Index = true
	q := c.R.URL.Query()
	switch {
	case wrong != "":
		w.Faults = []fault{{"code", c.lang.text(wrong)}}
	case q.Has("ended"):
		w.Notice = c.lang.text("welcome.ended")
	case q.Has("signed-out"):
		w.Notice = c.lang.text("welcome.signed-out")
	}
	return c.write(status, "welcome", w)
}

// signIn is the test login: whoever knows the password is any of the test citizens. The session is
// new, and takes the place of whatever cookie the browser had.
func (c *call) signIn() error {
	if !c.web.cfg.TestLogin {
		return errAbsent
	}
	form, err := c.form()
	if err != nil {
		return err
	}
	token, err := c.web.cfg.Citizens.OpenTest(c.R.Context(), form.Get("code"), form.Get("password"),
		session.DeviceName(c.R))
	if errors.Is(err, citizen.ErrCredentials) {
		return c.showWelcome(http.StatusUnprocessableEntity, "welcome.test.refused")
	}
	if errors.Is(err, wire.Locked) {
		return c.showWelcome(http.StatusUnprocessableEntity, "login.locked")
	}
	if err != nil {
		return err
	}
	setCookie(c.W, token, time.Now().Add(c.web.cfg.Citizens.SessionTTL()))
	return redirect(pathInbox)
}
