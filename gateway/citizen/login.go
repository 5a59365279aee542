package citizen

import (
	"cmp"
	"crypto/sha256"
	"crypto/subtle"
	"errors"
	"strings"

	"github.com/staffetta/staffetta/gateway/identity"
	"github.com/staffetta/staffetta/gateway/lollipop"
	"github.com/staffetta/staffetta/gateway/session"
	"github.com/staffetta/staffetta/internal/fiscalcode"
	"github.com/staffetta/staffetta/internal/problem"
	"github.com/staffetta/staffetta/wire"
)

// tokenAnswer is the contract's AccessToken.
type tokenAnswer struct {
	Token string `json:"token"`
}

// testLogin opens a session for a listed citizen without an identity provider. The first login of
// a citizen claims the code for the home region.
func (c *call) testLogin() error {
	if c.api.cfg.TestLogin == nil {
		return refuse(problemMissing, "%s", c.Op.Missing)
	}
	o, err := c.opening()
	if err != nil {
		c.api.logins.Count(testKind, session.Refused)
		return err
	}
	token, err := c.api.regions.Open(c.R.Context(), c.api.relay, o)
	if errors.Is(err, session.ErrElsewhere) {
		err = refuse(problemOtherRegion, "%s", c.Op.Conflict)
	}
	c.api.countOpened(err)
	if err != nil {
		return err
	}
	return c.Answer(tokenAnswer{token})
}

// countOpened counts what became of a test login whose credentials were right.
func (a *API) countOpened(err error) {
	var refused problem.Problem
	switch {
	case err == nil:
		a.logins.Count(testKind, session.Opened)
	case errors.Is(err, wire.Locked), errors.As(err, &refused) && refused.Status < 500:
		a.logins.Count(testKind, session.Refused)
	default:
		a.logins.Count(testKind, session.Failed)
	}
}

// opening reads the body {username, password, home_region?, spid_level?, device?} and checks who it
// is, and the key that comes with it.
func (c *call) opening() (*session.Opening, error) {
	o, err := c.object()
	if err != nil {
		return nil, err
	}
	var code fiscalcode.Code
	o.Text("username", "FiscalCode", true, func(s string) bool {
		code, err = fiscalcode.ParseLogin(s)
		return err == nil
	})
	password := o.Text("password", "string", true, func(string) bool { return true })
	region := wire.RegionID(o.Text("home_region", "name of a region", false, func(s string) bool {
		return wire.RegionID(s).Valid()
	}))
	level := identity.Level2
	o.Text("spid_level", "SpidLevel", false, func(s string) (ok bool) {
		level, ok = identity.ParseLevelName(s)
		return ok
	})
	device := o.Text("device", "name of at most 128 bytes", false, func(s string) bool {
		return s != "" && session.CutDevice(s) == s
	})
	unlock := o.Text("unlock_code", "code of nine digits", false, session.ValidUnlockCode)
	if err := bodyProblem(o.Err()); err != nil {
		return nil, err
	}
	if !c.api.cfg.TestLogin.admits(code, password) {
		return nil, refuse(problemCredentials, "Unknown citizen, or wrong password.")
	}
	if _, ok := c.api.relay.RegionByID(region); !ok && region != "" {
		return nil, refuse(problemRegion, "This federation has no region %q.", region)
	}
	key, err := lollipop.FromLogin(c.R.Header)
	if err != nil {
		return nil, refuse(problemParameter, "The key of the device cannot be read: %s.",
			strings.TrimPrefix(err.Error(), "lollipop: "))
	}
	opening := c.api.opening(code)
	opening.Level, opening.Named = wire.Level(level), region
	opening.Device = cmp.Or(device, session.DeviceName(c.R))
	if opening.UnlockCode = unlock; unlock != "" {
		opening.Recipient = c.api.relay.Hasher().Recipient(code)
	}
	if key != nil {
		opening.Ref, opening.Key = key.Ref, key.JWK
	}
	return opening, nil
}

// admits reports whether a citizen may log in with a password.
func (l *TestLogin) admits(code fiscalcode.Code, password string) bool {
	_, listed := l.Codes[code]
	given, want := sha256.Sum256([]byte(password)), sha256.Sum256([]byte(l.Password))
	return subtle.ConstantTimeCompare(given[:], want[:]) == 1 && (listed || l.Any)
}

// opening is a session to open for a citizen of the test login.
func (a *API) opening(code fiscalcode.Code) *session.Opening {
	who := a.cfg.TestLogin.Codes[code].withNames()
	return &session.Opening{Code: code, Name: who.Name, FamilyName: who.FamilyName,
		Email: who.Email, DateOfBirth: who.DateOfBirth, Provider: testProvider,
		TTL: a.cfg.SessionTTL, One: a.cfg.OneSession}
}

// testProvider stands where a session has its identity provider, testKind where logins are counted.
const (
	testProvider = "test-login"
	testKind     = "test"
)
