package federation

import "github.com/staffetta/staffetta/wire"

// version3Owners has operations refused beside others that are not.
func (c *writer) version3Owners() {
	c.found()
	c.command(wire.CmdMembers, &wire.MemberChange{PutRegion: &wire.RegionChange{ID: "veneto",
		Tag: 3, Closing: true}})
	for _, version := range []uint32{2, wire.VersionOwners} {
		c.command(wire.CmdFinalise, &wire.RaiseVersion{Version: version})
		for _, kind := range []wire.CommandKind{wire.CmdDirectory, wire.CmdMoveDirectory} {
			c.command(kind, &wire.DirectoryOps{List: []wire.DirectoryOp{
				{Kind: wire.OpClaim, Recipient: recipientOf("anna"), Region: "veneto", Epoch: 1},
				{Kind: wire.OpClaim, Recipient: recipientOf("berto"), Region: "lazio", Epoch: 1},
				{Kind: wire.OpOwn, Recipient: recipientOf("berto"), Region: "lazio", Epoch: 1},
				{Kind: wire.OpMove, Recipient: recipientOf("berto"), Region: "lazio", To: "molise",
					Epoch: 1},
				{Kind: wire.OpOwn, Region: "lazio", Epoch: 1}}})
		}
	}
}
