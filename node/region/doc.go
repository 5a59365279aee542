// Package region is a region's replicated state: who its citizens are and what they chose (the
// activation registry), what was sent to them (the inboxes), and the blocks that carried it (the
// message log).
//
// The state changes only by applying the entries of the region's Raft log, in order. Apply is a
// pure function of state and entry: it reads no clock, no randomness and no map in its order, so
// every replica writes the same bytes. Time comes from the entries, as far as a majority bears
// it out (see clock.go).
//
// Guarantees:
//   - A message id gets one verdict, for ever, and at most one inbox row; an idempotency key of
//     a service for a citizen names one message. Retries are answered with the first verdict,
//     in the same block, in a later one, and after a restart.
//   - A verdict is decided only while this region owns the recipient, or holds its anchor slot
//     and nobody claimed it. Once released, a code is refused here for ever.
//   - A message that was refused is not kept: without any accepted record its block is not
//     stored, and otherwise its record is erased from the block, see erase.go.
//   - Everything one call of Apply changes is committed with position and digest as one batch.
//     The digest is a chain over the entries, so it does not depend on how they were batched.
//   - What cannot be decoded, or is of an unknown kind, ends Apply with an error: a replica
//     that does not understand its log stops.
//
// Citizens are named by wire.Recipient, a keyed hash, in every key; a fiscal code in clear stands
// only in profiles, sessions and the records of delivered messages.
//
// Map of the files:
//
//	config.go    what a caller gives, and every bound of the state
//	keys.go      the key layout
//	rowkinds.go  the kinds of rows, and what becomes of each when its citizen moves
//	rows.go      the values
//	reads.go     what operators read
//	state.go     opening, closing, positions, snapshots
//	apply.go     entries to changes
//	kinds.go     the kinds of commands, and how each is applied
//	clock.go     the state's time
//	redate.go    what was dated in the future, when it goes back
//	change.go    the uncommitted changes of one Apply, readable, and their digest
//	block.go     applying a block
//	expected.go  blocks that the leader has decoded already
//	bugs.go      where known bugs go in a build for tests
//	verdict.go   the rules that accept or refuse a record
//	standing.go  the cache of what a verdict needs
//	standingtable.go its table: a standing of each citizen in 16 bytes
//	warm.go      reading all standings into it, after a start
//	recent.go    a filter that knows fresh ids without asking the disk
//	claim.go     claims, releases, imports
//	slots.go     anchor slots, and how they change hands
//	move.go      a citizen moves away: intent, fence, end, abort
//	moveexport.go  what goes along, page by page
//	movein.go    a citizen moves to here: pages, refusal
//	movecheck.go what another region may hand over
//	movecopy.go  what an earlier owner still has, after a restore
//	movekeys.go  the keys of moves
//	importkey.go idempotency keys that come from another region
//	takeback.go  a code that the directory has with the region and its log has not
//	remains.go   what is left of a citizen who moved away
//	sessions.go  logins, sessions, logouts
//	sessionset.go a citizen's set of sessions
//	lock.go      a citizen's lock of their own access
//	preferences.go what a citizen chose for one service
//	profile.go   the registry entry and its update
//	expire.go    sessions and rejections past their time
//	erase.go     refused content leaves its block
//	spool.go     sealed blocks for regions that are away, and their stubs
//	spooloffer.go which spooled blocks may be with their owners
//	spooldone.go what became of a spooled block; stubs past their time
//	spoolread.go what the leader and senders ask of the spool
//	spoolkey.go  the region's own key pairs
//	copykey.go   what copies of the state are sealed with
//	version.go   the group's active version
//	reconcile.go ownership after a restore, compared with the directory
//	admit.go     what a leader checks before it proposes
//	read.go      what senders and operators ask
//	explain.go   all that is known of a message, and the search for its recipient
//	inbox.go     what citizens ask, and what they do with a message
//	list.go      pages of the inbox
//	delete.go    messages that their citizens delete
//	search.go    messages that have some words
//	counts.go    how many messages a citizen has
//	arrivals.go  the order in which messages arrived, and pages in it
//	content.go   decoded blocks for reading
package region
