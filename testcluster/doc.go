// Package testcluster judges what a federation did: everything acknowledged is there exactly
// once, everything refused is absent, order is the log's.
//
// Its subpackages run federations to be judged: virtual, in one process and virtual time, where
// networks are cut and nodes crash in milliseconds; process, real processes on this machine.
package testcluster
