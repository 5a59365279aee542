package node

import (
	"slices"
	"testing"

	"github.com/staffetta/staffetta/wire"
)

// TestDueMoves: a move that is stuck does not stand in the way of those behind it, and what needs
// no answer of the region comes first.
func TestDueMoves(t *testing.T) {
	move := func(r byte, to wire.RegionID) wire.Move {
		return wire.Move{Recipient: wire.Recipient{r}, To: to, State: wire.MoveFenced}
	}
	list := []wire.Move{move(1, "lazio"), move(2, "lazio"), move(3, "lazio"), move(4, "lazio"),
		move(5, "umbria"), move(6, "umbria"), move(7, "puglia")}
	list[1].State, list[1].Aborting = wire.MoveIntended, true
	d := &moves{busy: map[wire.RegionID]bool{"puglia": true},
		ended: map[wire.RegionID]wire.Recipient{}}
	for _, c := range []struct {
		ended byte
		want  []byte
	}{{0, []byte{2, 1, 3, 4}}, {1, []byte{2, 3, 4, 1}}, {3, []byte{2, 4, 1, 3}},
		{4, []byte{2, 1, 3, 4}}, {9, []byte{2, 1, 3, 4}}} {
		d.ended["lazio"] = wire.Recipient{c.ended}
		work := d.due(slices.Clone(list))
		var got []byte
		for _, m := range work["lazio"] {
			got = append(got, m.Recipient[0])
		}
		if !slices.Equal(got, c.want) || len(work["umbria"]) != 2 || len(work["puglia"]) != 0 {
			t.Errorf("behind %d: %v, want %v; %d and %d to others", c.ended, got, c.want,
				len(work["umbria"]), len(work["puglia"]))
		}
	}
}
