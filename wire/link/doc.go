// Package link connects the members of a federation: relay nodes, gateways and operators, over
// QUIC, on one UDP socket per process.
//
// Every connection is TLS 1.3 with a certificate on both sides, whose one URI names its holder:
//
//	spiffe://<federation>/region/<region>/node/<id>
//	spiffe://<federation>/region/<region>/gateway/<id>
//	spiffe://<federation>/operator/<name>
//
// Between two members there are up to two connections per direction, told apart by ALPN, so that
// bulk never holds up a heartbeat: staffetta-raft/1 for the streams of Raft groups and
// staffetta-relay/1 for calls. A call is one stream:
//
//	caller                                   node
//	  header, request, FIN  ───────────────▶   authorised by certificate, read within bounds
//	  status, length, body, FIN  ◀──────────   one answer; HandleStream: frames, then an end
//
// Guarantees:
//   - Nobody is served whose certificate does not verify, or names another federation; a dialler
//     sends nothing to a node other than the one it asked for.
//   - Every error of Call and Stream is a *wire.Error. Unavailable: the request was certainly not
//     handled. OutcomeUnknown: it may have been.
//   - Nobody is served whom the federation has revoked: Trust cuts what is open, handshakes are
//     refused. Authorities change without a restart: the files', and the federation's.
//   - Whatever a peer sends is bounded in size, number and time; see limits.go.
//   - When Run has returned, nothing that the Link started is left.
//
// Map of the files:
//
//	limits.go       every bound, with its reason
//	config.go       what a Link is made of
//	identity.go     who a certificate says its holder is
//	certificate.go  certificates from files, reloaded when they change
//	grants.go       what an operator may do, by its certificate and the bounds of its authority
//	tls.go          verification, both ways
//	trust.go        authorities and revocations that change; connections that they end
//	judge.go        a certificate that nobody shows yet, judged as a handshake would
//	expiry.go       warnings before a certificate's end
//	link.go         Link: construction, registration of handlers
//	run.go          serving until the end
//	buffers.go      the socket's buffers
//	pool.go         connections that were dialled: one dial at a time, back-off, age
//	dial.go         one dial
//	header.go       the bytes at the beginning of a stream, and of an answer
//	call.go         the caller's side of a call
//	serve.go        the node's side of it
//	group.go        calls of a Raft group's leader, whoever it is
//	leaders.go      the groups that one process calls
//	raft.go         streams of one Raft group as net.Conn
//	conn.go         one stream as net.Conn
//	probe.go        a fresh connection for a doctor, and from whom others came
//	errors.go       what went wrong below, in the words of package wire
//	stats.go        metrics
package link
