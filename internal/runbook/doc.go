// Package runbook runs the runbooks of docs/operating.md as an operator would: every block of
// commands, from its first line to its last, on a federation of real processes on loopback. It has
// no code but its tests.
//
// The commands are taken out of the document, so that the two cannot drift apart, and a block that
// no chapter runs fails. What the document says in prose only (bring a file to another machine,
// start the other nodes as the first) the chapters do:
//
//	document_test.go  blocks, lines, and on which machine each is to be run
//	world_test.go     machines as directories, their addresses and processes
//	chapters_test.go  the order of the blocks, and what is done between them
package runbook
