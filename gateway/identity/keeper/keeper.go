// Package keeper keeps fresh what identity providers publish.
package keeper

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"slices"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/sync/errgroup"

	"github.com/staffetta/staffetta/gateway/identity"
	"github.com/staffetta/staffetta/internal/backoff"
)

const (
	// refreshEvery is how often what providers publish is fetched again. A key that rolls is
	// published days before it is used.
	refreshEvery = 24 * time.Hour
	// retryMin and retryMax bound the pause after a failure.
	retryMin = time.Minute
	retryMax = time.Hour
	// refreshWait bounds one refresh.
	refreshWait = 2 * time.Minute
	// expiryNotice is how long before its end an expiry is a concern: certificates are renewed by
	// people, in offices.
	expiryNotice = 30 * 24 * time.Hour
)

// Keeper keeps sources fresh, and says which of them will not do much longer.
type Keeper struct {
	sources []identity.Source
	failed  []atomic.Pointer[string] // of each source, why its last refresh failed; nil: it did not
	now     func() time.Time
	log     *slog.Logger
	results *prometheus.CounterVec
}

// New makes a Keeper. It fetches nothing before it runs. A nil clock is the machine's.
func New(sources []identity.Source, now func() time.Time, log *slog.Logger,
	reg prometheus.Registerer) (*Keeper, error) {
	if now == nil {
		now = time.Now
	}
	k := &Keeper{sources: sources, failed: make([]atomic.Pointer[string], len(sources)), now: now,
		log: log, results: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "staffetta_identity_refreshes_total",
			Help: "Refreshes of what identity providers publish, by result.",
		}, []string{"result"})}
	for _, result := range []string{"done", "failed"} {
		k.results.WithLabelValues(result)
	}
	return k, errors.Join(reg.Register(k.results),
		reg.Register(prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Name: "staffetta_identity_expires_seconds",
			Help: "Time until the first certificate or metadata that logins need expires.",
		}, k.left)))
}

// Run refreshes each source now, and from then on daily; after a failure, sooner. It returns when
// ctx ends.
func (k *Keeper) Run(ctx context.Context) error {
	group, ctx := errgroup.WithContext(ctx)
	for i := range k.sources {
		group.Go(func() error {
			k.keep(ctx, i)
			return nil
		})
	}
	return group.Wait()
}

func (k *Keeper) keep(ctx context.Context, i int) {
	for pauses := (backoff.Backoff{Min: retryMin, Max: retryMax}); ; {
		bounded, cancel := context.WithTimeout(ctx, refreshWait)
		err := k.sources[i].Refresh(bounded)
		cancel()
		if ctx.Err() != nil {
			return
		}
		if err == nil {
			k.results.WithLabelValues("done").Inc()
			k.failed[i].Store(nil)
			pauses.Reset()
			if !backoff.Pause(ctx, refreshEvery) {
				return
			}
			continue
		}
		k.results.WithLabelValues("failed").Inc()
		why := err.Error()
		k.failed[i].Store(&why)
		k.log.Warn("identity providers: a refresh failed", "error", why)
		if !pauses.Pause(ctx) {
			return
		}
	}
}

// expiries are those of all sources, the soonest first.
func (k *Keeper) expiries() []identity.Expiry {
	var all []identity.Expiry
	for _, s := range k.sources {
		all = append(all, s.Expiries()...)
	}
	slices.SortStableFunc(all, func(a, b identity.Expiry) int { return a.At.Compare(b.At) })
	return all
}

// left is the time until the first expiry, in seconds.
func (k *Keeper) left() float64 {
	if all := k.expiries(); len(all) > 0 {
		return all[0].At.Sub(k.now()).Seconds()
	}
	return math.Inf(1)
}

// Concerns say, for /health, what expires within 30 days or has expired, and what could not be
// refreshed.
func (k *Keeper) Concerns() []string {
	var all []string
	for _, e := range k.expiries() {
		left := e.At.Sub(k.now())
		if left > expiryNotice {
			break
		}
		name := e.What
		if e.Provider != "" {
			name += " of " + e.Provider
		}
		ends := "expires"
		if left <= 0 {
			ends = "expired"
		}
		all = append(all, fmt.Sprintf("identity providers: %s %s at %s", name, ends,
			e.At.UTC().Format(time.DateTime)))
	}
	for i := range k.failed {
		if why := k.failed[i].Load(); why != nil {
			all = append(all, "identity providers: the last refresh failed: "+*why)
		}
	}
	return all
}
