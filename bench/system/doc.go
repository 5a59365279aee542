// Package system runs the systems that are compared, each as real processes of this machine with
// real files, and offers them messages by their own clients.
//
// Each is three replicas that acknowledge a message when a majority of them has it on disk, with
// fsync: that is what Check and the count of fsyncs hold them to. Beyond that they have their
// defaults, but for bounds that would end a run.
//
// Files:
//
//	system.go     what every system does, steps, the list of systems
//	child.go      a process
//	keys.go       idempotency keys
//	ports.go      addresses on the loopback interface, pages of metrics
//	nats.go       NATS JetStream
//	etcd.go       etcd
//	postgres.go   PostgreSQL, with pgcluster.go: its processes
//	staffetta.go  Staffetta
package system
