package virtual

import (
	"testing"
	"time"

	"github.com/staffetta/staffetta/internal/synthetic"
	"github.com/staffetta/staffetta/node"
	"github.com/staffetta/staffetta/wire"
)

// TestRemainsAreErased: in time nothing of who moved away rests in the old owner's state.
func TestRemainsAreErased(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		w := NewAt(t, wire.Version, func(c *node.Config) { c.KeepMoved = time.Minute }, 3,
			"lazio", "sicilia")
		s := &scene{World: w, Gateway: w.Gateway("lazio")}
		c := synthetic.NewCitizens(1).Next().FiscalCode
		r := s.Hasher().Recipient(c)
		if err := s.Activate(t.Context(), "lazio", c); err != nil {
			t.Fatal(err)
		}
		for range 20 {
			if err := s.Send(t.Context(), &s.h, c); err != nil {
				t.Fatal(err)
			}
		}
		s.mustOrder(t, c, "lazio", "sicilia")
		s.awaitMoved(c, "lazio", "sicilia", 2)
		messages := func(region wire.RegionID) int {
			list, err := s.Leader(region).Node.Region().Messages(r)
			if err != nil {
				t.Fatal(err)
			}
			return len(list)
		}
		if n := messages("lazio"); n != 20 {
			t.Errorf("%d messages remain for a time, want 20", n)
		}
		time.Sleep(90 * time.Second)
		if n, kept := messages("lazio"), messages("sicilia"); n != 0 || kept != 20 {
			t.Errorf("%d messages remain, %d are at the owner; want 0, 20", n, kept)
		}
		if err := s.Send(t.Context(), &s.h, c); err != nil {
			t.Error(err)
		}
		s.Judge(&s.h)
	})
}
