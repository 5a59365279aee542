// Package wire is the vocabulary of Staffetta: what travels between gateways, relay nodes and
// operators, and what a region's log holds. Bytes in, bytes out; no network, no clock.
//
// An institution submits a message for a fiscal code. The gateway turns it into a Record and
// puts records for one region into a Block, compressed once. The owner region's leader wraps the
// block, byte for byte, into a log Entry; applying the entry gives one Outcome per record.
// Everything else that changes a group's state (profiles, sessions, claims, services, keys) is a
// Command; up to 512 share one entry of kind Commands.
//
// Guarantees:
//   - Every decoder bounds sizes before it allocates and refuses what it does not fully
//     understand with an Error; see limits.go for the bounds and their reasons.
//   - Equal values have equal bytes. Messages use Protobuf's wire format with the
//     compatibility rule of package codec; frames (Block, Entry) have a version byte and a
//     checksum, and an unknown version or kind is refused, never skipped.
//   - No Error, String or Format method of this package shows a fiscal code, body or key.
//
// Map of the files:
//
//	id.go          regions, nodes, services, message ids
//	recipient.go   the keyed hash of a fiscal code, anchor slots
//	error.go       the closed list of error codes and its table to HTTP
//	limits.go      every bound of the wire, with its reason
//	record.go      one submission
//	block.go       up to 128 records, compressed once
//	evidence.go    salts, leaves, Merkle roots, erasure of a record
//	kinds.go       every kind of entry and command: number, version, what goes in and comes out
//	methods.go     every call: number, what goes in and comes out, what a second copy does
//	entry.go       the envelope of a Raft log entry
//	version.go     the versions of logs, and what else they brought
//	replica.go     what keeps the replicas of a group alike
//	outcome.go     what the owner decided about a record
//	approve.go     what waits for a second operator
//	clock.go       a group's time, confirmed by a majority
//	command.go     a command, batches of them, their results
//	citizen.go     sessions, profiles, preferences, inbox pages
//	session.go     a citizen's set of sessions
//	inbox.go       what a citizen does with messages
//	stale.go       reads of a region without a leader
//	arrival.go     a place in the order in which messages arrived
//	claim.go       ownership: claim, release, import
//	move.go        ownership: a citizen's move to another region
//	order.go       what operators order of a region after a loss
//	slots.go       anchor slots that change hands
//	spool.go       what waits for a region that is away: sealed blocks, stubs, relay
//	seal.go        region keys, sealing and opening a block
//	catalogue.go   the list of all services
//	directory.go   the federation's map, services, keys and directory
//	remote.go      configurations of remote content
//	members.go     who takes part: changes of the map, join tokens, membership
//	trust.go       authorities, revocations, and the certificates that members show
//	renew.go       certificates that are renewed unattended
//	relay.go       what most calls of the relay protocol carry
//	attest.go      what a node says of its data directory
//	backup.go      copies of groups, restored groups, reconciled ownership
//	recovery.go    recovery keys of regions, and the keys of copies sealed to them
//	sealcopy.go    the segments that a sealed copy consists of
//	views.go       what operators ask for: audit, institutions, services
//	operators.go   what operators ask about themselves
//	status.go      what a node says of itself and of its peers
//	explain.go     what became of a message
package wire
