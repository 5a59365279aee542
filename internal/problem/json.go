package problem

import (
	"net/http"

	"github.com/go-json-experiment/json"
)

// WriteJSON answers with v as JSON. Absent members are the caller's business (omitzero,
// omitempty): the contracts know no null.
func WriteJSON(w http.ResponseWriter, status int, v any) {
	b, err := json.Marshal(v)
	if err != nil { // a string that is not UTF-8: nothing of the kind is ever stored
		Write(w, Unexpected)
		return
	}
	WriteJSONBytes(w, status, b)
}

// WriteJSONBytes answers with b, which is JSON already.
func WriteJSONBytes(w http.ResponseWriter, status int, b []byte) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	send(w, status, b)
}
