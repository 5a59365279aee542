package gateway

import (
	"bytes"
	"fmt"
	"io/fs"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"github.com/staffetta/staffetta/api"
	"github.com/staffetta/staffetta/internal/problem"
)

// projectContact is what the documents say of whom to ask, where no operator said.
const projectContact = "  contact:\n    name: The Staffetta project\n" +
	"    url: https://github.com/staffetta/staffetta\n"

// withContact is a document that names a gateway's operator as whom to ask. The contact is one that
// checkContact takes; "": the document as it is.
func withContact(document []byte, contact string) []byte {
	if contact == "" {
		return document
	}
	member := "url"
	if address, is := strings.CutPrefix(contact, "mailto:"); is {
		member, contact = "email", address
	}
	return bytes.Replace(document, []byte(projectContact), fmt.Appendf(nil,
		"  contact:\n    name: The gateway's operator\n    %s: %q\n", member, contact), 1)
}

// checkContact fails for what OpenAPI has no member for.
func checkContact(contact string) error {
	if contact == "" {
		return nil
	}
	u, err := url.Parse(contact)
	if err == nil && (u.Scheme == "https" && u.Host != "" ||
		u.Scheme == "mailto" && strings.Contains(u.Opaque, "@")) {
		return nil
	}
	return fmt.Errorf("contact %q is neither https://… nor mailto:…", contact)
}

// registerDocuments serves each OpenAPI document at /openapi/<name>, and their list at /openapi/.
func registerDocuments(mux *http.ServeMux, contact string) error {
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
		document = withContact(document, contact)
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
