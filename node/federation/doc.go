// Package federation is the federation group's replicated state: the map of regions and nodes,
// the institutions and their services with hashed keys, and the directory that says which region
// owns a fiscal code. Every node holds a replica and answers from it.
//
// Apply is pure: equal entries in equal order give equal state, results and digest on every
// replica, however they are cut into batches. It reads no clock, no random and no network; time
// is max(previous, the entry's).
//
// Guarantees:
//   - A command that fails changes nothing and says why with a wire.Error. The commands of an
//     entry are independent; each sees the effects of those before it.
//   - An entry that cannot be decoded, or holds a kind of command that this version does not
//     know, stops the replica: skipping it would make replicas differ. A leader refuses it
//     before it is logged; see Check.
//   - Apply returns when the change is fsynced, so that a replica cut off from the leader still
//     knows, after a restart, every key and service that it ever knew.
//   - No fiscal code is stored or returned in clear. The codes of authorized recipients are
//     hashes, and sealed for reading back.
//
// Rows, all below the store's own:
//
//	b                      which regions have reported to a restored federation
//	t                      the state's time
//	tc                     the last time that a majority confirmed
//	m                      the map
//	i/<institution>        an institution
//	s/<service>            a service
//	k/<hash of a key>      the service that has it
//	r/<id>                 a configuration of remote content
//	j/…                    join tokens, and names that are not given again
//	u, u/…                 the audit: its bounds, its lines
//	w/<id>                 a request that waits for a second operator, or had one
//	d/<recipient>          what the directory says of one code, 4-15 bytes
//
// Map of the files:
//
//	config.go      what a caller gives
//	state.go       open, snapshots, close
//	apply.go       entries to batches, the digest
//	clock.go       the state's time, and what was dated in the future
//	version.go     the active version
//	kinds.go       the kinds of commands, and how each is applied
//	commands.go    found, institutions, services, keys
//	map.go         changes of the map
//	spool.go       public keys of regions, on the map
//	slots.go       anchor slots that change hands
//	members.go     regions, nodes, voters, gateways
//	tokens.go      how a node joins
//	trust.go       authorities and revocations
//	directory.go   compare-and-set on a code's entry; resolving
//	move.go        operators' orders to move a citizen
//	backup.go      the database, for copies
//	restore.go     regions' reports to a restored federation; fencing a restored region
//	recovery.go    recovery keys of regions, on the map
//	audit.go       operators' changes, with a line each
//	approve.go     requests that wait for a second operator
//	registry.go    institutions and services, page by page
//	catalogue.go   services as citizens see them in a list
//	read.go        look-ups
//	feed.go        recent changes, for caches elsewhere
//	rows.go        keys and values
//	validate.go    what is refused
//	remote.go      configurations of remote content
//	service.go     a service as an operator gives it; sealing
package federation
