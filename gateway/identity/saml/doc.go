// Package saml logs citizens in at identity providers that speak SAML 2: SPID, as production runs
// it, and CIE.
//
// An Entity is the federation as one entity of SAML, with a key, a certificate and signed metadata;
// each of its Providers is one identity provider, an identity.Provider. A request is signed and
// goes out by redirect or as a form; the answer arrives as a form, at any gateway.
//
// An answer is believed if it has one meaning and that meaning is for this login. It is therefore
// read in an order in which nothing is understood before what could mislead is refused:
//
//  1. Its bytes: bounded, UTF-8, and without whatever readers could disagree on, such as document
//     types, entities, comments and foreign elements.
//  2. Its shape: one Assertion, in its place, with its signatures in theirs.
//  3. Its signatures: of one form, with algorithms and certificates that are believed of that
//     provider. From here on only what was signed is read, from the bytes that were signed.
//  4. What it says: to whom, from whom, when, in answer to what, how sure.
//
// Then the library reads the same bytes, and has to come to the same assertion. What is asserted is
// the rules' of package identity to accept.
//
// Map of the files:
//
//	config.go     Config, its bounds and its defaults
//	provider.go   Entity, Provider: begin and finish
//	request.go    the signed request
//	metadata.go   our signed metadata
//	guard.go      the bytes and the bounds of a document
//	tree.go       reading a tree without guessing; the places of what is signed
//	signature.go  what a signature covers
//	response.go   the checks of a response
//	assertion.go  the checks of an assertion, the level, the attributes
//	status.go     the official errors
//	remote.go     the metadata of identity providers
//	registry.go   its last good copy, its rolling certificates, its expiry
package saml
