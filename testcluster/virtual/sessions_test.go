package virtual

import (
	"crypto/sha256"
	"errors"
	"testing"
	"time"

	"github.com/staffetta/staffetta/internal/fiscalcode"
	"github.com/staffetta/staffetta/wire"
)

// opening is a session of a citizen's set, of a device.
func opening(code fiscalcode.Code, device string) *wire.OpenSession {
	now := wire.TimeOf(time.Now())
	token := sha256.Sum256([]byte("session of " + string(code) + " on " + device))
	return &wire.OpenSession{Session: wire.Session{Token: token, ID: wire.SessionID(token[:16]),
		FiscalCode: code, Level: wire.Level2, Device: device, CreatedAt: now,
		ExpiresAt: now.Add(30 * 24 * time.Hour)}}
}

// TestSessionsEndEverywhere: what has ended at one gateway is refused by another at once, follows
// no move, survives no crash of a leader, and no late copy of its login opens it again.
func TestSessionsEndEverywhere(t *testing.T) {
	inScene(t, func(t *testing.T, s *scene) {
		here, there := s.Gateway, s.World.Gateway("sicilia")
		code := s.citizens[0] // of lazio
		var list []*wire.OpenSession
		for _, device := range []string{"telefono", "tavoletta", "portatile"} {
			o := opening(code, device)
			err := here.CallRegion(t.Context(), "lazio", wire.MethodOpenSession, o,
				new(wire.Session))
			if err != nil {
				t.Fatal(err)
			}
			list = append(list, o)
		}
		state := func(g *Gateway, region wire.RegionID, o *wire.OpenSession) error {
			return g.CallRegion(t.Context(), region, wire.MethodGetSession,
				&wire.SessionRef{Token: o.Session.Token}, new(wire.Session))
		}
		wantEnded := func(when string, region wire.RegionID, ended, alive []*wire.OpenSession) {
			t.Helper()
			for _, g := range []*Gateway{here, there} {
				for _, o := range ended {
					if err := state(g, region, o); !errors.Is(err, wire.Unauthenticated) {
						t.Errorf("%s: %s has ended: %v", when, o.Session.Device, err)
					}
				}
				for _, o := range alive {
					if err := state(g, region, o); err != nil {
						t.Errorf("%s: %s: %v", when, o.Session.Device, err)
					}
				}
			}
		}
		wantEnded("opened", "lazio", nil, list)
		err := there.CallRegion(t.Context(), "lazio", wire.MethodEndSessions,
			&wire.EndSessions{Token: list[1].Session.Token, ID: list[0].Session.ID},
			new(wire.EndedSessions))
		if err != nil {
			t.Fatal(err)
		}
		wantEnded("one ended", "lazio", list[:1], list[1:])
		leader := s.Leader("lazio")
		leader.Crash()
		s.Await("another leader answers", func() bool { return state(here, "lazio", list[1]) == nil })
		wantEnded("after a crash", "lazio", list[:1], list[1:])
		leader.Start()
		err = here.CallRegion(t.Context(), "lazio", wire.MethodLogout,
			&wire.Logout{Token: list[1].Session.Token}, nil)
		if err != nil {
			t.Fatal(err)
		}
		s.mustOrder(t, code, "lazio", "sicilia")
		r := s.Hasher().Recipient(code)
		s.Await("the citizen is there", func() bool {
			return s.stage(r, "lazio", "sicilia", 2) >= arrived
		})
		s.Await("the new owner answers", func() bool { return state(there, "sicilia", list[2]) == nil })
		wantEnded("after a move", "sicilia", list[:2], list[2:])
		for _, o := range list[1:] {
			if err := state(here, "lazio", o); !errors.Is(err, wire.Moved) {
				t.Errorf("%s does not lead to where its citizen went: %v", o.Session.Device, err)
			}
		}
		err = there.CallRegion(t.Context(), "lazio", wire.MethodOpenSession, list[0],
			new(wire.Session))
		if !errors.Is(err, wire.Moved) {
			t.Errorf("a late copy of a login: %v", err)
		}
	})
}
