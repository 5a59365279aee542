package federation

import (
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/staffetta/staffetta/wire"
)

// TestDealSlots follows slots from the deal to where it is settled, and what may not happen on the
// way. Every command comes twice.
func TestDealSlots(t *testing.T) {
	s := mustOpen(t, vfs.NewMem())
	defer s.Close()
	deal := func(to wire.RegionID, force bool, slots ...wire.Slot) wire.Command {
		return command(wire.CmdDealSlots, &wire.DealSlots{Slots: slots, To: to, Force: force})
	}
	settle := func(r wire.RegionID, granted bool, slot wire.Slot, epoch uint64) wire.Command {
		return command(wire.CmdSettleSlots, &wire.SettleSlots{Region: r, Granted: granted,
			Slots: []wire.Slot{slot}, Epochs: []uint64{epoch}})
	}
	if r := apply(t, s, deal("umbria", false, 0)); r[0].Err == nil {
		t.Error("slots were dealt before the founding")
	}
	succeed(t, s, command(wire.CmdFound, testMap("lazio", "sicilia", "umbria"))) // slot n: n mod 3
	for i, step := range []struct {
		do      wire.Command
		code    wire.Code
		anchor  wire.RegionID // of slot 0, afterwards
		epoch   uint64
		moving  bool
		forced  bool
		granted bool
	}{
		{deal("puglia", false, 0), wire.NotFound, "lazio", 1, false, false, false},
		{deal("umbria", false, wire.Slots), wire.Malformed, "lazio", 1, false, false, false},
		{deal("lazio", false, 0), 0, "lazio", 1, false, false, false},
		{deal("umbria", false, 0, 3), 0, "umbria", 2, true, false, false},
		{deal("sicilia", false, 0), wire.Conflict, "umbria", 2, true, false, false},
		{settle("umbria", false, 0, 1), 0, "umbria", 2, true, false, false},
		{settle("lazio", false, 0, 2), 0, "umbria", 2, true, false, false},
		{settle("umbria", true, 0, 2), 0, "umbria", 2, true, false, false}, // not a forced one
		{deal("umbria", true, 0), 0, "umbria", 2, true, true, false},
		{settle("umbria", true, 0, 2), 0, "umbria", 2, true, true, true},
		{settle("umbria", false, 0, 2), 0, "umbria", 2, false, false, false},
		{deal("sicilia", false, 0), 0, "sicilia", 3, true, false, false},
	} {
		for range 2 {
			r := apply(t, s, step.do)[0]
			if (r.Err == nil) != (step.code == 0) || r.Err != nil && r.Err.Code != step.code {
				t.Errorf("step %d: %v, want %v", i, r.Err, step.code)
			}
			m, _ := s.Map()
			d, moving := m.SlotDeal(0)
			if m.Anchor(0) != step.anchor || m.SlotEpoch(0) != step.epoch ||
				moving != step.moving || d.Forced != step.forced || d.Granted != step.granted {
				t.Errorf("step %d: anchor %s at epoch %d, moving %t, %+v", i, m.Anchor(0),
					m.SlotEpoch(0), moving, d)
			}
		}
	}
	if m, _ := s.Map(); m.SlotEpoch(1) != wire.SlotEpochFounding || m.SlotEpoch(3) != 2 {
		t.Errorf("epochs of slots 1 and 3: %d and %d", m.SlotEpoch(1), m.SlotEpoch(3))
	}
}

// TestSlotMarks pages through the claimed codes of one slot.
func TestSlotMarks(t *testing.T) {
	s := mustOpen(t, vfs.NewMem())
	defer s.Close()
	succeed(t, s, command(wire.CmdFound, testMap("lazio", "sicilia")))
	var ops wire.DirectoryOps
	want := map[wire.Recipient]bool{}
	for i := range 20 {
		for _, slot := range []uint16{0, 6, 7, 8, wire.Slots - 1} {
			var r wire.Recipient
			r[0], r[1], r[15] = byte(slot>>2), byte(slot<<6), byte(i+1)
			ops.List = append(ops.List, wire.DirectoryOp{Kind: wire.OpClaim, Recipient: r,
				Region: "sicilia", Epoch: 1})
			if slot == 7 {
				want[r] = true
			}
		}
	}
	succeed(t, s, command(wire.CmdDirectory, &ops))
	var above wire.Recipient
	for more := true; more; {
		marks, m, err := s.SlotMarks(7, above, 7)
		if err != nil || len(marks) == 0 {
			t.Fatalf("%d marks, %v", len(marks), err)
		}
		for _, mark := range marks {
			if !want[mark.Recipient] || mark.Region != "sicilia" || mark.Epoch != 1 {
				t.Errorf("mark %+v, which is not of the slot or came twice", mark)
			}
			delete(want, mark.Recipient)
		}
		more, above = m, marks[len(marks)-1].Recipient
	}
	if len(want) != 0 {
		t.Errorf("%d marks are missing", len(want))
	}
	if marks, more, err := s.SlotMarks(wire.Slots-1, wire.Recipient{}, 100); err != nil || more ||
		len(marks) != 20 {
		t.Errorf("the last slot: %d marks, more %t, %v", len(marks), more, err)
	}
}

// TestDealToALostRegion takes slots by force that are on their way to a region which is lost, too:
// what the new holder is given says whether they had arrived there.
func TestDealToALostRegion(t *testing.T) {
	s := mustOpen(t, vfs.NewMem())
	defer s.Close()
	succeed(t, s, command(wire.CmdFound, testMap("lazio", "sicilia", "umbria")),
		command(wire.CmdDealSlots, &wire.DealSlots{Slots: []wire.Slot{0, 3}, To: "sicilia",
			Force: true}),
		command(wire.CmdSettleSlots, &wire.SettleSlots{Region: "sicilia", Slots: []wire.Slot{3},
			Epochs: []uint64{2}, Granted: true}))
	again := command(wire.CmdDealSlots, &wire.DealSlots{Slots: []wire.Slot{0, 3}, To: "umbria",
		Force: true})
	for range 2 {
		succeed(t, s, again)
		m, _ := s.Map()
		for slot, stray := range map[wire.Slot]bool{0: true, 3: false} {
			d, moving := m.SlotDeal(slot)
			if from, _ := m.RegionByTag(d.From); !moving || !d.Forced || d.Granted ||
				d.Stray != stray || from.ID != "sicilia" || m.Anchor(slot) != "umbria" ||
				m.SlotEpoch(slot) != 3 {
				t.Errorf("slot %d: %+v, anchor %s at epoch %d", slot, d, m.Anchor(slot),
					m.SlotEpoch(slot))
			}
		}
	}
}
