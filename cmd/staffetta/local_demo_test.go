package main

import (
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/staffetta/staffetta/internal/localfile"
)

// TestDemoWaits has a gateway whose region elects a leader just when the demonstration begins.
func TestDemoWaits(t *testing.T) {
	keys := map[string]int{}
	mux := http.NewServeMux()
	mux.HandleFunc("POST /api/v1/messages", func(w http.ResponseWriter, r *http.Request) {
		key := r.Header.Get("Idempotency-Key")
		if keys[key]++; keys[key] == 1 {
			w.WriteHeader(http.StatusServiceUnavailable)
			return
		}
		w.WriteHeader(http.StatusCreated)
		io.WriteString(w, `{"id":"M1","status":"PROCESSED"}`)
	})
	mux.HandleFunc("POST /test-login", func(w http.ResponseWriter, _ *http.Request) {
		io.WriteString(w, `{"token":"t"}`)
	})
	mux.HandleFunc("GET /api/communication/v1/messages",
		func(w http.ResponseWriter, r *http.Request) {
			if r.Header.Get("Authorization") != "Bearer t" {
				w.WriteHeader(http.StatusUnauthorized)
				return
			}
			io.WriteString(w, `{"items":[{"id":"M1","message_title":"T","organization_name":"O"}]}`)
		})
	gateway := httptest.NewServer(mux)
	defer gateway.Close()
	file := &localfile.File{Gateways: []localfile.Gateway{{URL: gateway.URL}},
		Services: []localfile.Service{{PrimaryKey: "K"}},
		Citizens: []localfile.Citizen{{FiscalCode: "RSSMRA80A01H501U", Region: "lazio",
			State: localfile.Active}}}
	var out strings.Builder
	if err := runDemo(t.Context(), file, &out); err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(out.String(), `"T" from O`) || len(keys) != 2 || keys[""] != 0 {
		t.Errorf("%s, keys used: %v, want one for each of two messages", out.String(), keys)
	}
	for key, times := range keys {
		if times != 2 {
			t.Errorf("key %s: used %d times, want 2: refused, then taken", key, times)
		}
	}
}
