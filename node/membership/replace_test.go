package membership

import (
	"testing"

	"github.com/staffetta/staffetta/wire"
)

// TestLeavesVoters: a region of two is not left with two by way of a third one.
func TestLeavesVoters(t *testing.T) {
	for _, c := range []struct {
		voters, others int
		joined, want   bool
	}{{1, 0, false, true}, {2, 0, false, false}, {2, 0, true, false}, {2, 1, false, false},
		{3, 0, false, true}, {3, 0, true, true}, {5, 0, false, true}} {
		m := &wire.Map{Regions: []wire.Region{{ID: "lazio"}}}
		for i := range c.voters + c.others {
			m.Nodes = append(m.Nodes, wire.Node{ID: wire.NodeID(rune("abcdef"[i])), Region: "lazio",
				Nonvoter: i >= c.voters})
		}
		if c.joined {
			m.Nodes = append(m.Nodes, wire.Node{ID: "new", Region: "lazio"})
		}
		if err := checkVotersLeft(m, m.Nodes[0], "new"); (err == nil) != c.want {
			t.Errorf("%+v: %v", c, err)
		}
	}
}
