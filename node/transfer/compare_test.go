package transfer

import (
	"testing"

	"github.com/staffetta/staffetta/node/region"
	"github.com/staffetta/staffetta/node/seat"
	"github.com/staffetta/staffetta/wire"
)

// TestRestoredAnchorLearnsOwners: a restored region learns who claimed codes since the copy was
// made, of the slots that it holds, and of those that it is about to hand over: the new holder
// knows no more of them than what it is given.
func TestRestoredAnchorLearnsOwners(t *testing.T) {
	m := &wire.Map{Regions: []wire.Region{{ID: "lazio", Tag: 1}, {ID: "sicilia", Tag: 2}},
		SlotOwners: make([]wire.RegionTag, wire.Slots)}
	for s := range m.SlotOwners {
		m.SlotOwners[s] = 2
	}
	const held, leaving, coming, others = 3, 4, 5, 6
	m.SlotOwners[held], m.SlotOwners[coming] = 1, 1
	m.PutSlotDeal(wire.SlotDeal{Slot: leaving, From: 1})
	m.PutSlotDeal(wire.SlotDeal{Slot: coming, From: 2})
	c := &comparison{Seat: &seat.Seat{RegionID: "lazio"}, m: m}
	for slot, learns := range map[wire.Slot]bool{held: true, leaving: true, coming: true,
		others: false} {
		r := wire.Recipient{byte(slot >> 2), byte(slot << 6), 15: 1}
		c.page.List = nil
		c.judge(r, wire.DirectoryEntry{Region: "sicilia", Epoch: 1, State: wire.Claimed},
			region.Owner{})
		if got := len(c.page.List) == 1; got != learns || r.Slot() != slot {
			t.Errorf("slot %d: learns of a claim: %t, want %t", r.Slot(), got, learns)
		}
	}
}
