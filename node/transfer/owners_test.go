package transfer

import (
	"testing"

	"github.com/staffetta/staffetta/node/region"
	"github.com/staffetta/staffetta/wire"
)

// TestContradiction: what a log and a directory may say together, and what nobody may leave so.
func TestContradiction(t *testing.T) {
	owner := func(state wire.OwnershipState, epoch wire.Epoch, active, leaving bool) *region.Owner {
		return &region.Owner{Ownership: wire.Ownership{State: state, Epoch: epoch}, Active: active,
			Leaving: leaving}
	}
	entry := func(state wire.DirectoryState, r wire.RegionID, epoch wire.Epoch) wire.DirectoryEntry {
		return wire.DirectoryEntry{State: state, Region: r, Epoch: epoch}
	}
	for _, c := range []struct {
		what string
		o    *region.Owner
		e    wire.DirectoryEntry
		want disagreement
	}{
		{"both have it", owner(wire.Owned, 2, false, false), entry(wire.Claimed, "lazio", 2), agreed},
		{"not told yet", owner(wire.Owned, 2, false, false), entry(wire.Moving, "sicilia", 1),
			agreed}, {"a replica is behind", owner(wire.Owned, 3, false, false),
			entry(wire.Claimed, "sicilia", 2), agreed},
		{"gone", owner(wire.Released, 2, false, false), entry(wire.Claimed, "sicilia", 2), agreed},
		{"gone, and told late", owner(wire.Released, 2, false, true),
			entry(wire.Claimed, "lazio", 1), agreed},
		{"an abort under way", owner(wire.Released, 2, false, true),
			entry(wire.Claimed, "lazio", 3), agreed},
		{"nobody's", owner(wire.Released, 2, false, false), entry(wire.Claimed, "lazio", 3),
			ownedNowhere},
		{"twice", owner(wire.Owned, 2, false, false), entry(wire.Claimed, "sicilia", 3), ownedTwice},
		{"told wrong", owner(wire.Owned, 2, true, false), entry(wire.Claimed, "lazio", 2), toldWrong},
	} {
		if got := contradiction(c.o, c.e, "lazio"); got != c.want {
			t.Errorf("%s: got %d, want %d", c.what, got, c.want)
		}
	}
}
