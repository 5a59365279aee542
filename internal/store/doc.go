// Package store keeps one group's replicated state in a Pebble database.
//
// A group's state machine turns each log entry into one batch; the store adds how far the log is
// applied and the digest of everything written, and commits the three together. So a state and
// its position cannot disagree, whatever is lost in a crash.
//
// Guarantees:
//   - After a crash the database holds exactly the entries up to its position: some prefix of
//     what was committed, at least up to the last Flush, or up to the last Commit in Sync mode.
//   - Install switches to a received state as a whole: a crash leaves the old one or the new one.
//   - A directory of another federation, group, key or format, one that is half written, or one
//     whose data is damaged is refused with the reason. Nothing is repaired by guessing.
//   - After an error that leaves the disk's content in doubt the store accepts nothing more and
//     says so on Err, once. It neither retries in a loop nor forgets what it had promised.
//
// On disk, below Config.Dir:
//
//	LOCK          held while open
//	CURRENT       names the database directory in use; replaced by rename only
//	db-000001     a Pebble database; the number grows with each Install
//	creating      exists while a new directory is being made
//	staging       a state being received
//	checkpoints   hard links for states being sent
//
// Map of the files:
//
//	config.go      what a caller gives
//	store.go       open, close, the handle that Install replaces
//	layout.go      the directory and its pointer file
//	meta.go        position, digest, identity as keys
//	options.go     how Pebble is set up, and why
//	scheduler.go   one compaction at a time, none while opening
//	fail.go        the first fatal error, and what happens after it
//	fault.go       what failed, on which file; reads that end the store
//	pace.go        how flushes and compactions leave the processor to others
//	commit.go      commit, flush, back-pressure
//	read.go        reads
//	checkpoint.go  sending a state
//	rewind.go      sending it again
//	stream.go      the bytes that travel
//	stage.go       receiving a state and switching to it
//	copy.go        a state's files, held still, for a backup
//	build.go       a store made of the files of a backup
//	stats.go       sizes and metrics
package store
