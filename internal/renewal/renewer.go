package renewal

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/staffetta/staffetta/internal/backoff"
	"github.com/staffetta/staffetta/internal/ca"
	"github.com/staffetta/staffetta/wire"
	"github.com/staffetta/staffetta/wire/link"
)

const (
	// signPause is how long an identity waits for a second certificate of another key. One of the
	// same key is the same certificate again, for who lost the answer.
	signPause = 10 * time.Minute
	// retryPause separates a renewer's tries while no leader answers.
	retryPause = 2 * time.Second
)

// Desk is where a renewer finds what is asked for; operator.Client is one.
type Desk interface {
	// Map is the federation's, as of now.
	Map(ctx context.Context) (*wire.Map, error)
	// Renewals waits for what a region's holders ask for.
	Renewals(ctx context.Context, region wire.RegionID) ([]wire.PendingRenewal, error)
	Settle(ctx context.Context, region wire.RegionID, s *wire.SettleRenewal) error
	// Judge is that of the renewer's link, by the map that was last asked for.
	Judge(der []byte) (link.Identity, error)
}

// Renewer signs renewals for a region. Its fields are set before Run and not touched afterwards.
type Renewer struct {
	Region    wire.RegionID
	Authority *ca.CA
	// Life is how long a certificate is good for.
	Life   time.Duration
	Desk   Desk
	Logger *slog.Logger

	given map[link.Identity]given // owned by Run
}

// given is what an identity got lately.
type given struct {
	key, cert []byte
	at        time.Time
}

// Run signs what is asked for and in order, and refuses the rest, until ctx ends or it is
// told that this is not its to do, which is the error.
func (r *Renewer) Run(ctx context.Context) error {
	told := ""
	for ctx.Err() == nil {
		err := r.round(ctx)
		if errors.Is(err, wire.Forbidden) { // which waiting does not change
			return fmt.Errorf("renewals of region %s: %w", r.Region, err)
		}
		problem := ""
		if err != nil {
			problem = err.Error()
		}
		if ctx.Err() == nil && problem != told {
			if told = problem; err != nil {
				r.Logger.Warn("renewals cannot be looked at", "region", r.Region, "reason", problem)
			} else {
				r.Logger.Info("renewals are looked at again", "region", r.Region)
			}
		}
		if err != nil && !backoff.Pause(ctx, retryPause) {
			break
		}
	}
	return nil
}

// round waits for requests and settles each.
func (r *Renewer) round(ctx context.Context) error {
	waiting, err := r.Desk.Renewals(ctx, r.Region)
	if err != nil || len(waiting) == 0 {
		return err
	}
	m, err := r.Desk.Map(ctx) // after them: who was revoked before asking is revoked here
	if err != nil {
		return err
	}
	for i := range waiting {
		p := &waiting[i]
		s := &wire.SettleRenewal{Identity: p.Identity, Request: wire.FingerprintOf(p.Ask.Request)}
		s.Certificate, err = r.sign(m, p, time.Now())
		if err != nil {
			s.Refusal = err.Error()
			s.Refusal = s.Refusal[:min(len(s.Refusal), wire.DetailBytesMax)]
			r.Logger.Warn("a renewal is refused", "identity", p.Identity, "reason", s.Refusal)
		}
		// NotFound: it has gone to another leader, or asked something else meanwhile.
		err := r.Desk.Settle(ctx, r.Region, s)
		if err != nil && !errors.Is(err, wire.NotFound) {
			return err
		}
		if err == nil && s.Refusal == "" {
			r.Logger.Info("a certificate is renewed", "identity", p.Identity)
		}
	}
	return nil
}

// sign makes the certificate that is asked for, DER, or says why there is none.
func (r *Renewer) sign(m *wire.Map, p *wire.PendingRenewal, now time.Time) ([]byte, error) {
	id, old, err := check(&p.Ask, r.Desk.Judge)
	switch {
	case err != nil:
		return nil, err
	case id.String() != p.Identity:
		return nil, fmt.Errorf("it is of %s", id)
	case id.Region != r.Region:
		return nil, fmt.Errorf("%s is not of region %s", id, r.Region)
	case !leftOf(old, now, 2):
		return nil, fmt.Errorf("its certificate is good until %s: it is not due",
			wire.TimeOf(old.NotAfter))
	}
	if err := OnMap(m, id); err != nil {
		return nil, err
	}
	_, public, err := ca.ReadRequest(p.Ask.Request)
	if err != nil {
		return nil, err
	}
	key, err := x509.MarshalPKIXPublicKey(public)
	if err != nil {
		return nil, err
	}
	for of, g := range r.given {
		if now.Sub(g.at) >= signPause {
			delete(r.given, of)
		}
	}
	if g, ok := r.given[id]; ok {
		if bytes.Equal(g.key, key) {
			return g.cert, nil
		}
		return nil, fmt.Errorf("%s got a certificate of another key at %s", id, wire.TimeOf(g.at))
	}
	// From a little before now, as all are: a revocation that has just been logged covers it.
	cert, err := r.Authority.SignFrom(p.Ask.Request, id.URI(), now.Add(-ca.Skew), r.Life)
	if err != nil {
		return nil, err
	}
	if _, err := r.Desk.Judge(cert); err != nil {
		return nil, fmt.Errorf("a certificate of this authority would not be believed: %w", err)
	}
	if r.given == nil {
		r.given = make(map[link.Identity]given)
	}
	r.given[id] = given{key: key, cert: cert, at: now}
	return cert, nil
}

// KeepOwn renews the renewer's own certificate, which the authority beside it signs with the rights
// that it has, whenever it is due, until ctx ends.
func (r *Renewer) KeepOwn(ctx context.Context, files Files,
	certificate func() (*tls.Certificate, error)) error {
	for {
		if err := r.renewOwn(files, certificate); err != nil {
			r.Logger.Warn("the renewer's own certificate is not renewed", "reason", err.Error())
		}
		if !backoff.Pause(ctx, lookPause) {
			return nil
		}
	}
}

func (r *Renewer) renewOwn(files Files, certificate func() (*tls.Certificate, error)) error {
	cert, err := certificate()
	if err != nil {
		return err
	}
	leaf, err := x509.ParseCertificate(cert.Certificate[0])
	if err != nil || !Due(leaf, time.Now()) {
		return err
	}
	grants, err := link.GrantsOf(leaf)
	if err != nil {
		return err
	}
	request, err := files.Request(leaf.URIs[0])
	if err != nil {
		return err
	}
	der, err := r.Authority.SignFrom(request, leaf.URIs[0], time.Now().Add(-ca.Skew), r.Life,
		grants.Units()...)
	if err != nil {
		return err
	}
	if _, err := r.Desk.Judge(der); err != nil {
		return err
	}
	text, err := ca.CertificatePEM(der)
	if err != nil {
		return err
	}
	return files.Install(text)
}
