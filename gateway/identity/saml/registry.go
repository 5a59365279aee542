package saml

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"sync"
	"time"

	"github.com/staffetta/staffetta/gateway/identity"
)

// registry is what is believed of identity providers: the last good copy of each one's metadata,
// and for a while the certificates that a newer copy has dropped. It is safe for concurrent use.
type registry struct {
	mu    sync.Mutex
	known map[string]*believed // guarded by mu; by entity ID
}

// believed is what is believed of one provider.
type believed struct {
	*remote
	dropped []dropped
}

// dropped is a certificate that the newest copy of the metadata has no more.
type dropped struct {
	*x509.Certificate
	until time.Time
}

// of returns what is believed of a provider now, and nil if nothing is.
func (r *registry) of(entityID string, now time.Time) (*remote, []*x509.Certificate) {
	r.mu.Lock()
	defer r.mu.Unlock()
	b := r.known[entityID]
	if b == nil || !b.until.IsZero() && !now.Before(b.until) {
		return nil, nil
	}
	keys := slices.Clone(b.keys)
	for _, d := range b.dropped {
		if now.Before(d.until) {
			keys = append(keys, d.Certificate)
		}
	}
	return b.remote, keys
}

// take takes a newer copy in. What it does not describe stays as it was: the last good copy.
func (r *registry) take(newer map[string]*remote, now time.Time) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.known == nil {
		r.known = map[string]*believed{}
	}
	for id, remote := range newer {
		b := &believed{remote: remote}
		if old := r.known[id]; old != nil {
			for _, c := range old.keys {
				b.dropped = append(b.dropped, dropped{c, now.Add(rolling)})
			}
			b.dropped = append(b.dropped, old.dropped...)
			b.dropped = slices.DeleteFunc(b.dropped, func(d dropped) bool {
				return !now.Before(d.until) || slices.ContainsFunc(remote.keys, d.Equal)
			})
		}
		r.known[id] = b
	}
}

// Refresh reads the metadata of the identity providers again. If that fails, what was known stays,
// and the error says which of the configured ones are not known or not described any more.
func (e *Entity) Refresh(ctx context.Context) error {
	var errs []error
	now := e.cfg.Now()
	described := map[string]*remote{}
	for _, from := range []struct {
		what string
		read func() ([]byte, error)
	}{
		{e.cfg.Source.File, func() ([]byte, error) { return readFile(e.cfg.Source.File) }},
		{e.cfg.Source.URL, func() ([]byte, error) {
			return e.cfg.Fetch(ctx, e.cfg.Source.URL, int64(metadataShape.bytes))
		}},
	} {
		if from.what == "" {
			continue
		}
		document, err := from.read()
		if err != nil {
			errs = append(errs, fmt.Errorf("saml: metadata: %w", err))
			continue
		}
		found, err := readMetadata(document, e.cfg.Source.Certificate, now)
		if err != nil {
			errs = append(errs, fmt.Errorf("saml: metadata of %s: %w", from.what, err))
			continue
		}
		for id, r := range found {
			described[id] = r
		}
	}
	e.registry.take(described, now)
	for _, r := range e.cfg.Remotes {
		if described[r.EntityID] == nil {
			errs = append(errs, fmt.Errorf("saml: %s is not described by any metadata",
				r.EntityID))
		}
	}
	return errors.Join(errs...)
}

// readFile reads the file of metadata, within its bound.
func readFile(name string) ([]byte, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return io.ReadAll(io.LimitReader(f, int64(metadataShape.bytes)+1))
}

// Expiries are what can expire, the soonest first: our certificate, the registry's, and of each
// provider its metadata and the last of its certificates.
func (e *Entity) Expiries() []identity.Expiry {
	all := []identity.Expiry{{What: "our certificate", At: e.cfg.Certificate.NotAfter}}
	if c := e.cfg.Source.Certificate; c != nil {
		all = append(all, identity.Expiry{What: "the registry's certificate", At: c.NotAfter})
	}
	e.registry.mu.Lock()
	defer e.registry.mu.Unlock()
	for _, r := range e.cfg.Remotes {
		b := e.registry.known[r.EntityID]
		if b == nil {
			continue
		}
		if !b.until.IsZero() {
			all = append(all, identity.Expiry{Provider: r.Info.ID, What: "the metadata", At: b.until})
		}
		last := slices.MaxFunc(b.keys, func(a, b *x509.Certificate) int {
			return a.NotAfter.Compare(b.NotAfter)
		})
		all = append(all, identity.Expiry{Provider: r.Info.ID, What: "the certificate",
			At: last.NotAfter})
	}
	slices.SortStableFunc(all, func(a, b identity.Expiry) int { return a.At.Compare(b.At) })
	return all
}
