// Package witness remembers whose data directory each peer has, to refuse one that has forgotten.
//
// Guarantees:
//   - No stream of Raft passes between two nodes that have not told each other whose directory they
//     have, and how far it is, since this process began.
//   - What a node was told it knows after a restart.
//
// Map of the files:
//
//	witness.go      Witness: telling, judging, the transport between nodes that have met
//	recall.go       what the others of the region know of who is met for the first time
//	bugs.go         where a known bug goes in a build for tests
package witness
