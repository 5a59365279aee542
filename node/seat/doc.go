// Package seat is a node's two groups as a duty sees them: how to read, propose, lead and serve,
// whom to call, and what is true of a line in the table of calls. It is the only thing that duties
// share; what one of them does it does not know.
//
// Guarantees:
//   - Queue.Do and Administrate return without an error once what was proposed is fsynced on a
//     majority of the group's voters and applied here.
//   - A call is answered past the guards of its site only, to who may ask; to an operator within
//     the rights of the certificate.
//
// Map of the files:
//
//	seat.go         Seat, and what it is made of
//	states.go       the replicas of the two states: opening, closing
//	peers.go        who the other nodes are and where; calls to them
//	call.go         a line of the table of calls: sites, shapes, guards
//	guard.go        why a node does not lead, or not serve
//	rights.go       who may make a call; an operator's rights, and for which region
//	order.go        what needs a second operator, and how it gets one
//	rehearse.go     an operator's call up to where it would be logged
//	audit.go        operators' changes, with a line each
//	noteread.go     what operators read, noted in the region's log
//	force.go        what is for a lost region, held against what answers
//	queue.go        commands of one moment share one log entry
//	gate.go         what keeps new kinds out of older groups' logs
//	clock.go        the time of a group's entries
//	contact.go      when the federation was last heard, across restarts
//	uptime.go, uptime_linux.go, uptime_other.go  a clock that goes on while the machine is suspended
//	lead.go         what is done for as long as a node leads
package seat
