package federation

import "github.com/staffetta/staffetta/wire"

func init() { corpora["v3-approvals"] = (*writer).version3Approvals }

// version3Approvals is what waits for a second operator: asked twice, approved by who asked and by
// another, twice, under a wrong id, too late, withdrawn, and too many.
func (c *writer) version3Approvals() {
	c.found()
	audit := func(operator, action, approval string, cmd wire.Command) {
		c.command(wire.CmdAudit, &wire.Audited{Operator: operator, Action: action,
			Approval: approval, Command: cmd})
	}
	root := func(name string) wire.Command {
		return command(wire.CmdAddAuthority, &wire.Authority{DER: []byte(name)})
	}
	set := func(n uint32) wire.Command {
		return command(wire.CmdSetApprovals, &wire.Approvals{Operators: n})
	}
	id := func() string { // of what waits longest, while the clock of the corpus stands
		list, err := c.s.ListPending(0)
		if err != nil || len(list) == 0 {
			return "none"
		}
		return list[0].ID
	}
	audit("ada", "ca add", "none", root("below version 3"))
	c.command(wire.CmdFinalise, &wire.RaiseVersion{Version: 3})
	audit("ada", "approvals set", "", set(2))
	audit("ada", "approvals set", "", set(3))
	ask := func(name string) {
		audit("ada", "ca add", "", command(wire.CmdAsk, &wire.PendingRequest{Operator: "ada",
			Method: wire.MethodAddAuthority, Kind: wire.CmdAddAuthority, Action: "ca add", Subject: name,
			Request: wire.Encode(&wire.Authority{DER: []byte(name)})}))
	}
	ask("one")
	ask("one")
	one := id()
	audit("ada", "ca add", one, root("one"))
	audit("bice", "approvals set", one, set(2)) // goes before what was asked for
	audit("bice", "ca add", one, root(""))
	audit("bice", "ca add", one, root("one"))
	audit("bice", "ca add", one, root("one"))
	audit("carlo", "ca add", one, root("one"))
	audit("bice", "approve --withdraw", "", command(wire.CmdWithdraw, &wire.PendingRef{ID: one}))
	audit("bice", "ca add", "none", root("none"))
	ask("two")
	audit("bice", "approve --withdraw", "", command(wire.CmdWithdraw, &wire.PendingRef{ID: id()}))
	audit("bice", "approve --withdraw", "", command(wire.CmdWithdraw, &wire.PendingRef{ID: "none"}))
	ask("three")
	for i := range wire.PendingMax {
		ask(string(rune('A' + i)))
	}
	three := id()
	late := wire.Time(1_700_000_000_000).Add(2 * wire.ApprovalWait)
	body := wire.Encode(&wire.Audited{Operator: "bice", Action: "ca add", Approval: three,
		Command: root("three")})
	c.add("e", wire.EncodeEntry(wire.CommandsEntry, late, wire.Encode(&wire.Commands{
		List: []wire.Command{{Kind: wire.CmdAudit, Body: body}}})))
	ask("four")
	c.command(wire.CmdConfirmFederationTime, &wire.ConfirmTime{At: 1_700_000_000_000})
}
