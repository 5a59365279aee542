package strictjson

import "github.com/go-json-experiment/json"

// Decode reads an operator's document into a value: one JSON value, of members that it has, each
// once. The error may show names of members.
func Decode(text []byte, to any) error {
	return json.Unmarshal(text, to, json.RejectUnknownMembers(true))
}
