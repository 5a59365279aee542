package transfer

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

// TestEndOf: an epoch says nothing without the region that it is of.
func TestEndOf(t *testing.T) {
	m := &wire.Move{To: "sicilia", Epoch: 2, State: wire.MoveFenced}
	gone := wire.Ownership{State: wire.Released, Epoch: 2, Region: "sicilia"}
	here := wire.Ownership{State: wire.Owned, Epoch: 1}
	back := wire.Ownership{State: wire.Owned, Epoch: 3}
	claimed := func(r wire.RegionID, epoch wire.Epoch) wire.DirectoryEntry {
		return wire.DirectoryEntry{State: wire.Claimed, Region: r, Epoch: epoch}
	}
	for _, c := range []struct {
		what string
		e    wire.DirectoryEntry
		own  wire.Ownership
		want moveEnd
	}{
		{"unclaimed", wire.DirectoryEntry{}, gone, moveOpen},
		{"not told yet", claimed("lazio", 1), gone, moveOpen},
		{"on its way", wire.DirectoryEntry{State: wire.Moving, Region: "lazio", Epoch: 1,
			To: "sicilia"}, gone, moveOpen},
		{"arrived", claimed("sicilia", 2), gone, moveArrived},
		{"arrived, and on its way on", wire.DirectoryEntry{State: wire.Moving, Region: "sicilia",
			Epoch: 2, To: "umbria"}, gone, moveArrived},
		{"moved on", claimed("umbria", 3), gone, moveArrived},
		{"aborted behind the fence", claimed("lazio", 3), gone, moveAborted},
		{"aborted before the fence", claimed("lazio", 3), here, moveAborted},
		{"aborted, and leaving anew", wire.DirectoryEntry{State: wire.Moving, Region: "lazio",
			Epoch: 3, To: "umbria"}, gone, moveAborted},
		{"came back", claimed("lazio", 3), back, moveArrived},
	} {
		if got := endOf(c.e, c.own, "lazio", m); got != c.want {
			t.Errorf("%s: got %d, want %d", c.what, got, c.want)
		}
	}
}
