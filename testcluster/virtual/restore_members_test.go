package virtual

import (
	"testing"
	"time"

	"github.com/staffetta/staffetta/internal/synthetic"
)

// TestRestoredMapRemovesNobody restores the federation from a copy that is older than a node: that
// the map does not name it does not say that anybody removed it. It keeps its vote and its data.
func TestRestoredMapRemovesNobody(t *testing.T) {
	long(t)
	threeRegions(t, func(t *testing.T, s *scene) {
		c := newCopies(t, s.World)
		c.take(t, "federation")
		young := s.Join("lazio", "lazio-4")
		s.AwaitVoters("region/lazio", "lazio-1", "lazio-2", "lazio-3", "lazio-4")
		s.AwaitReady()
		for _, n := range s.Nodes("") {
			n.Stop()
		}
		s.loseFederation(t)
		for _, n := range s.Nodes("") {
			c.restore(t, n, "federation", "lombardia-1", 1, false)
		}
		for _, n := range s.Nodes("") {
			n.Start()
		}
		s.Await("every region has reported", func() bool {
			awaited, err := s.Nodes("")[0].Node.Federation().Awaited()
			return err == nil && len(awaited) == 0 && s.Map().Version > 0
		})
		time.Sleep(30 * time.Second)
		if _, there := s.Map().Node("lazio-4"); there {
			t.Fatal("the copy knows lazio-4: the test proves nothing")
		}
		s.AwaitVoters("region/lazio", "lazio-1", "lazio-2", "lazio-3", "lazio-4")
		select {
		case err := <-young.done:
			t.Errorf("lazio-4 ended: %v", err)
			young.done <- err
		default:
		}
		s.mustActivate(t, "lazio", s.stranger(synthetic.NewCitizens(8), "lazio"))
		// An operator can still say so.
		for _, dry := range []bool{true, false, false} {
			c := removal("lazio-4")
			c.DryRun = dry
			s.MustChange(c)
		}
		s.AwaitVoters("region/lazio", "lazio-1", "lazio-2", "lazio-3")
	})
}
