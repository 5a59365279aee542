// Package identity is what a gateway and an identity provider have to say to each other: how a
// login begins and ends, what a provider asserts of a person, and what is believed of it.
//
// A Provider speaks a protocol. What it found to be said by the right party, fresh and about this
// login, is an Assertion: attributes, as they came, and evidence. It is not yet anybody's
// identity. Rules.Accept makes an Identity of it, and is the only place that does: which codes are
// a natural person's, how sure the provider must be, how old a person must be, and whether it is
// the one who is expected, is the same whatever protocol said it.
//
// Every refusal is a Refusal with a Reason. What it says is safe to log: it never holds what an
// attribute holds.
//
// Map of the files:
//
//	identity.go  Identity, Assertion, Evidence
//	level.go     Level
//	provider.go  Provider, and what passes between it and a login
//	accept.go    Rules.Accept
//	source.go    Source: what providers publish, and when it expires
//	refusal.go   Refusal, Reason: what a citizen and an app are told
package identity
