// Package consensus hosts one Raft group: the replicas of one region's state, or of the
// federation's. An entry that Propose answered is fsynced on a majority of the group's voters and
// applied here; after Read, the local state holds everything that was acknowledged before the
// call. It is the only package that knows which Raft library is used.
//
// Guarantees:
//   - An acknowledged entry survives whatever a minority of the voters suffers. A replica whose
//     disk lies, lost data or disagrees with its own log refuses to start, or stops, with the
//     reason; it never repairs by guessing.
//   - What an error of Propose means is exact: NotLeader, Unavailable, Overloaded, TooLarge,
//     Malformed and NotReady say that nothing was appended; OutcomeUnknown says nothing at all.
//   - Every known defect of the libraries below has a guard here, see guards.go and
//     docs/guards.md.
//
// The library persists votes and entries in a log store (raft-wal or bolt); the group's state is
// a StateMachine that keeps its own position. Both are compared when a group opens.
//
// Map of the files:
//
//	config.go     Config, Timing, what they default to
//	group.go      Group: open and what it is made of
//	run.go        Run and Close: how a group ends
//	propose.go    an entry's way to a majority
//	read.go       linearizable reads
//	members.go    membership
//	followers.go  what a leader knows of its followers
//	status.go     what the group tells about itself
//	watch.go      leadership, as a subscription
//	fsm.go        the library's state machine over ours
//	snapshot.go   the library's snapshot store over our state
//	reconcile.go  log against state, before the library starts
//	restore.go    what a group that was restored from a backup begins with
//	stores.go     opening the log stores
//	files.go      which file of a log is damaged, before and while the stores use it
//	mark.go       where the log ended, in a second place
//	memory.go     a log store in memory, for virtual time
//	disk.go       the guard around both stores
//	transport.go  the library's transport over ours
//	parked.go     dialled streams that lie idle, closed until they are used
//	pipeline.go   a pipeline that cannot block
//	digest.go     digests of the state, compared between replicas
//	peers.go      what the leader knows of the others: progress
//	clock.go      the clocks of others, and which time is believed
//	future.go     waiting for the library
//	guards.go     the guards' names
//	errors.go     fates
//	hclog.go      the library's log
//	latency.go    how long the log's disk takes
//	stats.go      metrics
package consensus
