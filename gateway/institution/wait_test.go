package institution

import (
	"context"
	"net/http"
	"net/http/httptest"
	"testing"
	"testing/synctest"
	"time"

	"github.com/staffetta/staffetta/wire"
)

// slow is a relay that takes its time to find a key, and never finds an owner.
type slow struct {
	Relay
	key time.Duration
}

func (s slow) ServiceByKey(ctx context.Context, key wire.KeyHash) (*wire.ServiceAccess, error) {
	time.Sleep(s.key)
	return s.Relay.ServiceByKey(ctx, key)
}

func (s slow) Submit(ctx context.Context, _ *wire.Record, _ wire.InstitutionID) (wire.Outcome,
	error) {
	ctx, cancel := context.WithTimeout(ctx, wire.OwnerWait)
	defer cancel()
	<-ctx.Done()
	return wire.Outcome{}, wire.Errorf(wire.Unavailable, "no owner")
}

// A request waits for the relay five seconds, not five for each question.
func TestWaitsShareTheirTime(t *testing.T) {
	for _, key := range []time.Duration{0, 5 * time.Millisecond, time.Second,
		4900 * time.Millisecond} {
		synctest.Test(t, func(t *testing.T) {
			b := newBench(t, func(c *Config) { c.Relay = slow{c.Relay, key} })
			w, began := httptest.NewRecorder(), time.Now()
			b.mux.ServeHTTP(w, request("full", "POST", "/messages", message(active, "")))
			took := time.Since(began)
			if w.Code != http.StatusServiceUnavailable || took < wire.OwnerWait ||
				took > wire.OwnerWait+waitedLittle {
				t.Errorf("a key found after %s: %d after %s, want 503 after %s", key, w.Code, took,
					wire.OwnerWait)
			}
		})
	}
}
