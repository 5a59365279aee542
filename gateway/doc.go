// Package gateway is the edge process: HTTP for institutions and citizens on one side, the
// federation's nodes on the other. It keeps nothing on disk, so that any number of gateways stand
// behind one address, and one that dies takes no message with it that was answered 201.
//
// Guarantees:
//   - Every request is answered, by an API's contract or by problem details; a fault in one
//     request ends that request alone.
//   - Every wait and size that a client controls is bounded: header, body, time to send them,
//     connections, requests under way.
//   - No log line or metric shows a path, query, header or body of a request: routes are named by
//     their pattern, requests by an id of our own.
//   - When it is told to stop, it takes no new connection, finishes the requests under way within
//     DrainWait, and only then leaves the federation.
//
// Map of the files:
//
//	config.go    what a gateway needs, its limits
//	gateway.go   New, Run, health and status
//	serve.go     the public HTTP server and its bounds
//	edge.go      around every request: id, headers, bounds, panics, access metrics
//	compress.go  answers compressed for who asks for it
//	rooms.go     file descriptors, watched as a node's are
//	status.go    whether calls are answered here now: the operations of no API
//	info.go      what a client asks before a login
//	linger.go    a body that nobody read, heard so that its sender sees the answer
//	openapi.go   the documents of package api
//	stats.go     metrics
package gateway
