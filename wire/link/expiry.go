package link

import (
	"bytes"
	"context"
	"crypto/x509"
	"log/slog"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/staffetta/staffetta/wire"
)

// warning says how near a certificate's end is.
type warning uint8

// The warnings, each worse than the one before.
const (
	warnNone    warning = iota
	warnMonth           // 30 days left
	warnWeek            // 7 days left; /health says so from here on
	warnDay             // 1 day left
	warnExpired         // none left
)

// warningOf is the warning that fits a certificate with so much time left. One that is issued for
// a shorter time than three months is renewed by a machine, later: its first warning comes with a
// third of its life left, the next with a sixth, the last with a twelfth.
func warningOf(cert *x509.Certificate, left time.Duration) warning {
	const day = 24 * time.Hour
	life := cert.NotAfter.Sub(cert.NotBefore)
	switch {
	case left <= 0:
		return warnExpired
	case left <= min(day, life/12):
		return warnDay
	case left <= min(7*day, life/6):
		return warnWeek
	case left <= min(30*day, life/3):
		return warnMonth
	}
	return warnNone
}

// warnOfExpiry logs once for each warning that a certificate reaches. Called with trust.mu.
func (l *Link) warnOfExpiry(own *x509.Certificate, roots []*x509.Certificate) {
	warned := make(map[wire.Fingerprint]warning, 1+len(roots))
	look := func(cert *x509.Certificate, kind, name string) {
		print := wire.FingerprintOf(cert.Raw)
		now := warningOf(cert, time.Until(cert.NotAfter))
		if _, done := warned[print]; !done && now > l.trust.warned[print] {
			level, text := slog.LevelWarn, "certificate expires soon"
			if now >= warnDay {
				level = slog.LevelError
			}
			if now == warnExpired {
				text = "certificate has expired"
			}
			l.log.Log(context.Background(), level, text, "kind", kind, "certificate", name,
				"fingerprint", print, "expires", cert.NotAfter)
		}
		warned[print] = now
	}
	look(own, "own", l.self.String())
	for _, root := range roots {
		look(root, "authority", root.Subject.String())
	}
	l.trust.warned = warned // what is not used any more is forgotten
}

// expiry collects how long certificates are still valid, when asked.
type expiry struct {
	link *Link
	desc *prometheus.Desc
}

func newExpiry(l *Link) *expiry {
	return &expiry{link: l, desc: prometheus.NewDesc("staffetta_certificate_expiry_seconds",
		"Time until a certificate expires, negative afterwards: this process's own, and those of "+
			"the authorities that it believes.", []string{"kind", "certificate"}, nil)}
}

// Describe implements prometheus.Collector.
func (e *expiry) Describe(ch chan<- *prometheus.Desc) { ch <- e.desc }

// Collect implements prometheus.Collector.
func (e *expiry) Collect(ch chan<- prometheus.Metric) {
	tell := func(cert *x509.Certificate, kind, name string) {
		ch <- prometheus.MustNewConstMetric(e.desc, prometheus.GaugeValue,
			time.Until(cert.NotAfter).Seconds(), kind, name)
	}
	if cert, err := e.link.cfg.Certificate(); err == nil {
		if leaf, err := leafOf(cert); err == nil {
			tell(leaf, "own", e.link.self.String())
		}
	}
	var told []*x509.Certificate
	for _, root := range e.link.authorities() {
		known := false
		for _, t := range told {
			known = known || bytes.Equal(t.Raw, root.Raw)
		}
		if !known {
			told = append(told, root)
			// Subjects need not differ; twelve digits of the fingerprint are told apart.
			tell(root, "authority", wire.FingerprintOf(root.Raw).String()[:12])
		}
	}
}
