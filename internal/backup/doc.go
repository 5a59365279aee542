// Package backup keeps copies of groups' states in a repository: a directory, or a bucket of an
// S3-compatible store.
//
// A copy is cut into pieces. Each is kept once, under a name made of its content, so that the next
// copy of the same replica adds only what changed: tables and blobs of a state are never written
// twice. A manifest names the pieces of one copy and says whose state it is and as of when.
//
// Guarantees:
//   - A manifest that is there is whole: it is written last, in one step, when every piece of it
//     has been taken by the target. A backup that breaks off leaves pieces that nobody names.
//   - Nobody reads or changes a copy unnoticed without the repository's key: pieces and manifests
//     are sealed with AES-256-GCM under keys derived from it, and their names tell nothing of
//     their content. The key is never in the repository; without it every copy is lost.
//   - Of a copy that a node has sealed to its region's recovery key (wire.SealedKey) nobody reads
//     the content without that key's private half, whoever has the repository's. Pieces are of what
//     the node sealed, so that they are shared, stored and verified without it.
//   - A prune removes nothing that a manifest names, and runs while no backup does: locks in the
//     repository, judged by the target's own clock.
//   - Memory is bounded by some pieces of 4 MiB and by one manifest, whatever the state's size.
//
// What a target can do unnoticed is to lose the newest manifests. List says which are there.
//
// In the repository:
//
//	repository                    format, a random id, and a check of the key
//	objects/<ab>/<name>           a sealed piece
//	manifests/<group>/<time>-…    a sealed manifest
//	locks/<kind>-<id>             held while somebody works here
//
// Map of the files:
//
//	target.go      what a repository lies on
//	dir.go         a directory
//	s3.go          a bucket
//	key.go         the key, and what is sealed with it
//	recovery.go    recovery keys, and sealed copies in clear
//	manifest.go    whose copy, as of when, of which pieces
//	repository.go  making, opening, listing
//	lock.go        who works here
//	make.go        taking a copy
//	fetch.go       reading one
//	verify.go      is it all there?
//	prune.go       removing old copies
package backup
