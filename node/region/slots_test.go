package region

import (
	"errors"
	"fmt"
	"testing"

	"github.com/staffetta/staffetta/internal/fiscalcode"
	"github.com/staffetta/staffetta/wire"
)

const dealt = 2 // the epoch of slots that were dealt once

// handOver brings a code's slot from one region to another, page by page.
func handOver(t *testing.T, from, to *fixture, slot wire.Slot) {
	t.Helper()
	from.must(wire.CmdFenceSlot, &wire.FenceSlot{Slot: slot, Epoch: dealt})
	q := wire.HandOverSlot{Slot: slot, Epoch: dealt}
	for more := true; more; {
		page, err := from.HandOverSlot(q)
		if err != nil {
			t.Fatal(err)
		}
		more, q.After = page.More, page.Last
		m := &wire.ImportSlot{Slot: slot, Epoch: dealt, Rows: page.Rows, More: page.More}
		to.must(wire.CmdImportSlot, m)
		if page.More {
			to.must(wire.CmdImportSlot, m) // an answer that was lost
		}
	}
}

// TestSlotChangesHands: what the old anchor decided about unclaimed codes holds at the new one,
// which knows whose the claimed ones are; and only one of the two decides.
func TestSlotChangesHands(t *testing.T) {
	lazio, sicilia := newFixture(t, "lazio"), newFixture(t, "sicilia")
	lazio.must(wire.CmdRaiseVersion, &wire.RaiseVersion{Version: wire.Version})
	lazio.must(wire.CmdGrantSlots, allSlots())
	nobody, own, gone, claiming, lost := codeOf("nobody"), codeOf("own"), codeOf("gone"),
		codeOf("claiming"), codeOf("lost")
	recipient := lazio.hasher.Recipient
	first := lazio.keyed(lazio.message(nobody, someService, "uno"), "k")
	digest := lazio.redact(first)
	decided := lazio.submitOne(digest)
	ofOwner := lazio.submitOne(lazio.redact(lazio.message(own, someService, "due")))
	lazio.activate(own)
	for _, c := range []fiscalcode.Code{gone, lost} {
		lazio.must(wire.CmdRelease, &wire.Release{Recipient: recipient(c), To: "umbria", Epoch: 1})
	}
	lazio.must(wire.CmdClaimIntent, &wire.ClaimIntent{Recipient: recipient(claiming)})
	sicilia.must(wire.CmdClaimIntent, &wire.ClaimIntent{Recipient: recipient(lost)})
	for _, c := range []fiscalcode.Code{nobody, own, gone, claiming, lost} {
		handOver(t, lazio, sicilia, recipient(c).Slot())
		handOver(t, lazio, sicilia, recipient(c).Slot())
	}
	for range 2 {
		again := sicilia.keyed(sicilia.message(nobody, someService, "uno"), "k")
		if o := sicilia.submitOne(sicilia.redact(again)); o != decided {
			t.Errorf("the same key at the new anchor: %+v, want %+v", o, decided)
		}
		for c, want := range map[fiscalcode.Code]wire.Ownership{
			nobody:   {},
			own:      {State: wire.Released, Epoch: 1, Region: "lazio"},
			gone:     {State: wire.Released, Epoch: 1, Region: "umbria"},
			claiming: {},
			lost:     {State: wire.Released, Epoch: 1, Region: "umbria"},
		} {
			if got, _, err := sicilia.Ownership(recipient(c)); err != nil || got != want {
				t.Errorf("the new anchor says %+v, %v, want %+v", got, err, want)
			}
		}
		o := lazio.submitOne(lazio.redact(lazio.message(nobody, someService, "tre")))
		if o.Kind != wire.NotOwner {
			t.Errorf("the old anchor decides: %+v", o)
		}
		if o := lazio.submitOne(lazio.message(own, someService, "quattro")); o.Kind !=
			wire.Decided || o.Verdict != processed {
			t.Errorf("the old anchor does not serve its own citizen: %+v", o)
		}
		lazio.refuse(wire.Conflict, wire.CmdRelease,
			&wire.Release{Recipient: recipient(nobody), To: "umbria", Epoch: 1})
		lazio.refuse(wire.Conflict, wire.CmdImport, &wire.Import{Recipient: recipient(claiming),
			Epoch: 1, Anchored: true})
		if _, err := sicilia.FindMessage(wire.FindMessage{Recipient: recipient(own),
			ID: ofOwner.ID}); !errors.Is(err, wire.Moved) {
			t.Errorf("what belongs to a citizen of lazio went along: %v", err)
		}
		lazio.restart()
		sicilia.restart()
	}
	// The claim that was under way goes on at the new anchor.
	sicilia.must(wire.CmdRelease, &wire.Release{Recipient: recipient(claiming), To: "lazio", Epoch: 1})
	lazio.must(wire.CmdImport, &wire.Import{Recipient: recipient(claiming), Epoch: 1})
	sicilia.checkCaches()
	lazio.checkCaches()
}

// TestSlotPages hands over more than a page holds.
func TestSlotPages(t *testing.T) {
	from, to := newFixture(t, "lazio"), newFixture(t, "sicilia")
	from.must(wire.CmdGrantSlots, allSlots())
	code := codeOf("nobody")
	slot := from.hasher.Recipient(code).Slot()
	const messages = wire.SlotRowsMax + 200
	ids := map[wire.MessageID]bool{}
	for n := 0; n < messages; n += 100 {
		var block []wire.Record
		for i := range 100 {
			m := from.message(code, someService, "uno")
			if i%2 == 0 {
				m = from.keyed(m, fmt.Sprint("k", n, i))
			}
			block = append(block, from.redact(m))
			ids[m.ID] = true
		}
		from.submit(block...)
	}
	handOver(t, from, to, slot)
	for id := range ids {
		if _, err := to.FindMessage(wire.FindMessage{Recipient: from.hasher.Recipient(code),
			ID: id}); err != nil {
			t.Fatalf("message %s did not arrive: %v", id, err)
		}
	}
}

// TestSlotsStayFenced: an old grant or an old fence changes nothing.
func TestSlotsStayFenced(t *testing.T) {
	f := newFixture(t, "lazio")
	f.must(wire.CmdGrantSlots, allSlots())
	f.must(wire.CmdFenceSlot, &wire.FenceSlot{Slot: 7, Epoch: 3})
	f.must(wire.CmdGrantSlots, allSlots())
	f.must(wire.CmdFenceSlot, &wire.FenceSlot{Slot: 7, Epoch: 2})
	f.refuse(wire.Conflict, wire.CmdImportSlot, &wire.ImportSlot{Slot: 7, Epoch: 2})
	f.refuse(wire.Conflict, wire.CmdImportSlot, &wire.ImportSlot{Slot: 7, Epoch: 3})
	f.refuse(wire.Malformed, wire.CmdFenceSlot, &wire.FenceSlot{Slot: wire.Slots, Epoch: 3})
	for range 2 {
		if epoch, held := f.SlotAt(7); epoch != 3 || held || f.Slots() != wire.Slots-1 {
			t.Errorf("slot 7 at epoch %d, held %t, %d slots", epoch, held, f.Slots())
		}
		f.restart()
	}
	if _, err := f.HandOverSlot(wire.HandOverSlot{Slot: 8, Epoch: 3}); !errors.Is(err,
		wire.Conflict) {
		t.Errorf("a slot that is held was handed over: %v", err)
	}
	f.must(wire.CmdImportSlot, &wire.ImportSlot{Slot: 7, Epoch: 4}) // dealt back
	f.refuse(wire.Conflict, wire.CmdFenceSlot, &wire.FenceSlot{Slot: 7, Epoch: 4})
	if f.Slots() != wire.Slots {
		t.Error("the slot that was dealt back is not held")
	}
}

// TestHostileSlot: a region that hands over a slot cannot write anything else.
func TestHostileSlot(t *testing.T) {
	f := newFixture(t, "lazio")
	code := codeOf("maria")
	f.activate(code)
	r := f.hasher.Recipient(code)
	slot := r.Slot()
	owner := func(o wire.Ownership) []byte { return wire.Encode(&ownerRow{Ownership: o}) }
	released := wire.Ownership{State: wire.Released, Epoch: 1, Region: "umbria"}
	other := r
	other[0] ^= 0x80
	row := func(key, value []byte) *wire.ImportSlot {
		return &wire.ImportSlot{Rows: []wire.Row{{Key: key, Value: value}}}
	}
	mark := func(m wire.SlotMark) *wire.ImportSlot {
		return &wire.ImportSlot{Marks: []wire.SlotMark{m}}
	}
	inbox, mine := inboxKey(r, f.id()), recipientKey(ownerPrefix, r)
	for name, m := range map[string]*wire.ImportSlot{
		"another slot":  row(recipientKey(ownerPrefix, other), owner(released)),
		"profile":       row(recipientKey(profilePrefix, r), nil),
		"no code":       row([]byte{ownerPrefix}, nil),
		"owned":         row(mine, owner(wire.Ownership{State: wire.Owned, Epoch: 9})),
		"no region":     row(mine, owner(wire.Ownership{State: wire.Released, Epoch: 9})),
		"inbox":         row(inbox[:], nil),
		"mark of epoch": mark(wire.SlotMark{Recipient: r, Region: "umbria"}),
		"foreign mark":  mark(wire.SlotMark{Recipient: other, Region: "umbria", Epoch: 1}),
	} {
		t.Run(name, func(t *testing.T) {
			f.t = t
			m.Slot, m.Epoch = slot, dealt
			f.refuse(wire.Malformed, wire.CmdImportSlot, m)
		})
	}
	f.t = t
	f.must(wire.CmdImportSlot, &wire.ImportSlot{Slot: slot, Epoch: dealt,
		Marks: []wire.SlotMark{{Recipient: r, Region: "umbria", Epoch: 1}}})
	if own, _, _ := f.Ownership(r); own.State != wire.Owned {
		t.Error("a mark took a citizen away from the owner")
	}
}

// TestAnchoredImportOfTheFirstVersion: a program of the first version does not know that an import
// says it is of the region's own slot, and does it; in a group of such programs all must.
func TestAnchoredImportOfTheFirstVersion(t *testing.T) {
	f := newFixture(t, "lazio") // holds no slot
	first, later := f.hasher.Recipient(codeOf("first")), f.hasher.Recipient(codeOf("later"))
	for _, r := range []wire.Recipient{first, later} {
		f.must(wire.CmdClaimIntent, &wire.ClaimIntent{Recipient: r})
	}
	f.must(wire.CmdImport, &wire.Import{Recipient: first, Epoch: 1, Anchored: true})
	f.must(wire.CmdRaiseVersion, &wire.RaiseVersion{Version: wire.VersionAnchored})
	f.refuse(wire.Conflict, wire.CmdImport, &wire.Import{Recipient: later, Epoch: 1,
		Anchored: true})
}
