// Package oidc is an identity provider that speaks OpenID Connect: the code flow with PKCE.
//
// What the protocol is, is the same for all; in what providers differ is a Dialect, a table of few
// lines, and where their endpoints and keys come from is a Source: discovery here, a trust chain in
// package oidfed. Every check of what comes back is our own code, in answer.go, idtoken.go and
// userinfo.go, on tokens that package jwt has verified.
//
// A provider that cannot be reached is asked again at the next login. What it has published is kept
// for a day, and its last good copy longer while no newer one can be had: a login fails when the
// provider does, never because a gateway started anew.
//
// Map of the files:
//
//	config.go     Config, Dialect
//	provider.go   Provider: the request, and the way through an answer
//	answer.go     the answer in the browser
//	token.go      the exchange of the code
//	idtoken.go    the ID token
//	userinfo.go   what is said of the person
//	source.go     Source, Party; keys that roll
//	discovery.go  the Source of plain OpenID Connect
//	fetch.go      HTTP to a provider, bounded
package oidc
