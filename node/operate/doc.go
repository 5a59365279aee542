// Package operate is the desk at which operators ask a node and order it.
//
// It also keeps what nobody asks for and an operator would have to do otherwise: it watches disks,
// compares replicas, and raises versions once every program knows them.
//
// Map of the files:
//
//	desk.go         Desk, its configuration, its calls
//	views.go        what operators ask of any node
//	status.go       everything that a node knows of itself
//	probe.go        the machine, and the ways to peers
//	operators.go    what operators ask about themselves
//	approve.go      requests that wait for a second operator
//	reads.go        what operators read, as the region's log has it
//	sessions.go     a citizen's sessions, and their end
//	digest.go       a leader compares the replicas of its group
//	disk.go, disk_linux.go, disk_other.go  watermarks of free space, ballast
//	rooms.go        inodes and file descriptors, watched as the disk is
//	version.go      upgrades
package operate
