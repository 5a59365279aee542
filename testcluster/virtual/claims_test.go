package virtual

import (
	"context"
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
