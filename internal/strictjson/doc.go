// Package strictjson reads JSON from outside strictly: UTF-8, no two members of one name, nothing
// after the value, no nesting beyond DepthMax; and it reports every value of a wrong form at once.
//
// There are two ways to read. A Reader goes through the value once, straight into the fields that
// its caller has, and makes next to no garbage: for what is read a thousand times a second. An
// Object is asked for its members by name: for everything else. What they refuse, and how a report
// reads, is the same. Where nearly all texts are alike a Scanner may try before a Reader: it takes
// a part of what a Reader takes, at a small part of its cost, and says nothing of the rest.
//
// A report names places and expectations. It repeats a value only where a Reader's caller allows
// it, and never one that could be a person's.
//
// Map of the files:
//
//	reader.go  Reader: values in their order
//	scanner.go Scanner: the same for texts that are as expected
//	syntax.go  Syntax: what is no JSON, and where
//	report.go  the report on values
//	object.go  Object: members by name
//	decode.go  an operator's document, into a value
package strictjson
