package federation

import (
	"github.com/staffetta/staffetta/wire"
)

func init() {
	corpora["v3-bounds"] = (*writer).version3Bounds
}

// version3Bounds is what authorities are bound to: nothing below version 3, whatever a command says.
func (c *writer) version3Bounds() {
	c.found()
	one, two := []byte("an authority"), []byte("another")
	add := func(der []byte, regions ...wire.RegionID) {
		r := &wire.Root{DER: der, Regions: regions}
		c.command(wire.CmdAudit, &wire.Audited{Operator: "operator", Action: "ca add",
			Subject: r.AuditSubject(), Command: command(wire.CmdAddRoot, r)})
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
	c.command(wire.CmdRemoveRoot, &wire.RootRef{Fingerprint: wire.FingerprintOf(two)})
	add(two)
}
