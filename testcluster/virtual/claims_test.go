package virtual

import (
	"context"
	"errors"
	"sync"
	"testing"
	"time"

	"github.com/staffetta/staffetta/internal/fiscalcode"
	"github.com/staffetta/staffetta/internal/synthetic"
	"github.com/staffetta/staffetta/wire"
)

// anchored invents n codes that nobody claimed and that the region anchors.
func (s *scene) anchored(seed uint64, region wire.RegionID, n int) (list []fiscalcode.Code) {
	invent := synthetic.NewCitizens(seed)
	for len(list) < n {
		c := invent.Next().FiscalCode
		if s.found.Anchor(s.Hasher().Recipient(c).Slot()) == region {
			list = append(list, c)
		}
	}
	return list
}

// TestAnchorAway makes more first logins than one round of claims holds of codes whose anchor is
// away. Those wait; first logins of other codes, and activations, do not wait for them.
func TestAnchorAway(t *testing.T) {
	inScene(t, func(t *testing.T, s *scene) {
		s.Island("sicilia")
		s.Await("the federation has a leader outside the island", func() bool {
			for _, n := range s.Nodes("lazio") {
				if n.Status("federation").Role == "leader" {
					return n.Node.Health().Degraded == nil
				}
			}
			return false
		})
		time.Sleep(5 * time.Second) // leaders inside the island have stepped down
		waiting := s.anchored(31, "sicilia", 300)
		var logins sync.WaitGroup
		for _, c := range waiting {
			logins.Go(func() {
				ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
				defer cancel()
				if err := s.Login(ctx, "lazio", c); err == nil {
					t.Error("a code was claimed without its anchor")
				}
			})
		}
		logins.Wait()
		for _, c := range s.anchored(32, "lazio", 5) {
			ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
			if err := s.Activate(ctx, "lazio", c); err != nil {
				t.Errorf("first login of a code whose anchor is there: %v", err)
			}
			cancel()
			s.citizens = append(s.citizens, c)
			if err := s.Send(t.Context(), &s.h, c); err != nil {
				t.Errorf("a message to the citizen who just activated: %v", err)
			}
		}
		s.Mend()
		s.AwaitReady()
		for _, c := range waiting {
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			if err := s.Login(ctx, "lazio", c); err != nil {
				t.Errorf("after the anchor is back: %v", err)
			}
			cancel()
		}
	})
}

// TestNothingIsLoggedOfOthers: a login or a change that comes to a region which gave the code up,
// as its anchor or to a move, or never knew the session, is answered and not logged.
func TestNothingIsLoggedOfOthers(t *testing.T) {
	inScene(t, func(t *testing.T, s *scene) {
		c, stranger := s.anchored(41, "sicilia", 1)[0], s.citizens[6]
		if err := s.Activate(t.Context(), "lazio", c); err != nil {
			t.Fatal(err)
		}
		moved := s.citizens[3]
		s.mustOrder(t, moved, "sicilia", "lazio")
		s.awaitMoved(moved, "sicilia", "lazio", 2)
		time.Sleep(5 * time.Second)
		logged := func() uint64 { return s.Leader("sicilia").Status("region").LastIndex }
		before := logged()
		for what, call := range map[string]struct {
			do   func(context.Context, fiscalcode.Code) error
			code fiscalcode.Code
			want wire.Code
		}{
			"login where the anchor is":      {s.loginAt("sicilia"), c, wire.Moved},
			"login of who moved":             {s.loginAt("sicilia"), moved, wire.Moved},
			"profile of who moved":           {s.profileAt("sicilia"), moved, wire.Moved},
			"profile of who is unknown here": {s.profileAt("sicilia"), stranger, wire.Unauthenticated},
		} {
			ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
			if err := call.do(ctx, call.code); !errors.Is(err, call.want) {
				t.Errorf("%s: %v, want %v", what, err, call.want)
			}
			cancel()
		}
		if after := logged(); after != before {
			t.Errorf("the log went from entry %d to %d", before, after)
		}
	})
}

func (s *scene) loginAt(r wire.RegionID) func(context.Context, fiscalcode.Code) error {
	return func(ctx context.Context, c fiscalcode.Code) error { return s.Login(ctx, r, c) }
}

func (s *scene) profileAt(r wire.RegionID) func(context.Context, fiscalcode.Code) error {
	return func(ctx context.Context, c fiscalcode.Code) error {
		return s.SetProfile(ctx, r, c, wire.ProfileUpdate{Version: 1})
	}
}
