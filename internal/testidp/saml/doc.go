// Package saml is an identity provider of SPID's kind for tests and local federations: ten invented
// citizens, and a switch for every fault that a provider, or whoever stands between, can put into
// an answer.
//
// It is a counterpart, and shares nothing with what it tests but the library that signs.
//
// Map of the files:
//
//	provider.go  Provider: its metadata, its pages, its answers
//	response.go  what an answer says, as a tree, signed
//	faults.go    the faults
//	wrap.go      those that wrap what is signed
//	signer.go    keys
//	citizens.go  the citizens
//	local.go     the provider of a local federation
package saml
