package clitest

import (
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"sync"
	"testing"
)

// Gateway accepts messages over HTTP, once for each idempotency key.
type Gateway struct {
	*httptest.Server

	mu   sync.Mutex
	ids  map[string]int
	keys map[string]bool
}

// NewGateway is a gateway that ends with the test.
func NewGateway(t *testing.T) *Gateway {
	g := &Gateway{ids: make(map[string]int), keys: make(map[string]bool)}
	g.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/api/v1/messages" {
			http.NotFound(w, r)
			return
		}
		io.Copy(io.Discard, r.Body)
		g.mu.Lock()
		defer g.mu.Unlock()
		g.keys[r.Header.Get("Ocp-Apim-Subscription-Key")] = true
		key := r.Header.Get("Idempotency-Key")
		if _, ok := g.ids[key]; !ok || key == "" {
			g.ids[key] = len(g.ids)
		}
		w.WriteHeader(201)
		fmt.Fprintf(w, `{"id":"%026d","status":"PROCESSED"}`, g.ids[key])
	}))
	t.Cleanup(g.Close)
	return g
}

// Messages is how many different ones came.
func (g *Gateway) Messages() int {
	g.mu.Lock()
	defer g.mu.Unlock()
	return len(g.ids)
}

// Keys are those of services that were used, in order.
func (g *Gateway) Keys() []string {
	g.mu.Lock()
	defer g.mu.Unlock()
	return slices.Sorted(maps.Keys(g.keys))
}
