// Package seat gives a duty access to the node's two groups: reading, proposing, leading, serving
// and calling other nodes; and it defines a line of the table of calls. Duties share no other
// package with behaviour; they may import the states, consensus, the link and the data directory as
// well. Seat knows no duty.
//
// Guarantees:
//   - Queue.Do and Administrate return without an error once what was proposed is fsynced on a
//     majority of the group's voters and applied here.
//   - A call reaches its function only after the guards of its site, and only from callers that it
//     names; an operator also needs the right. A stream has no guards.
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
//	stale.go        reads of a region without a leader, and as of when they are
//	uptime.go, uptime_linux.go, uptime_other.go  a clock that goes on while the machine is suspended
//	lead.go         what is done for as long as a node leads
package seat
