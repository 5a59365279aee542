// Package node is the relay node: one process that holds a replica of its region's group and a
// replica of the federation's, and serves both over one UDP port.
//
// A gateway sends a block to the leader of the region that owns its recipients; the leader
// checks it whole, proposes it, and answers what every replica decided at apply. Citizens'
// calls, claims and the federation's services and keys go the same way, as commands.
//
// Guarantees:
//   - An answer that says a thing was done was given after it was fsynced on a majority of the
//     group's voters and applied here.
//   - Answers of a region's reads are linearizable; answers from the federation's replica
//     (owners, services, keys) may be as old as the last contact with its leader.
//   - A node starts only on a data directory that it made itself, for the same federation,
//     region and name; it stops, with the reason, when its state can no longer be trusted.
//
// Map of the files:
//
//	config.go       Config and its validation
//	node.go         New and Run: opening, duties, stopping
//	calls.go        the table of calls: what each duty answers
//	bugs.go         where known bugs go in a build for tests
//	submit.go       blocks: checks before Propose, outcomes after
//	region.go       the calls on citizens and messages
//	federation.go   the calls on owners, services, keys and the feed
//	duties.go       what a leader does unasked: slots, expiry, erasure, founding
//	status.go       health and status: what hinders a node, and what stops it
//	ending.go       why a node ends, whether for good, and what to do
package node
