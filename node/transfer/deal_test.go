package transfer

import (
	"testing"
	"time"

	"github.com/staffetta/staffetta/node/seat"
	"github.com/staffetta/staffetta/wire"
)

// TestDealsAndSuspension: what a machine slept makes what is known of the deals of slots older.
func TestDealsAndSuspension(t *testing.T) {
	var slept time.Duration
	up := func() time.Duration { return seat.Monotonic() + slept }
	n := &Transfer{deals: seat.NewContact(up, seat.LongAgo)}
	if n.knowsDeals() {
		t.Error("a node that never asked knows every deal")
	}
	n.deals.Note(0)
	if !n.knowsDeals() {
		t.Error("a node that has just asked does not know the deals")
	}
	slept = anchorContactMax + time.Second
	if n.knowsDeals() {
		t.Error("a node whose machine was suspended decides on")
	}
}

// TestAnchorsByMap: an anchor decides about unclaimed codes of a slot no more once the map deals it
// to another region, whatever its log still holds.
func TestAnchorsByMap(t *testing.T) {
	w := newExplored(t, 2)
	defer w.close()
	slot := w.plots[0].slot
	anchor := w.region(w.currentMap().Anchor(slot))
	d := &Transfer{Seat: &seat.Seat{RegionID: anchor.id, Founding: w.currentMap(),
		Region: anchor.state, Federation: w.federation}, deals: seat.NewContact(seat.Monotonic, 0)}
	if !d.Anchors(slot) {
		t.Error("the anchor does not decide")
	}
	other := w.regions[0]
	if other == anchor {
		other = w.regions[1]
	}
	if err := w.tell(wire.CmdDealSlots, &wire.DealSlots{Slots: []wire.Slot{slot}, To: other.id,
		Force: true}, nil); err != nil {
		t.Fatal(err)
	}
	if d.Anchors(slot) {
		t.Error("the anchor of before decides on")
	}
}
