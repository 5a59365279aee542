package virtual

import (
	"testing"
	"time"

	"github.com/staffetta/staffetta/internal/fiscalcode"
	"github.com/staffetta/staffetta/wire"
)

// list asks for a page of a citizen's inbox.
func (s *scene) list(t *testing.T, region wire.RegionID, code fiscalcode.Code, q wire.ListInbox) (
	page wire.InboxPage) {
	t.Helper()
	q.Token, q.Size = Token(code), 12
	err := s.CallRegion(t.Context(), region, wire.MethodListInbox, &q, &page)
	if err != nil {
		t.Fatal(err)
	}
	return page
}

// TestRefreshShowsWhatWasSpooled: a message that waited in a spool arrives with an id that is older
// than what its citizen has seen. Whoever asks for newer ids misses it; whoever asks for what
// arrived is shown it.
func TestRefreshShowsWhatWasSpooled(t *testing.T) {
	inScene(t, func(t *testing.T, s *scene) {
		s.awaitKeys()
		code := s.citizens[3] // of sicilia
		for _, outage := range []time.Duration{3 * time.Second, 5 * time.Second} {
			s.Island("sicilia")
			s.spool(t, s.Gateway, code) // finds out that it is away
			waits := s.spool(t, s.Gateway, code)
			time.Sleep(outage)
			s.Mend()
			here := s.World.Gateway("sicilia")
			if err := here.Send(t.Context(), &s.h, code); err != nil {
				t.Fatal(err)
			}
			seen := s.list(t, "sicilia", code, wire.ListInbox{})
			s.AwaitEmptySpools()
			if err := here.Send(t.Context(), &s.h, code); err != nil {
				t.Fatal(err)
			}
			if seen.Arrived.IsZero() {
				t.Fatal("a page without a place in the order of arrivals")
			}
			byID := s.list(t, "sicilia", code, wire.ListInbox{After: seen.Items[0].ID})
			if holds(&byID, waits.ID) {
				t.Error("the spooled message has the newest id: the test is wrong")
			}
			if page := s.list(t, "sicilia", code, wire.ListInbox{Arrived: seen.Arrived}); !holds(&page,
				waits.ID) && !holds(&seen, waits.ID) {
				t.Errorf("away for %v: what was spooled is not among the %d that arrived", outage,
					len(page.Items))
			}
		}
	})
}

func holds(p *wire.InboxPage, id wire.MessageID) bool {
	for i := range p.Items {
		if p.Items[i].ID == id {
			return true
		}
	}
	return false
}
