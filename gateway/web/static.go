package web

import "github.com/staffetta/staffetta/wire"

// static serves a page that says the same to everybody. Its menu is that of who is signed in, if
// the region says so; if not, or if it cannot be asked, the page is there all the same.
func static(name string) func(*call) error {
	return func(c *call) error {
		if c.region != "" && c.web.cfg.Relay.Hasher() != nil {
			ref := &wire.SessionRef{Token: c.token}
			if c.ask(wire.MethodGetProfile, ref, &c.profile) == nil {
				c.lang = langOf(c.R, &c.profile)
			}
		}
		p := c.page(name + ".title")
		p.Index = true
		return c.show(name, p)
	}
}
