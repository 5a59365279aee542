// Package synthetic invents citizens and messages for demonstrations, tests and measurements.
//
// Everything is made up and follows from a seed alone: the same seed gives the same citizens and
// messages on every machine. No citizen is a person: the fiscal codes are of valid form, check
// character included, but name places of birth whose codes no municipality has.
//
// The messages are meant to be as hard to compress as real ones. Texts are drawn by rank from
// some thousands of templates in five languages, most of them rare, and filled with names,
// streets, amounts, dates and reference numbers; many carry sentences that occur once. So a
// measurement with them does not flatter the system.
//
//	citizens.go   fiscal codes, names, dates of birth
//	messages.go   messages: what is in them, how long they are
//	template.go   texts with gaps: composed once, filled many times
//	json.go       a message as the body of a request
//	fill.go       what fills the gaps
//	text_*.go     the sentences, a file per language
package synthetic
