package gateway

import (
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/getkin/kin-openapi/openapi3"
)

// TestDocumentsNameTheOperator: the served documents say whom to ask, as the operator set it.
func TestDocumentsNameTheOperator(t *testing.T) {
	for contact, want := range map[string]openapi3.Contact{
		"": {Name: "The Staffetta project", URL: "https://github.com/staffetta/staffetta"},
		"https://regione.example/api": {Name: "The gateway's operator",
			URL: "https://regione.example/api"},
		"mailto:api@regione.example": {Name: "The gateway's operator", Email: "api@regione.example"},
	} {
		if err := checkContact(contact); err != nil {
			t.Error(err)
		}
		mux := http.NewServeMux()
		if err := registerDocuments(mux, contact); err != nil {
			t.Fatal(err)
		}
		for _, name := range []string{"institutions", "citizens"} {
			answer := httptest.NewRecorder()
			mux.ServeHTTP(answer, httptest.NewRequest("GET", "/openapi/"+name+".yaml", nil))
			text, _ := io.ReadAll(answer.Body)
			doc, err := openapi3.NewLoader().LoadFromData(text)
			if err != nil {
				t.Fatal(err)
			}
			if got := doc.Info.Contact; got.Name != want.Name || got.URL != want.URL ||
				got.Email != want.Email {
				t.Errorf("%q: %s names %+v, want %+v", contact, name, *got, want)
			}
		}
	}
	for _, contact := range []string{"api@regione.example", "http://regione.example", "https://",
		"mailto:", "https://a.example/\n  x: y"} {
		err := checkContact(contact)
		if err == nil || !strings.Contains(err.Error(), "is neither") {
			t.Errorf("contact %q: %v, want a refusal", contact, err)
		}
	}
}
