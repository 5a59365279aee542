package virtual

import "testing"

// TestAbsentNodeHoldsNobodyUp: a node that is on the map and never came to life keeps nobody else
// from following, voting and leaving, in its region's group and in the federation's.
func TestAbsentNodeHoldsNobodyUp(t *testing.T) {
	inScene(t, func(t *testing.T, s *scene) {
		token := s.admitted(t, "lazio", "lazio-4")
		absent := s.Machine(token)
		if err := absent.Enrol(t.Context(), token, 0); err != nil {
			t.Fatal(err)
		}
		if _, there := s.Map().Node("lazio-4"); !there {
			t.Fatal("lazio-4 is not on the map")
		}
		s.Join("lazio", "lazio-5")
		s.AwaitVoters("region/lazio", "lazio-1", "lazio-2", "lazio-3", "lazio-5")
		n := s.node(t, "lazio-2")
		s.MustChange(removal(n.ID))
		s.AwaitRemoved(n)
		s.AwaitVoters("region/lazio", "lazio-1", "lazio-3", "lazio-5")
		s.nodes = append(s.nodes, absent) // and it is taken in once it lives
		absent.Start()
		s.AwaitVoters("region/lazio", "lazio-1", "lazio-3", "lazio-4", "lazio-5")
	})
}
