package federation

import (
	"bytes"

	"github.com/staffetta/staffetta/wire"
)

func init() { corpora["v3-recovery"] = (*writer).version3Recovery }

// version3Recovery is recovery keys: the first, the same again, another, none, and of no region.
func (c *writer) version3Recovery() {
	c.found()
	c.command(wire.CmdFinalise, &wire.RaiseVersion{Version: 3})
	set := func(region wire.RegionID, public []byte) {
		s := &wire.SetRecoveryKey{Region: region, Public: public}
		c.command(wire.CmdAudit, &wire.Audited{Operator: "operator", Action: "region recovery-key",
			Subject: s.AuditSubject(), Command: command(wire.CmdSetRecoveryKey, s)})
	}
	key := func(b byte) []byte { return bytes.Repeat([]byte{b}, wire.RecoveryPublicBytes) }
	set("lazio", key(1))
	set("lazio", key(1))
	set("lazio", key(2))
	set("lazio", nil)
	set("lazio", key(3)[1:])
	set("atlantide", key(1))
	set("sicilia", key(1))
	c.command(wire.CmdSetRecoveryKey, &wire.SetRecoveryKey{})
}
