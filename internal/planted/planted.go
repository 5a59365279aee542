// Package planted names known bugs that a build for tests puts into the product, to prove that
// they would be found.
//
// A build with the tag planted has them all, and the environment variable Variable says which one
// is at work in a process: one, or none. A build without the tag has none of them, and reads
// nothing. The bugs themselves stand in files *_planted.go beside what they spoil.
package planted

// Bug is the name of a bug.
type Bug string

// The bugs, one of each class that the judges must find.
const (
	// AckBeforeFsync: a submission is answered before anything of it is on a disk.
	AckBeforeFsync Bug = "ack-before-fsync"
	// DoubleApply: a message that is sent again under its key is applied again.
	DoubleApply Bug = "double-apply"
	// LostSpool: the spool acknowledges a block and drops it.
	LostSpool Bug = "lost-spool"
	// StaleOwner: a region goes on deciding for a code that it released.
	StaleOwner Bug = "stale-owner"
	// DivergentApply: now and then a replica writes another byte than the others.
	DivergentApply Bug = "divergent-apply"
	// TrustedDisk: a node that comes back on another disk, or an earlier state of its own, is let in.
	TrustedDisk Bug = "trusted-disk"
)

// Bugs are all there are.
var Bugs = []Bug{AckBeforeFsync, DoubleApply, LostSpool, StaleOwner, DivergentApply,
	TrustedDisk}

// Variable is the environment variable that names the bug at work.
const Variable = "STAFFETTA_PLANTED"
