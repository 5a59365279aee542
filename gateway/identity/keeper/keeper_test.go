package keeper

import (
	"context"
	"errors"
	"log/slog"
	"reflect"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/staffetta/staffetta/gateway/identity"
)

// published is a source that a test makes fail.
type published struct {
	expiries []identity.Expiry

	// Guarded by mu.
	mu        sync.Mutex
	fault     error
	refreshed int
}

func (p *published) Refresh(context.Context) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.refreshed++
	return p.fault
}

func (p *published) times() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.refreshed
}

func (p *published) mend() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.fault = nil
}

func (p *published) Expiries() []identity.Expiry { return p.expiries }

func newKeeper(t *testing.T, sources ...identity.Source) *Keeper {
	t.Helper()
	k, err := New(sources, time.Now, slog.New(slog.DiscardHandler), prometheus.NewRegistry())
	if err != nil {
		t.Fatal(err)
	}
	return k
}

// TestKeeper: each source is fetched at once and daily, one that fails sooner, and health says so.
func TestKeeper(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		good, bad := &published{}, &published{fault: errors.New("nobody answers")}
		k := newKeeper(t, good, bad)
		ctx, cancel := context.WithCancel(context.Background())
		done := make(chan error)
		go func() { done <- k.Run(ctx) }()
		time.Sleep(72 * time.Hour)
		synctest.Wait()
		if n := good.times(); n < 3 || n > 6 {
			t.Errorf("%d refreshes in three days", n)
		}
		if n := bad.times(); n < 48 || n > 160 {
			t.Errorf("%d tries in three days", n)
		}
		if got := k.Concerns(); len(got) != 1 || !strings.Contains(got[0], "nobody answers") {
			t.Errorf("concerns: %v", got)
		}
		bad.mend()
		time.Sleep(2 * time.Hour)
		synctest.Wait()
		if got := k.Concerns(); got != nil {
			t.Errorf("concerns after it came back: %v", got)
		}
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}

// TestExpiryNotice: what expires within 30 days is a concern.
func TestExpiryNotice(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		day := 24 * time.Hour
		k := newKeeper(t, &published{expiries: []identity.Expiry{
			{Provider: "uno", What: "the certificate", At: time.Now().Add(31 * day)}}},
			&published{expiries: []identity.Expiry{{What: "our certificate", At: time.Now().Add(32 * day)}}})
		if got := k.Concerns(); got != nil {
			t.Errorf("31 days before: %v", got)
		}
		if got := k.left(); got != (31 * day).Seconds() {
			t.Errorf("%v seconds are left", got)
		}
		time.Sleep(31 * day)
		want := []string{
			"identity providers: the certificate of uno expired at 2000-02-01 00:00:00",
			"identity providers: our certificate expires at 2000-02-02 00:00:00"}
		if got := k.Concerns(); !reflect.DeepEqual(got, want) {
			t.Errorf("got %q, want %q", got, want)
		}
	})
}
