package adminhttp

import (
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
)

func TestPages(t *testing.T) {
	registry := prometheus.NewRegistry()
	counter := prometheus.NewCounter(prometheus.CounterOpts{Name: "staffetta_test_total", Help: "h"})
	registry.MustRegister(counter)
	ready := false
	h := New(func() Health {
		if !ready {
			return Health{Reasons: []string{"no leader"}}
		}
		return Health{Ready: true, Degraded: []string{"federation away"}}
	}, func() any { return map[string]string{"id": "lazio-1"} }, registry)

	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	served := make(chan error, 1)
	go func() { served <- Serve(ctx, ln, h, slog.New(slog.DiscardHandler)) }()

	get := func(path string) (int, string) {
		t.Helper()
		resp, err := http.Get("http://" + ln.Addr().String() + path)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		body, _ := io.ReadAll(resp.Body)
		return resp.StatusCode, string(body)
	}
	var health Health
	code, body := get("/health")
	if err := json.Unmarshal([]byte(body), &health); err != nil {
		t.Fatal(err)
	}
	if code != 503 || health.Ready || len(health.Reasons) != 1 {
		t.Errorf("/health of an unready process: got %d %s", code, body)
	}
	ready = true
	if code, body := get("/health"); code != 200 || !strings.Contains(body, "federation away") {
		t.Errorf("/health of a degraded process: got %d %s", code, body)
	}
	if code, body := get("/status"); code != 200 || !strings.Contains(body, `"lazio-1"`) {
		t.Errorf("/status: got %d %s", code, body)
	}
	if code, body := get("/metrics"); code != 200 || !strings.Contains(body, "staffetta_test_total 0") {
		t.Errorf("/metrics: got %d %s", code, body)
	}
	if code, _ := get("/nothing"); code != 404 {
		t.Errorf("unknown path: got %d, want 404", code)
	}
	cancel()
	if err := <-served; err != nil {
		t.Errorf("Serve after its context ended: got %v, want nil", err)
	}
}
