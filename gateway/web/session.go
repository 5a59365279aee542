package web

import (
	"net/http"
	"time"

	"github.com/staffetta/staffetta/gateway/login"
	"github.com/staffetta/staffetta/wire"
)

// cookieName is the session's, which a login sets too: the prefix makes a browser insist on a
// secure origin, the whole host and no domain, so that no other host below the same domain can put
// one in its place.
const cookieName = login.SessionCookie

// cookieToken returns the token of the request's cookie, or nothing when there is not exactly one.
func cookieToken(r *http.Request) string {
	found := r.CookiesNamed(cookieName)
	if len(found) != 1 {
		return ""
	}
	return found[0].Value
}

// setCookie gives the browser a session until a time. An older cookie is overwritten: whatever
// token the browser came with does not outlive a login.
func setCookie(w http.ResponseWriter, token string, until time.Time) {
	http.SetCookie(w, &http.Cookie{Name: cookieName, Value: token, Path: "/", Expires: until,
		Secure: true, HttpOnly: true, SameSite: http.SameSiteLaxMode})
}

// clearCookie takes the session from the browser.
func clearCookie(w http.ResponseWriter) {
	http.SetCookie(w, &http.Cookie{Name: cookieName, Path: "/", MaxAge: -1,
		Secure: true, HttpOnly: true, SameSite: http.SameSiteLaxMode})
}

// signOut ends the session in its region, then in the browser, which is told to forget what it
// kept. While the region cannot be reached the session is not ended, and the page says so: whoever
// leaves a machine of others has to know.
func (c *call) signOut() error {
	err := c.ask(wire.MethodLogout, &wire.Logout{Token: c.token}, nil)
	if err != nil && wire.AsError(err).Code != wire.Unauthenticated {
		return err
	}
	clearCookie(c.W)
	c.W.Header().Set("Clear-Site-Data", `"cache", "storage"`)
	return redirect(pathWelcome + "?signed-out=1")
}
