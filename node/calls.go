package node

import (
	"slices"

	"github.com/staffetta/staffetta/node/seat"
)

// calls is the table: what each duty answers.
func (n *Node) calls() []seat.Call {
	return slices.Concat(n.citizenCalls(), n.moveCalls(), n.copyCalls(), n.slotCalls(),
		n.spool.Calls(), n.federationCalls(), n.members.Calls(),
		n.recovery.Calls(), n.reportCalls(), n.desk.Calls(), n.witness.Calls())
}
