// Package recovery is what a group loses nothing by when all its disks are lost: copies of its
// state.
//
// Guarantees:
//   - A copy is of one moment, and has all that was acknowledged before it was asked for, unless it
//     was asked for as stale.
//   - A region's copy is sealed to its recovery key, if it has one.
//   - A node whose group was restored without it ends.
//
// Map of the files:
//
//	recovery.go     Recovery
//	backup.go       copies of the states, held still for operators
//	seal.go         recovery keys, and what copies are sealed with
//	restore.go      restored groups: their incarnations, and what they wait for
//	dir.go          a data directory made of a copy
package recovery
