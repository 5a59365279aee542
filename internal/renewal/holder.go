package renewal

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/staffetta/staffetta/internal/ca"
	"github.com/staffetta/staffetta/wire"
)

// Files are a certificate's file and its key's.
type Files = ca.Pair

const (
	// lookPause is how often a certificate is looked at, and how soon after a success again.
	lookPause = time.Minute
	// askWait bounds one question: the leader keeps it for wire.RenewalWait.
	askWait = wire.RenewalWait + 10*time.Second
	// againPause separates questions that nobody decided, failPause those that went wrong:
	// somebody has to do something first, or a leader to be elected.
	againPause = 5 * time.Second
	failPause  = time.Minute
)

// Config says whose certificate is renewed, and who is asked. All of it is required.
type Config struct {
	Files Files
	// Certificate is the one in use, which is read from Files.
	Certificate func() (*tls.Certificate, error)
	// Judge is that of the holder's own link.
	Judge Judge
	// Ask brings a request to the leader of the holder's region.
	Ask        func(context.Context, *wire.AskRenewal) (*wire.Renewal, error)
	Logger     *slog.Logger
	Registerer prometheus.Registerer
}

// Holder keeps a process's own certificate renewed while it runs.
type Holder struct {
	// Set at construction.
	cfg  Config
	done *prometheus.CounterVec

	// Owned by Run.
	asked *wire.AskRenewal  // the same as long as the certificate is, so that its answer is found
	of    *x509.Certificate // that it was asked for

	mu  sync.Mutex
	why string // of the last failure, until a success
}

// NewHolder returns a holder, which asks nobody before Run.
func NewHolder(cfg Config) (*Holder, error) {
	h := &Holder{cfg: cfg, done: prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "staffetta_certificate_renewals_total",
		Help: "Tries to renew this process's certificate unattended, by how they ended."},
		[]string{"end"})}
	for _, end := range []string{"installed", "undecided", "refused", "failed"} {
		h.done.WithLabelValues(end)
	}
	if err := cfg.Registerer.Register(h.done); err != nil {
		return nil, fmt.Errorf("renewal: %w", err)
	}
	return h, nil
}

// Run renews the certificate whenever it is due, until ctx ends.
func (h *Holder) Run(ctx context.Context) error {
	for {
		pause := time.NewTimer(h.look(ctx))
		select {
		case <-pause.C:
		case <-ctx.Done():
			pause.Stop()
			return nil
		}
	}
}

// Concern says that the certificate should have been renewed by now, and why it is not; empty: all
// is well.
func (h *Holder) Concern() string {
	leaf, err := h.leaf()
	if err != nil || !Overdue(leaf, time.Now()) {
		return ""
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	why := h.why
	if why == "" {
		why = "it has just begun to ask"
	}
	return fmt.Sprintf("this process's certificate expires at %s and is not renewed: %s",
		wire.TimeOf(leaf.NotAfter), why)
}

func (h *Holder) leaf() (*x509.Certificate, error) {
	cert, err := h.cfg.Certificate()
	if err != nil {
		return nil, err
	}
	return x509.ParseCertificate(cert.Certificate[0])
}

// errRefused is a renewer's no, errUndecided nobody's answer.
var errRefused, errUndecided = errors.New("the renewer refuses"), errors.New("no renewer")

// look renews the certificate if it is due, and says when to look again.
func (h *Holder) look(ctx context.Context) time.Duration {
	leaf, err := h.leaf()
	if err == nil && !Due(leaf, time.Now()) {
		return lookPause
	}
	if err == nil {
		err = h.renew(ctx, leaf)
	}
	end, pause := "failed", failPause
	switch {
	case ctx.Err() != nil:
		return failPause
	case err == nil:
		end, pause = "installed", lookPause
	case errors.Is(err, errUndecided):
		end, pause = "undecided", againPause
	case errors.Is(err, errRefused):
		end = "refused"
	}
	h.done.WithLabelValues(end).Inc()
	why := ""
	if err != nil {
		why = err.Error()
	}
	h.mu.Lock()
	news := why != h.why
	h.why = why
	h.mu.Unlock()
	if news && err != nil {
		h.cfg.Logger.Warn("the certificate is due and is not renewed yet", "reason", why,
			"expires", leaf.NotAfter)
	}
	return pause
}

// renew asks once, and installs what it is given.
func (h *Holder) renew(ctx context.Context, leaf *x509.Certificate) error {
	if err := h.cfg.Files.Recover(); err != nil { // of an installation that failed half-way
		return err
	}
	if h.asked == nil || !h.of.Equal(leaf) {
		if err := h.prepare(leaf); err != nil {
			return err
		}
	}
	ctx, cancel := context.WithTimeout(ctx, askWait)
	defer cancel()
	answer, err := h.cfg.Ask(ctx, h.asked)
	switch {
	case err != nil:
		return fmt.Errorf("the region's leader was asked: %w", err)
	case answer.Refusal != "":
		return fmt.Errorf("%w: %s", errRefused, answer.Refusal)
	case len(answer.Certificate) > 0:
		return h.install(answer.Certificate, leaf)
	case answer.RenewerSeen == 0:
		return fmt.Errorf("%w has asked the region's leader since it leads", errUndecided)
	}
	return fmt.Errorf("%w has decided; the last one asked at %s", errUndecided, answer.RenewerSeen)
}

// prepare makes a new key, or finds the one that waits already, and a request for it.
func (h *Holder) prepare(leaf *x509.Certificate) error {
	cert, err := h.cfg.Certificate()
	if err != nil {
		return err
	}
	id, err := h.cfg.Judge(bytes.Join(cert.Certificate, nil))
	if err != nil {
		return err
	}
	request, err := h.cfg.Files.Request(id.URI())
	if err != nil {
		return err
	}
	h.asked, err = newAsk(cert, request)
	h.of = leaf
	return err
}

// install puts a certificate and its key in place, unless peers would refuse it or it would not be
// good for longer than what is there.
func (h *Holder) install(der []byte, leaf *x509.Certificate) error {
	id, err := h.cfg.Judge(der)
	if err != nil {
		return fmt.Errorf("the new certificate is no good: %w", err)
	}
	chain, err := x509.ParseCertificates(der)
	if err != nil {
		return err
	}
	if own := leaf.URIs[0].String(); id.String() != own || !chain[0].NotAfter.After(leaf.NotAfter) {
		return fmt.Errorf("the new certificate is of %s until %s, the one in use of %s until %s", id,
			wire.TimeOf(chain[0].NotAfter), own, wire.TimeOf(leaf.NotAfter))
	}
	text, err := ca.CertificatePEM(der)
	if err != nil {
		return err
	}
	if err := h.cfg.Files.Install(text); err != nil {
		return err
	}
	h.asked, h.of = nil, nil
	h.cfg.Logger.Info("certificate renewed", "expires", chain[0].NotAfter)
	return nil
}
