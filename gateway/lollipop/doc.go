// Package lollipop is what the contract calls LolliPoP: the key of a citizen's device, which the
// app sends at the login, which names the session's assertion, and with which it signs requests.
//
// A key is a JWK (RFC 7517), an EC key of P-256 or an RSA key, of which the public half is all that
// is ever sent. Its reference is the hash's name and its thumbprint (RFC 7638), the same text that
// the app computes, so that the app knows the session for its own.
//
// What a key is, and what of it is kept, has this one place: Parse. Everything that comes from a
// client is bounded before it is decoded, and nothing of it stands in an error.
//
// Map of the files:
//
//	key.go        Key: what a client sends of its device's key, and its reference
//	header.go     the headers in which a login brings a key
//	signature.go  signatures of requests
package lollipop
