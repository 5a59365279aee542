// Package jwt reads and makes the signed and encrypted JSON of identity providers, as strictly as
// their rules allow.
//
// What is read has one signature, in compact form, under an algorithm of a short list that has
// neither none nor a MAC, by a key that the reader named: keys and addresses of keys inside a token
// count for nothing. A header that it does not understand and must is refused. Everything is
// bounded before it is parsed. A clock may differ by a minute.
//
// Map of the files:
//
//	keys.go    Keys: another party's public keys
//	verify.go  Verify: signatures
//	claims.go  Claims: what was signed; times, audience
//	private.go Private: keys of our own; signing, decrypting
package jwt
