// Package membership is who takes part in the federation, and by which certificates.
//
// Guarantees:
//   - A change of the map that would leave a group without a majority that answers now is refused.
//   - A group's membership follows the newest map only, by one change at a time.
//   - A node that joins goes on where it was interrupted; its key never leaves its machine.
//
// Map of the files:
//
//	membership.go   Membership, its configuration, its calls
//	members.go      an operator's change of the map, judged by how the groups are
//	reconcile.go    a leader brings its group's membership into line with the map
//	removal.go      who founds a group; a node that was removed
//	replace.go      whether a node can take another one's place
//	fence.go        a region's incarnation ends, and its votes in the federation
//	enrol.go        certificates for nodes that join
//	seed.go         copies of the states for nodes that join
//	join.go         a node that joins: key, certificate, directory key, map
//	join_token.go   the join token
//	join_seed.go    copies of the states are fetched and installed
//	trust.go        certificates: whom the federation believes, and who is connected
//	renewals.go     certificates that are renewed unattended, on the region's leader
package membership
