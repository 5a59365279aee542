package virtual

import (
	"testing"

	"github.com/staffetta/staffetta/internal/synthetic"
	"github.com/staffetta/staffetta/wire"
)

// TestSpooledForWhoCameHome: a message waits in its sender's region, and its recipient moves there.
func TestSpooledForWhoCameHome(t *testing.T) {
	threeRegions(t, func(t *testing.T, s *scene) {
		s.Gateway = s.World.Gateway("lazio")
		c := synthetic.NewCitizens(13).Next().FiscalCode
		s.mustActivate(t, "sicilia", c)
		s.awaitKeys()
		s.lead("lombardia-1") // which hears both sides of the cut
		s.cut("lazio", "sicilia")
		s.spool(t, s.Gateway, c) // finds out that it is away
		id := s.spool(t, s.Gateway, c).ID
		for i, step := range [][2]wire.RegionID{{"sicilia", "lombardia"}, {"lombardia", "lazio"}} {
			(&scene{World: s.World, Gateway: s.World.Gateway("lombardia")}).mustOrder(t, c, step[0],
				step[1])
			s.awaitMoved(c, step[0], step[1], wire.Epoch(2+i))
		}
		if v := s.status(t, s.Gateway, c, id); v.Status != wire.Throttled {
			t.Errorf("while the first owner is away: %v", v)
		}
		s.Mend()
		s.AwaitEmptySpools()
		if v := s.status(t, s.Gateway, c, id); v.Status != wire.Processed {
			t.Errorf("relayed: %v", v)
		}
		s.Judge(&s.h)
	})
}
