// Package admin has an operator's commands. They call nodes over the link, under the operator's
// certificate, by package operator; what they print is here.
//
// A command is a value of type command: its words, its flags, what it refuses before anybody is
// asked (check), and one function that carries it out and returns a report: do on this machine,
// ask with a client, change for one that changes the map. From that follow --json and --dry-run,
// the operator's flags, the deadline, the text or JSON that is printed, the exit code, and the name
// that its errors begin with. With --dry-run its calls are a rehearsal, whatever it does: the nodes
// only say whether this operator might make them.
//
//	admin.go            the command admin, and the flags that say who the operator is
//	approve.go          what takes two operators
//	audit.go            the operators' log
//	backup.go           copies of groups: init, take, list, prune
//	backup_check.go     whether copies can be read back
//	ca_forget.go        authorities that nobody has used
//	cert.go             certificates: issue, show
//	cert_request.go     certificates by request, where the key does not travel
//	cert_serve.go       a renewer, and what it may sign
//	command.go          how a command is declared, and what follows from that
//	context.go          commands that keep the file of contexts
//	contexts.go         federations that an operator named
//	doctor.go           what is wrong, and what to do
//	explain.go          where a message is, and why
//	gateway.go          gateways of the map
//	help.go             help of commands that are small enough to be explained in one place
//	init.go             a federation's founding
//	institution.go      institutions
//	key.go              keys of services
//	members.go          commands that change the map, and waiting for what they change
//	move.go             citizens who move
//	node.go             nodes of the map
//	node_join.go        join tokens, and nodes that replace others
//	page.go             reports as text: lines and tables
//	recover.go          what a restored region fetches, and spooled messages nobody can read
//	region.go           regions of the map
//	region_recovery.go  a region's recovery key
//	regionkey.go        the key to which messages for a region are sealed
//	restore.go          a group restored from a copy
//	restore_fence.go    the end of a region's incarnation before it is restored
//	service.go          services
//	session.go          sessions of citizens
//	slots.go            slots of unclaimed codes
//	status.go           how the federation does
//	trust.go            authorities and revocations
//	upgrade.go          versions of programs and logs
//	voters.go           who votes in the federation
//	whoami.go           who the operator is, and may do
package admin
