// Package remote fetches what an institution keeps itself of a message: what is to be accepted
// before the message opens, its text, its attachments. Nothing of it is kept or logged.
//
// An institution names the server, so the server's word is not trusted, nor where its name leads:
//   - A connection goes to public addresses only, which are looked at after the name was resolved,
//     and it is the address that was looked at that is dialled: a name that changes its answer
//     gains nothing. The operator may allow others. Without TLS a connection goes to allowed ones
//     only.
//   - Redirects are not followed, no proxy is used, nothing is decompressed.
//   - Everything has a time limit and a size; one configuration has a bounded part of the calls.
//   - An attachment begins as a PDF does, or nothing of it passes. It is handed on as it comes and
//     never held whole.
//
// Map of the files:
//
//	remote.go   Client: the calls
//	dial.go     where a connection may go
//	content.go  what an institution may answer
//	fault.go    what became of a call otherwise
package remote
