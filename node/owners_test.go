package node

import (
	"errors"
	"testing"

	"github.com/staffetta/staffetta/node/region"
	"github.com/staffetta/staffetta/node/seat"
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

// TestUnclaimedReads: that an anchor has no message of a code says nothing once the map deals the
// slot to another region, which may have one.
func TestUnclaimedReads(t *testing.T) {
	w := newExplored(t, 2)
	defer w.close()
	p := w.plots[0]
	anchor := w.region(w.currentMap().Anchor(p.slot))
	n := &Node{Seat: &seat.Seat{RegionID: anchor.id, Founding: w.currentMap(), Region: anchor.state,
		Federation: w.federation}, deals: seat.NewContact(seat.Monotonic, 0)}
	q := &wire.FindMessage{Recipient: w.recipient(p.codes[0]), ID: wire.MessageID{1}}
	if _, err := n.findMessage(q, 0); !errors.Is(err, wire.NotFound) {
		t.Errorf("the anchor: got %v, want not found", err)
	}
	other := w.regions[0]
	if other == anchor {
		other = w.regions[1]
	}
	if err := w.tell(wire.CmdDealSlots, &wire.DealSlots{Slots: []wire.Slot{p.slot}, To: other.id,
		Force: true}, nil); err != nil {
		t.Fatal(err)
	}
	if _, err := n.findMessage(q, 0); !errors.Is(err, wire.Unavailable) {
		t.Errorf("the anchor of before: got %v, want unavailable", err)
	}
}
