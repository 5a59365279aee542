package virtual

import (
	"errors"
	"strings"
	"testing"

	"github.com/staffetta/staffetta/internal/synthetic"
	"github.com/staffetta/staffetta/wire"
)

// TestNewRegion: a region is added, founded by its first node, given citizens, and removed when it
// is empty again, not before.
func TestNewRegion(t *testing.T) {
	long(t)
	inScene(t, func(t *testing.T, s *scene) {
		put := &wire.MemberChange{PutRegion: &wire.RegionChange{ID: "umbria", Tag: 10}}
		s.MustChange(put)
		s.MustChange(put)
		for _, id := range []wire.NodeID{"umbria-1", "umbria-2", "umbria-3"} {
			s.Join("umbria", id)
		}
		s.AwaitVoters("region/umbria", "umbria-1", "umbria-2", "umbria-3")
		s.AwaitReady()
		c := synthetic.NewCitizens(99).Next().FiscalCode
		s.activate(t, "umbria", c)
		if err := s.Send(t.Context(), &s.h, c); err != nil {
			t.Errorf("a message to umbria: %v", err)
		}
		_, err := s.Change(&wire.MemberChange{RemoveRegion: "umbria"})
		if !errors.Is(err, wire.Conflict) || !strings.Contains(err.Error(), "has 3 nodes") {
			t.Errorf("removing a region with nodes: %v", err)
		}
		_, err = s.Change(&wire.MemberChange{PutRegion: &wire.RegionChange{ID: "umbria", Tag: 10,
			Closing: true}})
		if !errors.Is(err, wire.Conflict) || !strings.Contains(err.Error(), "owns the codes of 1") {
			t.Errorf("closing a region with a citizen: %v", err)
		}
		_, err = s.Change(&wire.MemberChange{PutRegion: &wire.RegionChange{ID: "lazio", Tag: 1,
			Closing: true}})
		if !errors.Is(err, wire.Conflict) || !strings.Contains(err.Error(), "anchor slots") {
			t.Errorf("closing a region with slots: %v", err)
		}
		if r, _ := s.Map().RegionByID("umbria"); r.Closing {
			t.Error("the region stays closing")
		}
	})
}

// TestEmptyRegionGoes: nodes and all.
func TestEmptyRegionGoes(t *testing.T) {
	inScene(t, func(t *testing.T, s *scene) {
		s.MustChange(&wire.MemberChange{PutRegion: &wire.RegionChange{ID: "umbria", Tag: 10}})
		n := s.Join("umbria", "umbria-1")
		others := []*Node{s.Join("umbria", "umbria-2"), s.Join("umbria", "umbria-3")}
		s.AwaitVoters("region/umbria", "umbria-1", "umbria-2", "umbria-3")
		s.AwaitReady()
		_, err := s.Change(&wire.MemberChange{RemoveRegion: "umbria"})
		if !errors.Is(err, wire.Conflict) || !strings.Contains(err.Error(), "3 nodes") {
			t.Errorf("removing a region with nodes: %v", err)
		}
		s.MustChange(&wire.MemberChange{PutRegion: &wire.RegionChange{ID: "umbria", Tag: 10,
			Closing: true}})
		for _, o := range others {
			s.MustChange(removal(o.ID))
			s.AwaitRemoved(o)
		}
		s.MustChange(removal("umbria-1"))
		s.AwaitRemoved(n)
		s.MustChange(&wire.MemberChange{RemoveRegion: "umbria"})
		s.MustChange(&wire.MemberChange{RemoveRegion: "umbria"})
		if _, there := s.Map().RegionByID("umbria"); there {
			t.Error("umbria is still on the map")
		}
	})
}

// TestLastNodeGoes: with a region's last node the region closes by itself.
func TestLastNodeGoes(t *testing.T) {
	inScene(t, func(t *testing.T, s *scene) {
		s.MustChange(&wire.MemberChange{PutRegion: &wire.RegionChange{ID: "umbria", Tag: 10}})
		n := s.Join("umbria", "umbria-1")
		s.AwaitVoters("region/umbria", "umbria-1")
		s.AwaitReady()
		c := removal("umbria-1")
		c.DryRun = true
		if _, err := s.Change(c); err != nil {
			t.Errorf("asked what would be: %v", err)
		}
		if r, _ := s.Map().RegionByID("umbria"); r.Closing {
			t.Error("the question closed the region")
		}
		s.MustChange(removal("umbria-1"))
		s.AwaitRemoved(n)
		if r, _ := s.Map().RegionByID("umbria"); !r.Closing {
			t.Error("the region is not closed")
		}
	})
}
