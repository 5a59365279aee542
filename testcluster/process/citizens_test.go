package process

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"testing"
)

// TestAcceptAgain loses the answer to an acceptance that was made.
func TestAcceptAgain(t *testing.T) {
	version, terms, posts := 0, 0.0, 0
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var update struct {
			Version int     `json:"version"`
			Terms   float64 `json:"accepted_tos_version"`
		}
		switch {
		case r.Method == http.MethodGet:
			fmt.Fprintf(w, `{"version":%d,"accepted_tos_version":%g}`, version, terms)
		case json.NewDecoder(r.Body).Decode(&update) != nil:
			w.WriteHeader(http.StatusBadRequest)
		case update.Version != version:
			posts++
			w.WriteHeader(http.StatusConflict)
		default:
			posts++
			version, terms = version+1, update.Terms
			w.WriteHeader(http.StatusInternalServerError)
		}
	}))
	defer server.Close()
	if err := accept(t.Context(), server.Client(), server.URL, "token"); err != nil {
		t.Errorf("accept: %v", err)
	}
	if posts != 2 || version != 1 || terms != termsVersion {
		t.Errorf("%d acceptances, profile at version %d with terms %g", posts, version, terms)
	}
}
