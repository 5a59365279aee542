// Package load offers messages to a running federation, and measures what they cost it.
//
// Load is offered in one of two ways. Closed: each connection sends its next message when the
// last one is answered; that finds the throughput. Open, at a given rate: each message has its
// time, and its latency counts from that time even when no connection was free to send it, so
// that a system that stalls cannot hide it (coordinated omission).
//
// Messages travel one a request, or as lines of bulk streams, of which each has a window of lines
// without a verdict.
//
// The generator shares the machine with what it measures. It therefore writes requests by hand
// over persistent connections, which costs half of what net/http does, and reports its own
// processor time beside the federation's.
//
// Costs are differences between two samples, one when the warm-up ends and one when the last
// message is answered: processor time, memory and bytes written of every process as Linux
// counts them, bytes sent as the processes' metrics count them, and the growth of their
// directories.
//
// Files:
//
//	config.go   what a run needs
//	run.go      the phases of a run, its workers
//	corpus.go   the messages
//	conn.go     one persistent connection
//	bulk.go     one bulk stream
//	tally.go    latencies and verdicts
//	process.go  a process as /proc shows it
//	sample.go   the whole federation at one moment
//	report.go   the results, for machines
//	text.go     the results, for people
//	half.go     latency at half of the highest throughput
//	fairness.go one institution beside another
//	overload.go three times what a federation can do
//	reads.go    citizens who read their inboxes
//	idle.go     what a federation costs that nobody uses
package load
