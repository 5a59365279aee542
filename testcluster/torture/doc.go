// Package torture puts a federation of real processes through faults while clients use it, and
// judges what the clients saw and what lies on the disks.
//
// Datagrams between the processes pass proxies that delay, lose, repeat, reorder and cut them.
// Clients speak HTTP as institutions and citizens do, and note every operation with its begin, its
// end and how it ended: done, refused for sure, or unknown. Faults come from a seed: the order, the
// kinds and the durations are the same in each run of it, while what they meet is not, since
// processes, disks and the network keep their own time. At the end everything is mended, the
// federation has a bounded time to come to rest, and the judges give their verdicts:
//
//   - every acknowledged message is in the right inbox exactly once, every one that was refused for
//     sure is in none, one of unknown outcome is there at most once, in the order of the log;
//   - what a sender reads of a message never goes backwards;
//   - logins, profiles, preferences and verdicts of each citizen are linearizable;
//   - a revoked key is refused a second after its revocation was acknowledged;
//   - one region at most owns a code, and replicas are equal at equal index;
//   - no disk of a region holds anything readable of a citizen whom the region never owned;
//   - after each fault that leaves a majority, writes resume within ten seconds.
//
// A judge that cannot fail proves nothing: the build tag planted puts known bugs into the product,
// one at a time, and each must be found.
//
// Map of the files:
//
//	config.go           what to run
//	run.go              the run: start, torture, rest, judgement
//	report.go           what came of it
//	timeline.go         what happened when
//	places.go           the processes by region and kind
//	proxy.go            the network between the processes
//	disk.go             file systems that fail, fill up and lose what was not synced
//	admin.go            operators' commands
//	faults.go           the table of faults, and their order
//	faults_process.go   processes that die and freeze
//	faults_network.go   weather and cuts
//	faults_disk.go      disks
//	faults_forget.go    disks that come back and have forgotten
//	faults_clock.go     clocks
//	faults_operator.go  operators at work, and what dies meanwhile
//	faults_trust.go     certificates and authorities
//	client.go           HTTP, and what an answer says of the outcome
//	book.go             what clients did and were told
//	citizen.go          a citizen's life
//	messages.go         who writes to a citizen, and what becomes of it
//	bulk.go             institutions' bulk requests
//	keys.go             keys that are revoked
//	probe.go            whether each region takes writes
//	watch.go            digests and leaders while it runs, processes that end
//	registry.go         the model of one citizen's registry entry
//	registry_open.go    operations whose end nobody saw
//	judge.go            the judges of what clients saw
//	judge_disks.go      the judge of what lies on disks
//	judge_sealed.go     the judge of what waits in spools
package torture
