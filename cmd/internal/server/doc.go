// Package server has the commands that run a process of a federation: a relay node, a gateway.
//
//	node.go       the command node
//	node_join.go  what a node starts with: the founding file, or a join token
//	gateway.go    the command gateway
//	certs.go      the flags of a process's certificate
//	disk.go       sizes, and the watermarks of free disk space
//	spool.go      what a region keeps for regions that are away
//	clock.go      another clock than the machine's, which only a build for tests has
//	memory.go     how a process collects its garbage
package server
