// Package problem answers HTTP requests: problem details (RFC 9457), JSON, and request bodies
// read within a bound.
//
// Every problem carries a stable type, which clients may rely on when a title is shared by
// several causes, as the institutions' contract has it. Types are URNs, not addresses: a
// federation has as many gateways as it likes under as many host names, and a type must be the
// same at all of them. They cannot be dereferenced; docs/problems.md lists them, and a test
// holds list and code together.
//
// Nothing here puts a fiscal code, a body or a key into an answer: details come from fixed texts
// and from wire.Error, whose detail never carries them.
//
// Map of the files:
//
//	problem.go  Problem, Write, the types that every API shares
//	wire.go     from a wire.Error to the problem that tells it
//	body.go     request bodies
//	accept.go   what a client accepts
//	json.go     JSON answers
package problem
