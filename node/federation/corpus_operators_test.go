package federation

import (
	"github.com/staffetta/staffetta/wire"
)

func init() {
	corpora["v3-bounds"] = (*writer).version3Bounds
	corpora["v3-withdrawn"] = (*writer).version3Withdrawn
}

// version3Bounds is what authorities are bound to: nothing below version 3, whatever a command says.
func (c *writer) version3Bounds() {
	c.found()
	one, two := []byte("an authority"), []byte("another")
	add := func(der []byte, regions ...wire.RegionID) {
		r := &wire.Authority{DER: der, Regions: regions}
		c.command(wire.CmdAudit, &wire.Audited{Operator: "operator", Action: "ca add",
			Subject: r.AuditSubject(), Command: command(wire.CmdAddAuthority, r)})
	}
	add(one, "lazio")
	add(one)
	c.command(wire.CmdFinalise, &wire.RaiseVersion{Version: 3})
	add(one, "lazio", "sicilia")
	add(two, "molise")
	add(two, "NONE")
	add(two, make([]wire.RegionID, wire.BoundRegionsMax+1)...)
	add(two, "veneto")
	add(one)
	add(one, "lazio")
	c.command(wire.CmdRemoveAuthority, &wire.AuthorityRef{Fingerprint: wire.FingerprintOf(two)})
	add(two)
}

// version3Withdrawn is what comes after an operator's deadline, and what was so already.
func (c *writer) version3Withdrawn() {
	c.found()
	put := func(name string, deadline wire.Time) {
		i := &wire.Institution{ID: institutionOf(1), Name: name}
		c.command(wire.CmdAudit, &wire.Audited{Operator: "operator", Action: "institution put",
			Subject: i.AuditSubject(), Deadline: deadline,
			Command: command(wire.CmdPutInstitution, i)})
	}
	past, future := wire.Time(1), wire.Time(1_900_000_000_000)
	put("Comune 1", past)
	c.command(wire.CmdFinalise, &wire.RaiseVersion{Version: 3})
	put("Comune 2", past)
	put("Comune 2", future)
	put("Comune 2", 0)
	c.command(wire.CmdAudit, &wire.Audited{Operator: "operator", Action: "slots deal",
		Deadline: past, Command: command(wire.CmdDealSlots,
			&wire.DealSlots{Slots: []wire.Slot{0}, To: "veneto", Force: true})})
	c.command(wire.CmdAudit, &wire.Audited{Operator: "operator", Action: "move",
		Command: command(wire.CmdMoveOrder,
			&wire.MoveOrder{Recipient: recipientOf("nobody"), To: "veneto"})})
	c.command(wire.CmdAudit, &wire.Audited{Operator: "operator", Action: "spool discard",
		Command: command(wire.CmdRegionOrder, &wire.RegionOrder{Kind: wire.OrderDiscard,
			Region: "lazio", Other: "sicilia"})})
}
