// Package adminhttp is the HTTP face that a long-running process shows to its operator: is it
// ready and why not, what does it measure, what is it doing.
//
//	GET /health   200 when the process can do its job now, 503 when not; a Health as JSON
//	GET /metrics  Prometheus text
//	GET /status   the process's own status as JSON
//	GET /debug/pprof/…  profiles for go tool pprof
//
// It carries no secret and no citizen's data, changes nothing, and is meant for the loopback
// interface or an operator's network: it has no authentication.
package adminhttp

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"net/http/pprof"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// Health is what /health says.
type Health struct {
	// Ready: the process can do its job now.
	Ready bool `json:"ready"`
	// Reasons say why it is not ready.
	Reasons []string `json:"reasons,omitempty"`
	// Degraded says what works on borrowed time or not at all, while the process is ready.
	Degraded []string `json:"degraded,omitempty"`
}

// New returns the handler. Both functions are called per request, from several goroutines;
// status returns what json.Marshal takes.
func New(health func() Health, status func() any, metrics prometheus.Gatherer) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /health", func(w http.ResponseWriter, _ *http.Request) {
		h := health()
		code := http.StatusOK
		if !h.Ready {
			code = http.StatusServiceUnavailable
		}
		writeJSON(w, code, h)
	})
	mux.HandleFunc("GET /status", func(w http.ResponseWriter, _ *http.Request) {
		writeJSON(w, http.StatusOK, status())
	})
	mux.Handle("GET /metrics", promhttp.HandlerFor(metrics,
		promhttp.HandlerOpts{MaxRequestsInFlight: scrapesMax, Timeout: scrapeTimeout}))
	mux.HandleFunc("GET /debug/pprof/", pprof.Index)
	mux.HandleFunc("GET /debug/pprof/profile", pprof.Profile)
	return mux
}

const (
	// scrapesMax bounds concurrent scrapes; more get 503. One Prometheus pair and an operator.
	scrapesMax = 4
	// scrapeTimeout is longer than any gathering of ours takes.
	scrapeTimeout = 10 * time.Second
)

func writeJSON(w http.ResponseWriter, code int, v any) {
	body, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		http.Error(w, "the status cannot be encoded", http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	w.WriteHeader(code)
	w.Write(append(body, '\n'))
}

// Serve serves h on ln until ctx ends, then closes ln and every connection. It returns after
// every goroutine that it started; nil when ctx ended.
func Serve(ctx context.Context, ln net.Listener, h http.Handler, log *slog.Logger) error {
	s := &http.Server{
		Handler:           h,
		ReadHeaderTimeout: 5 * time.Second,
		ReadTimeout:       10 * time.Second,
		WriteTimeout:      time.Minute, // a profile takes half of that
		IdleTimeout:       2 * time.Minute,
		MaxHeaderBytes:    16 << 10,
		ErrorLog:          slog.NewLogLogger(log.Handler(), slog.LevelDebug),
	}
	closed := make(chan struct{})
	stop := context.AfterFunc(ctx, func() { s.Close(); close(closed) })
	err := s.Serve(ln)
	if stop() { // the server ended by itself
		s.Close()
		return err
	}
	<-closed
	if errors.Is(err, http.ErrServerClosed) {
		return nil
	}
	return err
}
