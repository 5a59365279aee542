package torture

import (
	"context"
	"math/rand/v2"
	"net/http"
	"sync"
	"time"

	"github.com/staffetta/staffetta/internal/operator"
	"github.com/staffetta/staffetta/wire"
)

const (
	// revokePeriod is how often a key is replaced.
	revokePeriod = 7 * time.Second
	// revokeMax is how long after its acknowledged revocation a key may still be accepted.
	revokeMax = time.Second
	// revokeWatch is how long a revoked key is tried on.
	revokeWatch = 4 * time.Second
	triesPeriod = 50 * time.Millisecond
)

// Service and institution whose key is revoked again and again.
const (
	revokedService     = "01KZZZZZZZSERV1CE000000099"
	revokedInstitution = "80000000099"
)

// revocation is one key's end.
type revocation struct {
	key          string
	began, acked time.Duration
	accepted     time.Duration // when the latest try began that was accepted, from acked; or 0
	tries        int
	stalled      time.Duration // somebody waited for a processor meanwhile
}

// revoker replaces a service's key all the time and goes on using the old one.
type revoker struct {
	clients *clients
	operate func(func(*operator.Client) error) error

	// Guarded by mu.
	mu   sync.Mutex
	list []*revocation
	live string
}

func (r *revoker) service(key string) wire.ServiceSpec {
	return wire.ServiceSpec{Service: wire.Service{ID: revokedService, Name: "Chiavi in prova",
		Department: "Ufficio chiavi", Institution: revokedInstitution,
		Keys:     [2]wire.KeyHash{wire.HashKey(key), wire.HashKey(operator.NewKey())},
		Metadata: wire.ServiceMetadata{Scope: "LOCAL"}}}
}

// found makes the service.
func (r *revoker) found(ctx context.Context, scopes []string) error {
	r.live = operator.NewKey()
	return r.operate(func(op *operator.Client) error {
		err := op.PutInstitution(ctx, wire.Institution{ID: revokedInstitution,
			Name: "Ufficio chiavi", Scopes: scopes})
		if err != nil {
			return err
		}
		return op.PutService(ctx, r.service(r.live))
	})
}

// run replaces keys until ctx ends.
func (r *revoker) run(ctx context.Context, code string, random *rand.Rand) {
	for pause(ctx, random, revokePeriod) {
		r.replace(ctx, code)
	}
}

// replace replaces the key while every gateway is being called under it, and some time longer.
func (r *revoker) replace(ctx context.Context, code string) {
	old, fresh := r.live, operator.NewKey()
	rev := &revocation{key: old, began: r.clients.time.now()}
	before := stall()
	trying, stop := context.WithCancel(ctx)
	defer stop()
	type try struct{ began time.Duration }
	var mu sync.Mutex
	var accepted []try
	var all sync.WaitGroup
	for _, g := range r.clients.gateways {
		all.Go(func() {
			tick := time.NewTicker(triesPeriod)
			defer tick.Stop()
			for trying.Err() == nil {
				began := r.clients.time.now()
				a := r.clients.institution(trying, http.MethodPost, g+"/api/v1/profiles", old,
					map[string]any{"fiscal_code": code})
				mu.Lock()
				rev.tries++
				if a.outcome == done || a.status == http.StatusNotFound {
					accepted = append(accepted, try{began})
				}
				mu.Unlock()
				select {
				case <-tick.C:
				case <-trying.Done():
				}
			}
		})
	}
	err := r.rotate(ctx, fresh)
	rev.acked = r.clients.time.now()
	if err == nil {
		timer := time.NewTimer(revokeWatch)
		defer timer.Stop()
		select {
		case <-timer.C:
		case <-ctx.Done():
		}
	}
	stop()
	all.Wait()
	if err != nil {
		// It may be revoked, or not; either key is replaced by the next one.
		r.clients.book.count("revoke", unknown)
		return
	}
	r.clients.book.count("revoke", done)
	for _, a := range accepted {
		rev.accepted = max(rev.accepted, a.began-rev.acked)
	}
	rev.stalled = stall() - before
	r.mu.Lock()
	defer r.mu.Unlock()
	r.live = fresh
	r.list = append(r.list, rev)
}

// rotate replaces the key, repeated until it is acknowledged or the federation stays away.
func (r *revoker) rotate(ctx context.Context, fresh string) (err error) {
	for try := 0; try < 3 && ctx.Err() == nil; try++ {
		wait, cancel := context.WithTimeout(ctx, commandWait)
		err = r.operate(func(op *operator.Client) error {
			return op.RotateKey(wait, revokedService, wire.PrimaryKey, fresh)
		})
		cancel()
		if err == nil {
			return nil
		}
	}
	return err
}

// judgeNow tries all revoked keys once more, when nothing is wrong any more.
func (r *revoker) judgeNow(ctx context.Context, code string) {
	for _, rev := range r.list {
		for _, g := range r.clients.gateways {
			a := r.clients.institution(ctx, http.MethodPost, g+"/api/v1/profiles", rev.key,
				map[string]any{"fiscal_code": code})
			if a.status != http.StatusUnauthorized {
				r.clients.book.findings.add("a key revoked at %.1fs is answered with %d at the end",
					rev.acked.Seconds(), a.status)
			}
		}
	}
}
