package web

import (
	"embed"
	"net/http"
	"sync"

	"github.com/staffetta/staffetta/gateway/operation"
	"github.com/staffetta/staffetta/gateway/session"
	"github.com/staffetta/staffetta/internal/codec"
	"github.com/staffetta/staffetta/wire"
)

//go:embed assets templates text
var files embed.FS

// Web serves the pages. It keeps no state; its methods are safe for concurrent use.
type Web struct {
	// Set at construction.
	cfg     Config
	regions *session.Regions
	assets  *assets
	pages   pages
	origin  *http.CrossOriginProtection
	buffers sync.Pool // of *bytes.Buffer
}

// New makes the pages. It starts nothing.
func New(cfg Config) (*Web, error) {
	cfg, err := cfg.withDefaults()
	if err != nil {
		return nil, err
	}
	w := &Web{cfg: cfg, regions: cfg.Citizens.Regions(), origin: http.NewCrossOriginProtection()}
	if w.assets, err = newAssets(); err != nil {
		return nil, err
	}
	if w.pages, err = parsePages(); err != nil {
		return nil, err
	}
	return w, nil
}

// Register serves the pages on mux.
func (w *Web) Register(mux *http.ServeMux) {
	api := operation.API[*call]{Begin: w.begin, Admit: (*call).admit, Refuse: (*call).refuse}
	api.Register(mux, rows())
	w.assets.register(mux)
}

// call is one request, with the session of its cookie.
type call struct {
	operation.Call
	web     *Web
	lang    *lang
	token   wire.TokenHash // with a session
	region  wire.RegionID  // of the session; "": there is none
	profile wire.Profile   // where admit read it
}

func (w *Web) begin(c operation.Call) *call {
	setHeaders(c.W.Header())
	return &call{Call: c, web: w, lang: langOf(c.R, nil)}
}

// admit refuses forms of other origins, and finds the session where the page needs one. The profile
// is read with it: it says that the session is there, which language the page has, and whether the
// terms were accepted, without which there is nothing to show.
func (c *call) admit() error {
	if err := c.web.origin.Check(c.R); err != nil {
		return errOrigin
	}
	token := cookieToken(c.R)
	if region, ok := c.web.regions.Find(token); ok {
		c.token, c.region = session.Hash(token), region
	}
	if c.Op.By != operation.Session {
		return nil
	}
	switch {
	case c.web.cfg.Relay.Hasher() == nil:
		return wire.Errorf(wire.Unavailable, "the federation is not known yet")
	case c.region == "":
		return errSignedOut
	}
	ref := &wire.SessionRef{Token: c.token}
	if err := c.ask(wire.MethodGetProfile, ref, &c.profile); err != nil {
		return err
	}
	c.lang = langOf(c.R, &c.profile)
	if c.profile.AcceptedTos == 0 && c.Op.Path != pathTerms && c.Op.Path != pathSignOut {
		return redirect(pathTerms)
	}
	return nil
}

// ask calls the region of the session, and whereto the citizen moved from there.
func (c *call) ask(m wire.Method, req, resp codec.Message) error {
	return c.web.regions.Follow(c.R.Context(), &c.region, m, req, resp)
}

// What every page says of itself: whatever it holds comes from here, it is in nobody's frame, and
// its forms go nowhere else. Nobody may change the elements.
var (
	contentPolicy = []string{policyFor("'self'")}
	noStore       = []string{"no-store"}
	sameOrigin    = []string{"same-origin"}
	permitted     = []string{"camera=(), microphone=(), geolocation=(), payment=(), usb=()"}
	vary          = []string{"Cookie, Accept-Language"}
	// A referrer goes to our own pages only; with none at all, an older browser would not say either
	// that a form is ours.
	ownReferrer = []string{"same-origin"}
)

// policyFor is the policy of a page whose forms go to targets.
func policyFor(targets string) string {
	return "default-src 'none'; style-src 'self'; script-src 'self'; font-src 'self'; " +
		"img-src 'self'; form-action " + targets + "; frame-ancestors 'none'; base-uri 'none'"
}

func setHeaders(h http.Header) {
	h["Content-Security-Policy"] = contentPolicy
	h["Cache-Control"] = noStore
	h["Cross-Origin-Opener-Policy"] = sameOrigin
	h["Cross-Origin-Resource-Policy"] = sameOrigin
	h["Referrer-Policy"] = ownReferrer
	h["Permissions-Policy"] = permitted
	h["Vary"] = vary[:1:1]
}
