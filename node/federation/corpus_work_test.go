package federation

import "github.com/staffetta/staffetta/wire"

func init() {
	corpora["v2-work"] = (*writer).version2Work
	corpora["v2-work-restored"] = (*writer).version2Restored
}

// found begins a federation at version 2.
func (c *writer) found() {
	c.add("c", []byte("members of the beginning"))
	c.command(wire.CmdFound, testMap("lazio", "sicilia", "veneto"))
	c.command(wire.CmdFinalise, &wire.RaiseVersion{Version: 2})
}

// tell adds an operation on the directory, by a region of an incarnation.
func (c *writer) tell(incarnation uint32, kind wire.DirectoryOpKind, name string,
	region wire.RegionID, epoch wire.Epoch, to wire.RegionID) {
	c.command(wire.CmdMoveDirectory, &wire.DirectoryOps{Incarnation: incarnation,
		List: []wire.DirectoryOp{{Kind: kind, Recipient: recipientOf(name), Region: region,
			Epoch: epoch, To: to}}})
}

// version2Work has kinds of version 2 do what they are for, which other logs have on the edge only:
// orders to move, fences of regions, slots that are taken by force.
func (c *writer) version2Work() {
	c.found()
	order := func(name string, to wire.RegionID, abort bool) {
		o := &wire.MoveOrder{Recipient: recipientOf(name), To: to, Abort: abort}
		c.command(wire.CmdMoveOrder, o)
		c.command(wire.CmdAudit, &wire.Audited{Operator: "operator", Action: "move",
			Command: command(wire.CmdMoveOrder, o)})
	}
	order("anna", "sicilia", false) // nobody's
	c.tell(0, wire.OpClaim, "anna", "lazio", 1, "")
	order("anna", "sicilia", false) // being claimed
	c.tell(0, wire.OpOwn, "anna", "lazio", 1, "")
	order("anna", "molise", false)
	order("anna", "sicilia", false)
	c.tell(0, wire.OpMove, "anna", "lazio", 1, "sicilia")
	order("anna", "sicilia", false)
	order("anna", "veneto", false)
	order("anna", "veneto", true)
	order("anna", "sicilia", true)
	c.tell(0, wire.OpOwn, "anna", "sicilia", 2, "")

	for _, n := range []uint32{1, 1, 3, 0, 2} {
		c.command(wire.CmdFenceRegion, &wire.FenceRegion{Region: "sicilia", Incarnation: n})
		c.tell(n, wire.OpSetActive, "anna", "sicilia", 2, "")
		c.tell(1, wire.OpClaim, "berto", "sicilia", 1, "")
	}
	c.command(wire.CmdFenceRegion, &wire.FenceRegion{Region: "molise", Incarnation: 1})

	slots := []wire.Slot{0, 3, 6}
	for _, d := range []wire.DealSlots{{Slots: slots, To: "veneto"}, {Slots: slots, To: "sicilia"},
		{Slots: slots[:2], To: "veneto", Force: true}} {
		c.command(wire.CmdDealSlots, &d)
	}
	for _, granted := range []bool{true, false, false} {
		c.command(wire.CmdSettleSlots, &wire.SettleSlots{Region: "veneto", Slots: slots,
			Epochs: []uint64{2, 1, 2}, Granted: granted})
	}
	c.command(wire.CmdDealSlots, &wire.DealSlots{Slots: slots, To: "lazio", Force: true})
}

// version2Restored is what a federation logs that was restored, until every region has reported, or
// is not waited for.
func (c *writer) version2Restored() {
	c.found()
	claim := func() { c.tell(0, wire.OpClaim, "carla", "lazio", 1, "") }
	deal := func() { c.command(wire.CmdDealSlots, &wire.DealSlots{Slots: []wire.Slot{9}, To: "lazio"}) }
	claim()
	report := wire.OwnershipReport{Region: "lazio", Incarnation: 1, List: []wire.Standing{
		{Recipient: recipientOf("anna"), Region: "lazio", Epoch: 1, Active: true},
		{Recipient: recipientOf("berto"), Region: "sicilia", Epoch: 3}}}
	c.command(wire.CmdReport, &report)
	claim()
	report = wire.OwnershipReport{Region: "lazio", Incarnation: 1, Done: true}
	c.command(wire.CmdReport, &report)
	c.command(wire.CmdReport, &report)
	report = wire.OwnershipReport{Region: "sicilia", Incarnation: 1, RegionIncarnation: 2,
		Slots: []wire.Slot{0, 1}, Epochs: []uint64{3, 1}, List: []wire.Standing{
			{Recipient: recipientOf("anna"), Region: "sicilia", Epoch: 1},
			{Recipient: recipientOf("berto"), Region: "sicilia", Epoch: 3, Active: true}}}
	c.command(wire.CmdReport, &report)
	report.RegionIncarnation, report.Done = 1, true // of an earlier incarnation
	c.command(wire.CmdReport, &report)
	report.RegionIncarnation = 2
	c.command(wire.CmdReport, &report)
	claim()
	deal()
	for _, region := range []wire.RegionID{"molise", "veneto", "veneto"} {
		c.command(wire.CmdWaiveReport, &wire.WaiveReport{Region: region})
		c.command(wire.CmdAudit, &wire.Audited{Operator: "operator", Action: "restore forgo",
			Command: command(wire.CmdWaiveReport, &wire.WaiveReport{Region: region})})
		claim()
		deal()
	}
	c.command(wire.CmdReport, &wire.OwnershipReport{Region: "veneto", Incarnation: 1, Done: true,
		List: []wire.Standing{{Recipient: recipientOf("carla"), Region: "veneto", Epoch: 2}}})
	c.command(wire.CmdFenceRegion, &wire.FenceRegion{Region: "sicilia", Incarnation: 3})
	c.tell(2, wire.OpSetActive, "berto", "sicilia", 3, "")
	c.tell(3, wire.OpSetActive, "berto", "sicilia", 3, "")
}
