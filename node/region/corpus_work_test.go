package region

import (
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/staffetta/staffetta/wire"
)

func init() { corpora["v2-work"] = (*writer).version2Work }

// version2Work has kinds of version 2 do what they are for, which other logs have on the edge only.
func (c *writer) version2Work() {
	c.membership("members of the beginning")
	c.command(wire.CmdRaiseVersion, &wire.RaiseVersion{Version: 2})
	c.command(wire.CmdGrantSlots, allSlots())
	c.stubsExpire()
	c.moveIsRefused()
	c.slotGoesAndComes()
}

// stubsExpire spools messages for a region, hears what became of them, and forgets them.
func (c *writer) stubsExpire() {
	sicilia := newAway(c.t, "sicilia")
	first := c.keyed(c.message(codeOf("one"), someService, "uno"), "k")
	again := c.keyed(c.message(codeOf("one"), someService, "uno"), "k")
	other := c.message(codeOf("two"), someService, "due")
	for _, records := range [][]wire.Record{{first, other}, {again}, {first}} {
		c.command(wire.CmdSpool, &wire.Spool{Block: c.sealed(sicilia, records...), BytesMax: plenty})
	}
	done := &wire.SpoolDone{Owner: "sicilia", Seq: c.waiting(sicilia)[0].Seq,
		Outcomes: []wire.Outcome{{Kind: wire.Decided, ID: first.ID, Verdict: processed},
			{Kind: wire.KeyConflict, ID: other.ID}}}
	c.command(wire.CmdSpoolDone, done)
	c.command(wire.CmdSpoolDone, done)
	for range 5 {
		c.now = c.now.Add(time.Hour)
		c.command(wire.CmdExpire, &wire.Expire{})
	}
	c.command(wire.CmdSpoolExpire, &wire.SpoolExpire{Before: c.now.Add(-24 * time.Hour)}) // none
	for range 2 {
		c.command(wire.CmdSpoolExpire, &wire.SpoolExpire{Before: c.now})
	}
	if v, err := c.FindSpooled(wire.FindMessage{Recipient: other.RecipientUnder(c.hasher),
		ID: other.ID}); err == nil {
		c.t.Fatalf("nothing expired: %+v", v)
	}
}

// moveIsRefused refuses a citizen whom another region takes back, and takes the next move.
func (c *writer) moveIsRefused() {
	sicilia := openFixture(c.t, testConfig(vfs.NewMem(), "sicilia", c.coder))
	sicilia.minted = 1 << 32
	p := settle(sicilia, "who stays", 2)
	m := sicilia.fence(p.code, "lazio")
	page := sicilia.page(m, nil)
	for range 2 {
		r := c.command(wire.CmdMoveRefuse, coming(m))
		var at wire.MoveProgress
		if r.Err != nil || wire.Decode(r.Body, &at) != nil || !at.Refused {
			c.t.Fatalf("not refused: %+v, %v", at, r.Err)
		}
		c.command(wire.CmdMovePage, page)
	}
	sicilia.must(wire.CmdMoveAbort, &wire.MoveRef{Recipient: m.Recipient})
	sicilia.must(wire.CmdMoveUndo, leaving(m))
	m = sicilia.fence(p.code, "lazio")
	c.command(wire.CmdMoveRefuse, &wire.MoveStep{Recipient: m.Recipient, Epoch: m.Epoch - 1,
		Region: "sicilia"})
	var at wire.MoveProgress
	for !at.Owned {
		r := c.command(wire.CmdMovePage, sicilia.page(m, at.Next))
		if at = (wire.MoveProgress{}); r.Err != nil || wire.Decode(r.Body, &at) != nil {
			c.t.Fatal(r.Err)
		}
	}
	c.command(wire.CmdMoveRefuse, coming(m)) // too late
	c.block(p.delivered[0], c.message(p.code, someService, "after the move"))
}

// slotGoesAndComes gives a slot to another region and gets it back with what that one decided.
func (c *writer) slotGoesAndComes() {
	nobody, claimed := codeOf("nobody"), codeOf("claimed")
	for c.hasher.Recipient(nobody).Slot() == c.hasher.Recipient(claimed).Slot() {
		claimed += "x"
	}
	r := c.hasher.Recipient(nobody)
	c.block(c.redact(c.keyed(c.message(nobody, someService, "uno"), "k")))
	c.command(wire.CmdFenceSlot, &wire.FenceSlot{Slot: r.Slot(), Epoch: 2})
	c.block(c.redact(c.message(nobody, someService, "not decided here")))
	sicilia := openFixture(c.t, testConfig(vfs.NewMem(), "sicilia", c.coder))
	sicilia.minted = 2 << 32
	sicilia.must(wire.CmdGrantSlots, &wire.GrantSlots{Slots: []wire.Slot{r.Slot()}, SlotEpoch: 2})
	sicilia.submit(sicilia.redact(sicilia.keyed(sicilia.message(nobody, someService, "due"), "l")))
	sicilia.must(wire.CmdFenceSlot, &wire.FenceSlot{Slot: r.Slot(), Epoch: 3})
	page, err := sicilia.HandOverSlot(wire.HandOverSlot{Slot: r.Slot(), Epoch: 3})
	if err != nil || len(page.Rows) == 0 {
		c.t.Fatalf("%d rows, %v", len(page.Rows), err)
	}
	in := &wire.ImportSlot{Slot: r.Slot(), Epoch: 3, Rows: page.Rows, More: true}
	marks := *in
	marks.Rows, marks.More = nil, false
	marks.Marks = []wire.SlotMark{{Recipient: r, Region: "umbria", Epoch: 1}}
	stray := marks
	stray.Marks = []wire.SlotMark{{Recipient: c.hasher.Recipient(claimed), Region: "umbria", Epoch: 1}}
	for _, m := range []*wire.ImportSlot{in, &stray, &marks, in, &marks} {
		c.command(wire.CmdImportSlot, m)
	}
	c.block(c.redact(c.message(nobody, someService, "umbria's by now")))
	c.command(wire.CmdFenceSlot, &wire.FenceSlot{Slot: r.Slot(), Epoch: 3}) // of one's own
}
