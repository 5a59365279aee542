package gateway

import (
	"io/fs"
	"net/http"
	"strconv"

	"github.com/staffetta/staffetta/api"
	"github.com/staffetta/staffetta/internal/problem"
)

// registerDocuments serves each OpenAPI document at /openapi/<name>, and their list at /openapi/.
func registerDocuments(mux *http.ServeMux) error {
	names, err := fs.Glob(api.Documents, "*.yaml")
	if err != nil {
		return err
	}
	var index struct {
		Documents []string `json:"documents"`
	}
	for _, name := range names {
		document, err := fs.ReadFile(api.Documents, name)
		if err != nil {
			return err
		}
		index.Documents = append(index.Documents, "/openapi/"+name)
		mux.HandleFunc("GET /openapi/"+name, func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "application/yaml")
			w.Header().Set("Content-Length", strconv.Itoa(len(document)))
			w.Header().Set("Cache-Control", "public, max-age=300")
			w.Write(document)
		})
	}
	mux.HandleFunc("GET /openapi/{$}", func(w http.ResponseWriter, _ *http.Request) {
		problem.WriteJSON(w, http.StatusOK, index)
	})
	return nil
}
