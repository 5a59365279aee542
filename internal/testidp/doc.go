// Package testidp is an identity provider for tests and local federations: ten invented citizens, a
// page that lists them, and a switch for every way in which a provider, or whoever stands between,
// can be wrong.
//
// It speaks OpenID Connect with discovery, PKCE and userinfo in three forms. It is a counterpart:
// it shares nothing with what it tests but the library that signs. Whoever opens its page is any of
// the citizens, so it listens on this machine only.
//
// Map of the files:
//
//	provider.go  Provider: its documents, its page, codes and tokens
//	tokens.go    what it says of a person, and signs
//	faults.go    the faults
//	citizens.go  the citizens
package testidp
