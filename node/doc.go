// Package node is the relay node: one process that holds a replica of its region's group and a
// replica of the federation's, and serves both over one UDP port.
//
// A gateway sends a block to the leader of the owning region. The leader validates the whole
// block, proposes it, and returns the outcomes that applying it gave. Citizens' changes, claims and
// changes of services and keys are proposed as commands.
//
// Guarantees:
//   - An answer that says that a group's state was changed was given after the change was fsynced
//     on a majority of the group's voters and applied here.
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
//	duties.go       which rounds a leader runs; expiry, erasure, founding
//	status.go       health and status: what hinders a node, and what stops it
//	ending.go       why a node ends, whether for good, and what to do
package node
