package virtual

import (
	"errors"
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

// TestDeletedStaysAway: what a citizen deleted does not come back by a retry of its sender, when the
// leader changes, or with a move.
func TestDeletedStaysAway(t *testing.T) {
	inScene(t, func(t *testing.T, s *scene) {
		code := s.citizens[3] // of sicilia
		rec := s.Message(code)
		send := func() {
			t.Helper()
			o, err := s.Submit(t.Context(), rec, Institution)
			if err != nil || o.ID != rec.ID || o.Verdict.Status != wire.Processed {
				t.Fatalf("the sender is told %+v, %v", o, err)
			}
		}
		gone := func(region wire.RegionID) {
			t.Helper()
			send()
			if page := s.list(t, region, code, wire.ListInbox{}); holds(&page, rec.ID) {
				t.Errorf("it is listed in %s", region)
			}
			err := s.CallRegion(t.Context(), region, wire.MethodGetInbox,
				&wire.GetInbox{Token: Token(code), ID: rec.ID}, new(wire.InboxMessage))
			if !errors.Is(err, wire.NotFound) {
				t.Errorf("it is read in %s: %v", region, err)
			}
		}
		send()
		for range 2 {
			err := s.CallRegion(t.Context(), "sicilia", wire.MethodDeleteMessage,
				&wire.DeleteMessage{Token: Token(code), ID: rec.ID}, nil)
			if err != nil {
				t.Fatal(err)
			}
		}
		gone("sicilia")
		leader := s.Leader("sicilia")
		leader.Crash()
		leader.Start()
		s.Leader("sicilia")
		gone("sicilia")
		s.mustOrder(t, code, "sicilia", "lazio")
		s.awaitMoved(code, "sicilia", "lazio", 2)
		gone("lazio")
	})
}
