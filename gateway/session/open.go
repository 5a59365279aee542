package session

import (
	"context"
	"crypto/rand"
	"errors"
	"net/http"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/staffetta/staffetta/internal/backoff"
	"github.com/staffetta/staffetta/internal/fiscalcode"
	"github.com/staffetta/staffetta/internal/trail"
	"github.com/staffetta/staffetta/wire"
)

const (
	// openWait bounds a login: the first one claims the code, which takes a few rounds between three
	// groups. openPauseMin and openPauseMax bound the pause between tries.
	openWait     = 10 * time.Second
	openPauseMin = 50 * time.Millisecond
	openPauseMax = time.Second
)

// Directory says where a citizen logs in: a *route.Router.
type Directory interface {
	Home() wire.Region
	// RegionOf names the owner of a code: the region that claimed it, or its anchor.
	RegionOf(ctx context.Context, code fiscalcode.Code) (owner wire.RegionID, claimed bool,
		err error)
}

// Opening is a session to open: whose, and on whose word.
type Opening struct {
	Code        fiscalcode.Code
	Recipient   wire.Recipient // of the code; needed with an UnlockCode only
	Name        string
	FamilyName  string
	Email       string
	DateOfBirth string // YYYY-MM-DD
	Level       wire.Level
	Provider    string
	Device      string // see DeviceName
	// Ref and Key are the device's key, as package lollipop has them; empty without one.
	Ref, Key string
	// Named is the region that the citizen chose; empty: the owner's, or the gateway's own.
	Named wire.RegionID
	// UnlockCode opens the lock of a citizen whose level is below 3; empty: none was given.
	UnlockCode string
	TTL        time.Duration
	One        bool // it ends the citizen's other sessions
}

// ErrElsewhere refuses a login at a region that was named and is not the citizen's.
var ErrElsewhere = errors.New("session: the citizen belongs to another region")

// Open opens a session in the region that owns the code: named, or found. It follows the code where
// it moved, unless a region was named. Errors are ErrElsewhere or *wire.Error.
func (r *Regions) Open(ctx context.Context, d Directory, o *Opening) (token string, err error) {
	ctx, cancel := context.WithTimeout(ctx, openWait)
	defer cancel()
	region, err := homeOf(ctx, d, o)
	if err != nil {
		return "", err
	}
	var unlock *wire.UnlockAccess
	if o.UnlockCode != "" { // before any place is taken, and once: it is slow
		proof, err := Prove(ctx, o.UnlockCode, o.Recipient)
		if err != nil {
			return "", err
		}
		unlock = &wire.UnlockAccess{Recipient: o.Recipient, Proof: proof}
	}
	for way := trail.New(region, 0); ; {
		token, err := r.openIn(ctx, o, unlock, way.Region)
		step := way.Heard(err)
		if step == trail.Answered {
			return token, err
		}
		if o.Named != "" && wire.AsError(err).Region != o.Named {
			return "", ErrElsewhere
		}
		if _, known := r.relay.RegionByID(way.Region); step != trail.Named || !known {
			return "", errLost
		}
	}
}

// homeOf picks the region to log in at: the owner of a claimed code, else the named region, else
// the gateway's own. Without the directory the region asked decides, in its log.
func homeOf(ctx context.Context, d Directory, o *Opening) (wire.RegionID, error) {
	owner, claimed, err := d.RegionOf(ctx, o.Code)
	switch {
	case err == nil && claimed && o.Named != "" && o.Named != owner:
		return "", ErrElsewhere
	case err == nil && claimed:
		return owner, nil
	case o.Named != "":
		return o.Named, nil
	}
	return d.Home().ID, nil
}

// openIn opens a session in one region. It retries with the same bytes until the context ends: a
// login of the same token is the same login, however often it is applied. unlock comes before it,
// where it is not nil.
func (r *Regions) openIn(ctx context.Context, o *Opening, unlock *wire.UnlockAccess,
	id wire.RegionID) (string, error) {
	region, ok := r.relay.RegionByID(id)
	if !ok {
		return "", wire.Errorf(wire.Unavailable, "no region in the map")
	}
	leave, err := r.Enter(region.ID)
	if err != nil {
		return "", err
	}
	defer leave()
	token := Mint(region.Tag)
	if unlock != nil {
		err := r.relay.CallRegion(ctx, id, wire.MethodUnlockAccess, unlock, nil)
		if err != nil && !errors.Is(err, wire.NotFound) { // NotFound: the first login is to come
			return "", err
		}
	}
	ask := o.request(token, wire.TimeOf(time.Now()))
	for pauses := (backoff.Backoff{Min: openPauseMin, Max: openPauseMax}); ; {
		err := r.askToOpen(ctx, id, ask)
		// Conflict: the region that should be claiming the code lost its leader meanwhile.
		if err == nil || !wire.Retriable(err) && !errors.Is(err, wire.Conflict) {
			return token, err
		}
		if !pauses.Pause(ctx) {
			return "", wire.Errorf(wire.Unavailable, "login: %s", wire.AsError(err).Code)
		}
	}
}

func (o *Opening) request(token string, now wire.Time) *wire.OpenSession {
	ask := &wire.OpenSession{Email: o.Email, DateOfBirth: o.DateOfBirth, One: o.One,
		Session: wire.Session{Token: Hash(token), FiscalCode: o.Code, Name: o.Name,
			FamilyName: o.FamilyName, CreatedAt: now, ExpiresAt: now.Add(o.TTL), Level: o.Level,
			Device: o.Device, Provider: o.Provider, Ref: o.Ref, Key: o.Key}}
	rand.Read(ask.Session.ID[:]) // crypto/rand.Read never fails
	return ask
}

// askToOpen opens the session in the citizen's set, or, in a region whose log or program is of a
// version before sets, in the place of the one that there is.
func (r *Regions) askToOpen(ctx context.Context, id wire.RegionID, ask *wire.OpenSession) error {
	var opened wire.Session
	err := r.relay.CallRegion(ctx, id, wire.MethodOpenSession, ask, &opened)
	if !errors.Is(err, wire.UnknownKind) {
		return err
	}
	s := &ask.Session
	return r.relay.CallRegion(ctx, id, wire.MethodLogin, &wire.Login{Email: ask.Email,
		DateOfBirth: ask.DateOfBirth, Session: wire.Session{Token: s.Token,
			FiscalCode: s.FiscalCode, Name: s.Name, FamilyName: s.FamilyName,
			CreatedAt: s.CreatedAt, ExpiresAt: s.ExpiresAt}}, &opened)
}

// DeviceName is what a request says of the device that makes it, for its citizen to tell sessions
// apart.
func DeviceName(r *http.Request) string {
	return CutDevice(r.UserAgent())
}

// CutDevice cuts a name to what a region takes.
func CutDevice(s string) string {
	s = strings.ToValidUTF8(s, "")
	for len(s) > wire.DeviceBytesMax {
		_, n := utf8.DecodeLastRuneInString(s)
		s = s[:len(s)-n]
	}
	return strings.TrimSpace(s)
}
