package consensus

// The guards: each closes a defect or trap of the libraries below, or of disks. docs/guards.md
// tells of every one what happens without it. Only tests switch them off, to see that their
// regression tests can fail.
const (
	// The library.
	guardHeartbeat          = "heartbeat"            // hashicorp/raft#695
	guardPipeline           = "pipeline"             // hashicorp/raft#612
	guardStall              = "stall"                // hashicorp/raft#503
	guardDiskError          = "disk-error"           // hashicorp/raft#614
	guardTransferStuck      = "transfer-stuck"       // hashicorp/raft#696
	guardStaleTail          = "stale-tail"           // hashicorp/raft#697
	guardInstallLoop        = "install-loop"         // hashicorp/raft#697
	guardStaleSnapshot      = "stale-snapshot"       // a late snapshot would wipe acknowledged entries
	guardTrailing           = "trailing"             // hashicorp/raft#86
	guardNoRestoreCommitted = "no-restore-committed" // deadlock at start
	guardPreVote            = "pre-vote"             // a returning node must not depose a leader
	guardRemoved            = "removed"              // hashicorp/raft#524
	guardOneInstall         = "one-install"          // an installing replica does not vote
	guardSentLog            = "sent-log"             // TrailingLogs is a number, not what is needed
	guardLag                = "lag"                  // progress that the library does not show
	guardFreshAnswers       = "fresh-answers"        // old answers confirm no leader
	guardOrphans            = "orphans"              // futures that nobody answers

	// The log stores.
	guardEntryCap = "entry-cap" // raft-wal accepts what it cannot read
	guardChecksum = "checksum"  // raft-wal does not check what it reads
	guardGap      = "gap"       // bolt accepts a log with a hole
	guardVersions = "versions"  // only these build together and have the fixes

	// Log against state.
	guardReplay         = "replay"          // an entry is applied once
	guardSnapshotList   = "snapshot-list"   // rqlite/rqlite#2747
	guardFlush          = "flush"           // truncation only behind what is durable
	guardInstalledLog   = "installed-log"   // crash between install and log wipe
	guardInstalledTail  = "installed-tail"  // entries acknowledged after an install
	guardLostLog        = "lost-log"        // the log ends before the state
	guardShortLog       = "short-log"       // the log ends before what was on disk
	guardLostState      = "lost-state"      // the log begins after the state
	guardForeignLog     = "foreign-log"     // log and state disagree about an entry
	guardLostTerm       = "lost-term"       // votes were forgotten
	guardIdentity       = "identity"        // another node's directory
	guardHalfBootstrap  = "half-bootstrap"  // crash between term and first entry
	guardClock          = "clock"           // a leader whose clock is off
	guardVisibleRewrite = "visible-rewrite" // reads after a truncated tail
	guardDigest         = "digest"          // a replica that differs from the others
)

// guards says which guards are off; the zero value has all of them on.
type guards map[string]bool

func (g guards) on(name string) bool { return !g[name] }
