// Package spool keeps sealed blocks for regions that are away until their owners have decided them.
//
// Guarantees:
//   - A message that was answered THROTTLED is fsynced on a majority of this region's voters, and
//     stays until its owner has said what became of it.
//   - Whoever dies meanwhile, a block is decided once: the owner knows its messages by their ids.
//
// Map of the files:
//
//	spool.go        Spool: taking, reading, counting
//	relay.go        bringing blocks to their owners, on the leader
//	discard.go      an operator gives up what an owner cannot read
//	owner.go        taking blocks from other regions' spools
//	keys.go         the region's key pairs
//	stats.go        metrics
//	bugs.go         where a known bug goes in a build for tests
package spool
