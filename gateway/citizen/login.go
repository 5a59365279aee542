package citizen

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"errors"
	"regexp"
	"strings"
	"time"

	"github.com/staffetta/staffetta/gateway/session"
	"github.com/staffetta/staffetta/internal/backoff"
	"github.com/staffetta/staffetta/internal/codec"
	"github.com/staffetta/staffetta/internal/fiscalcode"
	"github.com/staffetta/staffetta/internal/problem"
	"github.com/staffetta/staffetta/internal/trail"
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
	code, home, err := c.credentials()
	if err != nil {
		c.api.logins.WithLabelValues("refused").Inc()
		return err
	}
	ctx, cancel := context.WithTimeout(c.R.Context(), loginWait)
	defer cancel()
	token, err := c.open(ctx, code, home)
	var refused problem.Problem
	switch {
	case errors.As(err, &refused) && refused.Status < 500:
		c.api.logins.WithLabelValues("refused").Inc()
	case err != nil:
		c.api.logins.WithLabelValues("failed").Inc()
	default:
		c.api.logins.WithLabelValues("opened").Inc()
	}
	if err != nil {
		return err
	}
	return c.Answer(tokenAnswer{token})
}

// credentials reads the body {username, password, home_region?} and checks who it is. home is
// empty when the citizen names none.
func (c *call) credentials() (code fiscalcode.Code, home wire.RegionID, err error) {
	o, err := c.object()
	if err != nil {
		return "", "", err
	}
	o.Text("username", "FiscalCode", true, func(s string) bool {
		code, err = fiscalcode.ParseLogin(s)
		return err == nil
	})
	password := o.Text("password", "string", true, func(string) bool { return true })
	region := o.Text("home_region", "name of a region", false, func(s string) bool {
		return wire.RegionID(s).Valid()
	})
	if err := bodyProblem(o.Err()); err != nil {
		return "", "", err
	}
	login := c.api.cfg.TestLogin
	_, listed := login.Codes[code]
	given, want := sha256.Sum256([]byte(password)), sha256.Sum256([]byte(login.Password))
	if subtle.ConstantTimeCompare(given[:], want[:]) != 1 || !listed && !login.Any {
		return "", "", refuse(problemCredentials, "Unknown citizen, or wrong password.")
	}
	if _, ok := c.api.relay.RegionByID(wire.RegionID(region)); !ok && region != "" {
		return "", "", refuse(problemRegion, "This federation has no region %q.", region)
	}
	return code, wire.RegionID(region), nil
}

// open opens a session in the region that owns the code: named, or found. It follows the code
// where it moved, unless a region was named.
func (c *call) open(ctx context.Context, code fiscalcode.Code, named wire.RegionID) (string,
	error) {
	region, err := c.homeOf(ctx, code, named)
	if err != nil {
		return "", err
	}
	for way := trail.New(region, 0); ; {
		token, err := c.api.openIn(ctx, code, way.Region)
		step := way.Heard(err)
		if step == trail.Answered {
			return token, err
		}
		if named != "" && wire.AsError(err).Region != named {
			return "", refuse(problemOtherRegion, "%s", c.Op.Conflict)
		}
		if _, known := c.api.relay.RegionByID(way.Region); step != trail.Named || !known {
			return "", refuse(problemUnavailable, "The citizen's region could not be found.")
		}
	}
}

// homeOf picks the region to log in at: the owner of a claimed code, else the named region, else
// the gateway's own. Without the directory the region asked decides, in its log.
func (c *call) homeOf(ctx context.Context, code fiscalcode.Code,
	named wire.RegionID) (wire.RegionID, error) {
	owner, claimed, err := c.api.relay.RegionOf(ctx, code)
	switch {
	case err == nil && claimed && named != "" && named != owner:
		return "", refuse(problemOtherRegion, "%s", c.Op.Conflict)
	case err == nil && claimed:
		return owner, nil
	case named != "":
		return named, nil
	}
	return c.api.relay.Home().ID, nil
}

// openIn opens a session in one region. It retries with the same bytes until the context ends: a
// login of the same token is the same login, however often it is applied.
func (a *API) openIn(ctx context.Context, code fiscalcode.Code, id wire.RegionID) (string, error) {
	region, ok := a.relay.RegionByID(id)
	if !ok {
		return "", wire.Errorf(wire.Unavailable, "no region in the map")
	}
	leave, err := a.regions.Enter(region.ID)
	if err != nil {
		return "", err
	}
	defer leave()
	token, now := session.Mint(region.Tag), wire.TimeOf(time.Now())
	who := a.cfg.TestLogin.Codes[code].withNames()
	login := &wire.Login{
		Session: wire.Session{Token: session.Hash(token), FiscalCode: code, Name: who.Name,
			FamilyName: who.FamilyName, CreatedAt: now, ExpiresAt: now.Add(a.cfg.SessionTTL)},
		Email: who.Email, DateOfBirth: who.DateOfBirth,
	}
	for pauses := (backoff.Backoff{Min: loginPauseMin, Max: loginPauseMax}); ; {
		var opened wire.Session
		err := a.relay.CallRegion(ctx, id, wire.MethodLogin, login, &opened)
		// Conflict: the region that should be claiming the code lost its leader meanwhile.
		if err == nil || !wire.Retriable(err) && !errors.Is(err, wire.Conflict) {
			return token, err
		}
		if !pauses.Pause(ctx) {
			return "", wire.Errorf(wire.Unavailable, "login: %s", wire.AsError(err).Code)
		}
	}
}

// The one level that a session can have: test logins count as SPID level 2, as in the contract.
const spidLevel = "https://www.spid.gov.it/SpidL2"

// publicSession is the contract's PublicSession without the tokens of services that are not here.
type publicSession struct {
	SpidLevel      string `json:"spidLevel,omitzero"`
	ExpirationDate string `json:"expirationDate,omitzero"`
}

// fieldsPattern is the contract's list of fields: names in parentheses.
var fieldsPattern = regexp.MustCompile(`^\(([a-zA-Z]{1,32}(,[a-zA-Z]{1,32}){0,31})?\)$`)

// session tells a citizen's client about its session: everything, or the fields that it names.
// A name that is not known here is one that has no value here.
func (c *call) session() error {
	names := map[string]bool{"spidLevel": true, "expirationDate": true}
	q, err := query(c.R)
	if err != nil {
		return err
	}
	if fields, ok, err := q.one("fields"); err != nil {
		return err
	} else if ok {
		if !fieldsPattern.MatchString(fields) {
			return refuse(problemParameter,
				"value at fields is not a valid [list of names in parentheses]")
		}
		clear(names)
		for _, name := range strings.Split(strings.Trim(fields, "()"), ",") {
			names[name] = true
		}
	}
	var s wire.Session
	if err := c.ask(wire.MethodGetSession, &wire.SessionRef{Token: c.token}, &s); err != nil {
		return err
	}
	var answer publicSession
	if names["spidLevel"] {
		answer.SpidLevel = spidLevel
	}
	if names["expirationDate"] {
		answer.ExpirationDate = s.ExpiresAt.String()
	}
	return c.Answer(answer)
}

// success is the contract's SuccessResponse.
type success struct {
	Message string `json:"message"`
}

// logout ends the session. The region would accept the end of a session that does not exist; the
// contract wants 401 for it, so it is looked up first.
func (c *call) logout() error {
	var s wire.Session
	if err := c.ask(wire.MethodGetSession, &wire.SessionRef{Token: c.token}, &s); err != nil {
		return err
	}
	err := c.ask(wire.MethodLogout, &wire.Logout{Token: c.token}, &empty{})
	if err != nil {
		return err
	}
	return c.Answer(success{"ok"})
}

// empty is the answer of a call that answers nothing.
type empty struct{}

// Fields declares the message.
func (*empty) Fields(*codec.Codec) {}
