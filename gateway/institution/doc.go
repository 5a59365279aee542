// Package institution is the HTTP API of the sending institutions: submit a message, or a stream
// of them, learn what became of it, ask whether a citizen can be written to.
//
// It speaks the public contract of the IO app, so that a client written for that changes only
// its base URL: the same paths, header, fields, defaults, order of checks, titles and details.
// Where that contract is silent or faulty, this one says more and breaks nothing:
//
//   - Malformed JSON is 400, not 500. Duplicate members, invalid UTF-8, text after the value and
//     nesting deeper than 64 are malformed; half a character in an escape is not.
//   - Problems always carry a type, see docs/problems.md. The answers of the contract's gateway
//     (401, 429) keep its form {"statusCode","message"}, unless problem details are accepted by
//     name.
//   - 201 and a later GET tell the verdict in headers of ours, Staffetta-Status and
//     Staffetta-Rejection-Reason, and in their bodies where the client asks for it with
//     "Prefer: return=representation": a strict client throws on a member it does not know.
//   - Idempotency-Key, bare or quoted, and the member idempotency_key are one key: the same key,
//     service and recipient give the same message; with another body 409.
//   - 429 also carries Retry-After, and every answer RateLimit and RateLimit-Policy as of
//     draft-ietf-httpapi-ratelimit-headers-11. Each gateway counts for itself.
//   - A timestamp without zone is read as UTC, and one that names no instant (30 February) is
//     refused. What else is judged otherwise than by the contract's decoder, contract_test.go
//     lists.
//   - A report on an invalid message names path and type. The value itself is shown only where
//     it is short and cannot be text or a fiscal code.
//   - prescription_data and legal_data, which the contract has given up, are unknown members
//     and dropped as such. default_addresses is checked and ignored.
//   - A payment, and content that the institution keeps, are shown and served by nothing yet: such
//     a message is refused as not-served, or taken and marked, by a setting. A configuration_id
//     must be well-formed; whether there is such a configuration is not checked.
//   - payment_status is never answered: it would take a call to the payment platform.
//
// The checks of a submission run in the contract's order: key (401), rate (429), scopes, body
// (413, 400), fiscal code in the path, Idempotency-Key, scopes of the payload, source address,
// fiscal code in exactly one place, remote content, attachments, recipient of a limited sender,
// amount. Then the owner region decides.
//
// A bulk request, which is this API's own, has a message a line and is answered a line each, in
// their order, while it is still being sent. Each line is checked and answered as a submission of
// its own. A window of lines is under way; beyond it the client is not read from. What was read
// whole is decided, even when the client leaves.
//
// Map of the files:
//
//	config.go      API: construction
//	operations.go  the operations
//	admit.go       key, rate limit, scopes, source address: what comes before every call
//	address.go     the client's address, behind proxies or not
//	rate.go        calls per institution and window
//	capacity.go    submissions a second, of all institutions
//	submit.go      POST messages
//	idempotency.go the key that makes repeating harmless
//	bulk.go        POST messages/bulk: a stream, and how it reads
//	bulklines.go   lines, cut without a copy
//	bulkanswer.go  how it answers
//	bulkstats.go   streams under way, their bounds and metrics
//	decode.go      bodies, and what is said of one that is none
//	message.go     NewMessage, field for field
//	scan.go        the same, the short way, for the message that nearly all send
//	rules.go       the values that fields may have
//	unserved.go    what is accepted and cannot be served yet
//	verdict.go     how a verdict is told
//	read.go        GET message
//	profile.go     profiles
//	problems.go    every refusal
//	stats.go       metrics
package institution
