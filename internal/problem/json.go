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
	h := w.Header()
	h["Content-Type"] = typeJSON
	if status != http.StatusCreated { // which no cache may keep unless told to, RFC 9111 section 3
		h["Cache-Control"] = noStore
	}
	send(w, status, b)
}
