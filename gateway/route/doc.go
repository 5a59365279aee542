// Package route takes a submission to the region that owns its recipient and brings back the
// verdict; it does the same for reads and for citizens' calls.
//
// A fiscal code has one owner region at a time. Who it is stands in the federation's directory,
// of which route keeps hints: asked of the home region's nodes in batches, cached with a bound,
// kept true by the changes feed. A hint may be wrong at any moment. That is safe, because the
// owner decides in its own log and a region that is not the owner says so.
//
// Records for one region collect in its lane. While one block of the region is under way, what
// arrives makes the next one. So a lone record leaves at once, a crowd leaves in full blocks, and
// a region that does not answer holds nobody else's records. Institutions fill the blocks in
// turns, each with interactive submissions before bulk ones: nobody waits longer because somebody
// else sends much.
//
// Guarantees:
//   - Submit returns the owner's final word, or an error and no verdict after wire.OwnerWait at
//     the latest. Every retry sends the same record under the same id, and the owner answers a
//     second copy with its first verdict: whatever happens on the way, a message is stored once.
//   - Submissions that run side by side have no order among them, not even for one recipient. A
//     submission that begins after another's return comes after it in the owner's log.
//   - A key that was revoked is refused as soon as the feed has said so. A cached key is accepted
//     while the feed is away, for the key grace at most.
//   - Memory is bounded: waiting records per region and institution, look-ups under way, every
//     cache. At a bound an interactive submission gets wire.Overloaded, a bulk one waits, a cache
//     forgets.
//
// Map of the files:
//
//	config.go     what a router needs, its limits
//	route.go      the router: New, Run, what it knows of the federation
//	home.go       which home node is asked
//	feed.go       the session with a home node: welcome, changes feed, freshness
//	touches.go    what the feed said lately
//	directory.go  hints of owners
//	resolve.go    looking owners up, in batches
//	services.go   services by key and by id
//	catalogue.go  the list of all services
//	remote.go     configurations of remote content
//	owner.go      calling a region's leader
//	lane.go       what waits for one region, and its bounds
//	share.go      whose turn it is in a lane
//	item.go       one record in a lane
//	carry.go      making blocks and bringing them to the leader
//	submit.go     one submission, from hint to verdict
//	bulk.go       bulk submissions, begun without being waited for
//	spool.go      regions that are away: finding out, sealing, spooling
//	stale.go      reads of a region without a leader
//	spoolread.go  a message, wherever it is
//	call.go       reads, and citizens' calls
//	status.go     readiness, status
//	stats.go      metrics
package route
