// Package scale measures the relay when it has grown large: a region's state, the federation's
// directory, a follower that comes back.
//
// States grow on the disk, by log entries that are applied to the product's own code. Nothing is
// written past it, and no row is left out: citizens are claimed, logged in and activated, and the
// leader's notes on them are applied too. States grow in steps; an interrupted run goes on from
// the entry where its state stopped, since every entry follows from its index.
//
// A step is first written to a file and then applied, so that inventing and compressing messages
// is in no figure. It is measured until the database has nothing left to compact: processor time
// and bytes written of a step include what it leaves to be done behind it. What has to be seen
// from a cold start is measured in a process of its own.
//
// Map of the files:
//
//	config.go     sizes, bounds, what the commands bring along
//	citizens.go   the citizens of a grown region, by number
//	entries.go    a region's log, by index
//	spool.go      the file that a step is applied from
//	grow.go       a state that grows step by step, resumable
//	usage.go      what this process has used
//	disk.go       room, sizes, and pages forgotten
//	region.go     the region's run
//	reads.go      reading beside writes
//	cold.go       what is measured in a process of its own
//	directory.go  the directory's run
//	catchup.go    the run of a follower that comes back
//	report.go     the results, for machines
//	text.go       the results, for people
package scale
