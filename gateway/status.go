package gateway

import (
	"net/http"

	"github.com/staffetta/staffetta/internal/problem"
)

// registerStatus serves /status to clients, beside either API: whether calls are answered here
// now, and nothing else. The operator's /status says how the gateway is, elsewhere.
func registerStatus(mux *http.ServeMux, ready func() error) {
	for _, path := range []string{"/status", "/api/v1/status"} {
		mux.HandleFunc("GET "+path, func(w http.ResponseWriter, _ *http.Request) {
			if err := ready(); err != nil {
				problem.Write(w, problem.FromWire(err))
				return
			}
			problem.WriteJSON(w, http.StatusOK, publicStatus{"ready"})
		})
	}
}

type publicStatus struct {
	Status string `json:"status"`
}
