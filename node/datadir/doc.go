// Package datadir is a node's data directory: whose it is, what it is marked with, and small files
// that are durable or not there.
//
// Guarantees:
//   - A directory is opened only by the node that made it, for the same federation, region and
//     name, with no newer format than the program's, while no other process has it.
//   - A directory that lost or changed what belongs into it is refused.
//
// Map of the files:
//
//	datadir.go      Dir, its lock, files of it
//	owner.go        whose it is, with a checksum
//	format.go       the newest version of what its logs may hold
//	marks.go        why a directory is not to be trusted any more; what begins from a backup
package datadir
