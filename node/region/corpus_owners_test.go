package region

import "github.com/staffetta/staffetta/wire"

// version3Owners is what version 3 decides otherwise about handovers and moves: two rejections under
// one key, a refused move that a mark has overtaken, a citizen who is back before the move has
// ended, a code that nobody owns, and what no leader lets pass.
func (c *writer) version3Owners() {
	c.membership("members of the beginning")
	c.command(wire.CmdGrantSlots, allSlots())
	c.command(wire.CmdRaiseVersion, &wire.RaiseVersion{Version: wire.VersionOwners})
	for _, kind := range []wire.CommandKind{wire.CmdTakeBack, wire.CmdMoveForget} {
		c.commands(wire.Command{Kind: kind, Body: []byte{0xff}}, wire.Command{Kind: kind})
	}
	sicilia := newOwners(c.t, "sicilia")[0]
	sicilia.minted = 2 << 32
	c.keysMeet(sicilia)
	c.backTooSoon(sicilia)
	c.overtaken(sicilia)
	c.undecidable()
}

// keysMeet has each region refuse a message under one key, and the slot come here.
func (c *writer) keysMeet(sicilia *fixture) {
	code := codeOf("nobody")
	r := c.hasher.Recipient(code)
	c.block(c.redact(c.keyed(c.message(code, someService, "uno"), "k")))
	sicilia.now = c.now.Add(1000)
	sicilia.submit(sicilia.redact(sicilia.keyed(sicilia.message(code, someService, "due"), "k")))
	sicilia.must(wire.CmdFenceSlot, &wire.FenceSlot{Slot: r.Slot(), Epoch: 3})
	page, err := sicilia.HandOverSlot(wire.HandOverSlot{Slot: r.Slot(), Epoch: 3})
	if err != nil {
		c.t.Fatal(err)
	}
	stray := page.Rows[len(page.Rows)-1:] // the key without its message
	c.command(wire.CmdImportSlot, &wire.ImportSlot{Slot: r.Slot(), Epoch: 3, Rows: stray, More: true})
	c.command(wire.CmdImportSlot, &wire.ImportSlot{Slot: r.Slot(), Epoch: 3, Rows: page.Rows})
	c.block(c.keyed(c.message(code, someService, "due"), "k"))
	c.command(wire.CmdRelease, &wire.Release{Recipient: r, To: "umbria", Epoch: 1})
}

// backTooSoon moves a citizen away and back, with the end of the first move late.
func (c *writer) backTooSoon(sicilia *fixture) {
	code := codeOf("anna")
	c.citizen(code, 3)
	r := c.hasher.Recipient(code)
	m := c.moveOf(c.command(wire.CmdMoveIntent, &wire.MoveIntent{Recipient: r, To: "sicilia"}).Body)
	c.command(wire.CmdMoveFence, leaving(m))
	sicilia.now = c.now
	moveAll(c.fixture, sicilia, m)
	back := sicilia.fence(code, "lazio")
	c.command(wire.CmdMovePage, sicilia.page(back, nil)) // not yet
	c.command(wire.CmdMoveDone, leaving(m))
	c.command(wire.CmdMoveErase, &wire.MoveErase{Recipient: r})
	c.command(wire.CmdMovePage, sicilia.page(back, nil))
	own, _, err := c.Ownership(r)
	if err != nil || own.State != wire.Owned {
		c.t.Fatalf("not back: %+v, %v", own, err)
	}
	// Gone again, and given up wrongly.
	m = c.moveOf(c.command(wire.CmdMoveIntent, &wire.MoveIntent{Recipient: r, To: "umbria"}).Body)
	c.command(wire.CmdMoveFence, leaving(m))
	nobody := &wire.Standing{Recipient: r, Region: "lazio", Epoch: m.Epoch + 1}
	c.command(wire.CmdTakeBack, nobody)
	c.command(wire.CmdMoveDone, leaving(m))
	c.command(wire.CmdTakeBack, nobody)
	c.command(wire.CmdTakeBack, nobody)
}

// overtaken refuses a move, is told of the owner since, and is asked again.
func (c *writer) overtaken(sicilia *fixture) {
	code := codeOf("berto")
	sicilia.own(code)
	m := sicilia.fence(code, "lazio")
	c.command(wire.CmdMoveRefuse, coming(m))
	c.command(wire.CmdImportSlot, &wire.ImportSlot{Slot: m.Recipient.Slot(), Epoch: 4,
		Marks: []wire.SlotMark{{Recipient: m.Recipient, Region: "sicilia", Epoch: 3}}})
	c.command(wire.CmdMoveRefuse, coming(m))
	c.command(wire.CmdMoveForget, coming(m))
	c.command(wire.CmdMoveForget, coming(m))
}

// undecidable adds entries that no leader lets pass.
func (c *writer) undecidable() {
	nameless := c.message(codeOf("anna"), someService, "senza nome")
	nameless.ID = wire.MessageID{}
	whole := c.message(codeOf("anna"), someService, "intero")
	c.block(nameless, whole)
	b, err := c.coder.Decode(c.seal(whole))
	if err != nil {
		c.t.Fatal(err)
	}
	c.add(c.entry(wire.BlockEntry, b.Erase(c.coder)))
	c.add(c.entry(wire.CommandsEntry, []byte{0xff}))
}
