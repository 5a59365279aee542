package node

import (
	"slices"

	"github.com/staffetta/staffetta/node/seat"
)

// calls is the table: what each duty answers.
func (n *Node) calls() []seat.Call {
	return slices.Concat(n.citizens.calls(), n.transfer.Calls(), n.spool.Calls(),
		n.services.calls(), n.members.Calls(), n.recovery.Calls(), n.desk.Calls(), n.witness.Calls())
}
