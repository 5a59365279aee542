// Package operation declares each HTTP operation once. The declaration determines its route, the
// checks before the handler, the limit on the body, the status of success, and what a test requires
// of the OpenAPI document.
//
// An API is a list of rows, each an operation and its handler, and three functions: Begin makes the
// call's value, Admit decides who is let in, Refuse writes an error.
//
// The institutions' API, the citizens' and the gateway's own are three such lists. The checks of
// every request run in this order:
//
//  1. the mux: a path that nothing serves is 404, a method that the path lacks 405;
//  2. Admit: credentials, rate, capacity, scopes, whatever the API asks of who calls;
//  3. an operation that IO's contract has and nobody serves is 501;
//  4. the handler, which validates path and body before it calls the federation.
//
// A handler answers once, through its Call, or returns an error, which the API refuses in its form.
// What holds of every answer therefore has one place, Call: preferences are read there, and what an
// answer says of itself is written there. Compression is the gateway's edge's, which sees the
// answers of everything.
//
// Map of the files:
//
//	operation.go  Operation and Row: the declaration
//	api.go        API: from rows to routes, the order of the checks
//	call.go       Call: a request's body, its preferences, its answer
//	version.go    the program's version, for operations that tell it
package operation
