package link

import (
	"bytes"
	"crypto"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"log/slog"
	"math/big"
	"net/url"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/staffetta/staffetta/internal/ca"
)

// records keeps what is logged.
type records struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (r *records) Write(b []byte) (int, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.text.Write(b)
}

func (r *records) logger() *slog.Logger { return slog.New(slog.NewTextHandler(r, nil)) }

// count counts the lines that hold want.
func (r *records) count(want string) (n int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for line := range strings.Lines(r.text.String()) {
		if strings.Contains(line, want) {
			n++
		}
	}
	return n
}

// signed signs a template of an identity's certificate with any certificate and key.
func signed(t *testing.T, by *x509.Certificate, key crypto.Signer, id string,
	life time.Duration) *tls.Certificate {
	t.Helper()
	u, err := url.Parse(id)
	if err != nil {
		t.Fatal(err)
	}
	now := time.Now()
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotBefore: now,
		NotAfter: now.Add(life), URIs: []*url.URL{u}, KeyUsage: x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth, x509.ExtKeyUsageServerAuth}}
	der, err := x509.CreateCertificate(rand.Reader, template, by, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return &tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key, Leaf: leaf}
}

// forge issues a certificate with the key of one that is no authority.
func forge(t *testing.T, by *tls.Certificate, id string) *tls.Certificate {
	t.Helper()
	cert := signed(t, by.Leaf, by.PrivateKey.(crypto.Signer), id, time.Hour)
	cert.Certificate = append(cert.Certificate, by.Certificate...)
	return cert
}

// selfIssued issues a certificate for as long as one likes.
func selfIssued(t *testing.T, authority *ca.CA, id string, life time.Duration) *tls.Certificate {
	t.Helper()
	block, _ := pem.Decode(authority.KeyPEM())
	key, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		t.Fatal(err)
	}
	return signed(t, authority.Authorities()[0], key.(crypto.Signer), id, life)
}

// TestExpiryWarnings goes through the last weeks of a certificate and its authority.
func TestExpiryWarnings(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const day = 24 * time.Hour
		authority, err := ca.New(testFederation, 400*day)
		if err != nil {
			t.Fatal(err)
		}
		var own changing
		own.use(issue(t, authority, idGateway, 100*day), authority.Authorities()...)
		logs, registry := new(records), prometheus.NewRegistry()
		cfg := Config{Federation: testFederation, PacketConn: nowhere{}, Logger: logs.logger(),
			Registerer: registry}
		own.configure(&cfg)
		l, err := New(cfg) // it does not run: a test that does would look ten times a minute
		if err != nil {
			t.Fatal(err)
		}
		begun := time.Now()
		for _, step := range []struct {
			days     float64
			lines    int
			level    string
			degraded bool
			ready    bool
		}{
			{0, 0, "", false, true},
			{69, 0, "", false, true},
			{70.5, 1, "WARN", false, true},
			{80, 1, "WARN", false, true},
			{93.5, 2, "WARN", true, true},
			{99.5, 3, "ERROR", true, true},
			{101, 4, "ERROR", false, false},
		} {
			time.Sleep(time.Until(begun.Add(time.Duration(step.days * float64(day)))))
			for range 3 { // each says it once
				l.review()
			}
			if got := logs.count("kind=own"); got != step.lines {
				t.Errorf("day %v: got %d lines, want %d", step.days, got, step.lines)
			}
			if step.level != "" && logs.count("level="+step.level) == 0 {
				t.Errorf("day %v: no line of level %s", step.days, step.level)
			}
			reasons, degraded := l.Concerns()
			if (len(degraded) > 0) != step.degraded || (len(reasons) == 0) != step.ready {
				t.Errorf("day %v: got %q, %q", step.days, reasons, degraded)
			}
			want := (100 - step.days) * day.Seconds()
			m := &member{reg: registry}
			got := m.value(t, "staffetta_certificate_expiry_seconds", "kind", "own", "certificate",
				idGateway)
			if got < want-1 || got > want+1 {
				t.Errorf("day %v: got %v s left, want %v", step.days, got, want)
			}
		}
		// A new certificate begins anew, and the authority's own end comes near.
		own.use(issue(t, authority, idGateway, 299*day), authority.Authorities()...)
		l.review()
		if reasons, degraded := l.Concerns(); len(reasons)+len(degraded) > 0 {
			t.Errorf("got %q, %q after the renewal", reasons, degraded)
		}
		time.Sleep(time.Until(begun.Add(395 * day)))
		l.review()
		_, degraded := l.Concerns()
		if len(degraded) != 2 || !strings.Contains(degraded[1], "authority") {
			t.Errorf("got %q, want both ends named", degraded)
		}
		if got := logs.count("kind=authority"); got != 1 {
			t.Errorf("got %d lines of the authority, want 1", got)
		}
	})
}

// TestShortLivedCertificates are renewed by a machine: warnings come when it is late.
func TestShortLivedCertificates(t *testing.T) {
	now := time.Unix(0, 0)
	cert := &x509.Certificate{NotBefore: now, NotAfter: now.Add(24 * time.Hour)}
	for _, c := range []struct {
		left time.Duration
		want warning
	}{{20 * time.Hour, warnNone}, {7 * time.Hour, warnMonth}, {3 * time.Hour, warnWeek},
		{time.Hour, warnDay}, {0, warnExpired}, {-time.Hour, warnExpired}} {
		if got := warningOf(cert, c.left); got != c.want {
			t.Errorf("%s left: got %d, want %d", c.left, got, c.want)
		}
	}
}
