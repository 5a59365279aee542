package renewal

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"log/slog"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/staffetta/staffetta/internal/ca"
	"github.com/staffetta/staffetta/wire"
	"github.com/staffetta/staffetta/wire/link"
)

const day = 24 * time.Hour

func identity(role link.Role, name string) link.Identity {
	id := link.Identity{Federation: "italia", Role: role, Region: "lazio", Name: name}
	if role == link.RoleOperator {
		id.Region = ""
	}
	return id
}

// bench is an authority, a link that judges for everybody, and a region's desk with nobody between
// holder and renewer.
type bench struct {
	t         *testing.T
	authority *ca.CA
	link      *link.Link
	m         wire.Map
	renewer   *Renewer
	waiting   []wire.PendingRenewal
	settled   *wire.SettleRenewal
}

func newBench(t *testing.T) *bench {
	t.Helper()
	authority, err := ca.New("italia", 3650*day)
	if err != nil {
		t.Fatal(err)
	}
	conn, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	b := &bench{t: t, authority: authority, m: wire.Map{
		Nodes:    []wire.Node{{ID: "lazio-1", Region: "lazio"}, {ID: "lazio-2", Region: "lazio"}},
		Gateways: []wire.Gateway{{ID: "edge", Region: "lazio"}}}}
	cert := b.pair(authority, identity(link.RoleOperator, "renewer"), 0, 90*day)
	b.link, err = link.New(link.Config{Federation: "italia", PacketConn: conn, Authorities: authority.Authorities,
		Certificate: func() (*tls.Certificate, error) { return cert, nil }})
	if err != nil {
		t.Fatal(err)
	}
	b.renewer = &Renewer{Region: "lazio", Authority: authority, Life: 90 * day, Desk: b,
		Logger: slog.New(slog.DiscardHandler)}
	return b
}

// pair is a certificate that is so old and good for so long.
func (b *bench) pair(by *ca.CA, id link.Identity, age, left time.Duration) *tls.Certificate {
	b.t.Helper()
	certPEM, keyPEM, err := by.IssueFrom(id.URI(), time.Now().Add(-age), left)
	if err != nil {
		b.t.Fatal(err)
	}
	cert, err := tls.X509KeyPair(certPEM, keyPEM)
	if err != nil {
		b.t.Fatal(err)
	}
	return &cert
}

func (b *bench) Map(context.Context) (*wire.Map, error) { return &b.m, nil }

func (b *bench) Renewals(context.Context, wire.RegionID) ([]wire.PendingRenewal, error) {
	return b.waiting, nil
}

func (b *bench) Settle(_ context.Context, _ wire.RegionID, s *wire.SettleRenewal) error {
	b.settled = s
	return nil
}

func (b *bench) Judge(der []byte) (link.Identity, error) { return b.link.Judge(der) }

// ask is the request of a holder for an identity, which need not be its own.
func (b *bench) ask(cert *tls.Certificate, whose link.Identity) *wire.AskRenewal {
	b.t.Helper()
	request, _, err := ca.NewRequest(whose.URI())
	if err != nil {
		b.t.Fatal(err)
	}
	a, err := newAsk(cert, request)
	if err != nil {
		b.t.Fatal(err)
	}
	return a
}

// TestOnlyTheHolderIsRenewed: whoever asks, and through whomever, gets a certificate of its own
// identity only, while that one is good and on the map.
func TestOnlyTheHolderIsRenewed(t *testing.T) {
	b := newBench(t)
	one, two := identity(link.RoleNode, "lazio-1"), identity(link.RoleNode, "lazio-2")
	cert := b.pair(b.authority, one, 70*day, 20*day)
	good := b.ask(cert, one)
	stranger, err := ca.New("italia", 3650*day)
	if err != nil {
		t.Fatal(err)
	}
	edited := func(edit func(a *wire.AskRenewal)) *wire.AskRenewal {
		a := *good
		edit(&a)
		return &a
	}
	far := identity(link.RoleNode, "sicilia-1")
	far.Region = "sicilia"
	ada := identity(link.RoleOperator, "ada")
	gone := identity(link.RoleNode, "lazio-9")
	for name, c := range map[string]struct {
		said link.Identity // by the leader
		ask  *wire.AskRenewal
		why  string
	}{
		"another identity":      {two, b.ask(cert, two), "asks for a certificate of"},
		"said to be of another": {two, good, "it is of"},
		"another one's request": {one, edited(func(a *wire.AskRenewal) {
			a.Request = b.ask(cert, one).Request
		}), "not signed with the key"},
		"another one's certificate": {two, edited(func(a *wire.AskRenewal) {
			a.Chain = b.pair(b.authority, two, 70*day, 20*day).Certificate[0]
		}), "not signed with the key"},
		"no proof":          {one, edited(func(a *wire.AskRenewal) { a.Proof = nil }), "without"},
		"too large":         {one, edited(func(a *wire.AskRenewal) { a.Proof = make([]byte, 1<<20) }), "allowed"},
		"another authority": {one, b.ask(b.pair(stranger, one, 70*day, 20*day), one), "unknown authority"},
		"not due":           {one, b.ask(b.pair(b.authority, one, 0, 90*day), one), "not due"},
		"an operator":       {ada, b.ask(b.pair(b.authority, ada, 70*day, 20*day), ada), "unattended"},
		"another region":    {far, b.ask(b.pair(b.authority, far, 70*day, 20*day), far), "not of region"},
		"not on the map":    {gone, b.ask(b.pair(b.authority, gone, 70*day, 20*day), gone), "not on the map"},
	} {
		b.waiting = []wire.PendingRenewal{{Identity: c.said.String(), Ask: *c.ask}}
		if err := b.renewer.round(t.Context()); err != nil {
			t.Fatal(err)
		}
		if s := b.settled; len(s.Certificate) > 0 || !strings.Contains(s.Refusal, c.why) {
			t.Errorf("%s: certificate of %d bytes, refusal %q, want %q", name, len(s.Certificate),
				s.Refusal, c.why)
		}
	}

	b.waiting = []wire.PendingRenewal{{Identity: one.String(), Ask: *good}}
	sign := func() *wire.SettleRenewal {
		t.Helper()
		if err := b.renewer.round(t.Context()); err != nil {
			t.Fatal(err)
		}
		return b.settled
	}
	first := sign()
	if id, err := b.link.Judge(first.Certificate); err != nil || id != one {
		t.Fatalf("the new certificate is of %s, %v; refusal %q", id, err, first.Refusal)
	}
	if again := sign(); !bytes.Equal(again.Certificate, first.Certificate) {
		t.Error("the same request again is another certificate")
	}
	b.waiting[0].Ask = *b.ask(cert, one)
	if other := sign(); !strings.Contains(other.Refusal, "of another key") {
		t.Errorf("two keys within a moment: %q", other.Refusal)
	}

	b.renewer.given = nil
	b.link.Trust(&wire.Trust{Revoked: []wire.Revocation{{Identity: one.String(),
		Before: wire.TimeOf(time.Now())}}})
	if s := sign(); !strings.Contains(s.Refusal, "revoked") {
		t.Errorf("who is revoked gets %d bytes, refusal %q", len(s.Certificate), s.Refusal)
	}
	if _, err := b.link.Judge(first.Certificate); err == nil {
		t.Error("what was signed just before the revocation is good after it")
	}
}

// TestKeysOfOtherKinds: the certificate in use may be of an authority that makes other keys.
func TestKeysOfOtherKinds(t *testing.T) {
	b := newBench(t)
	one := identity(link.RoleNode, "lazio-1")
	for _, cert := range foreign(t, b.authority, one.URI()) {
		if id, err := Check(b.ask(cert, one), b.link.Judge); err != nil || id != one {
			t.Errorf("%T: %s, %v", cert.PrivateKey, id, err)
		}
	}
}

// holder is one on files, whose questions go straight to the bench's renewer.
func (b *bench) holder(id link.Identity, age, left time.Duration) (*Holder, Files) {
	b.t.Helper()
	dir := b.t.TempDir()
	files := Files{Cert: filepath.Join(dir, "n.crt"), Key: filepath.Join(dir, "n.key")}
	certPEM, keyPEM, err := b.authority.IssueFrom(id.URI(), time.Now().Add(-age), left)
	if err != nil {
		b.t.Fatal(err)
	}
	for file, text := range map[string][]byte{files.Cert: certPEM, files.Key: keyPEM} {
		if err := os.WriteFile(file, text, 0o600); err != nil {
			b.t.Fatal(err)
		}
	}
	h, err := NewHolder(Config{Files: files, Judge: b.link.Judge,
		Logger: slog.New(slog.DiscardHandler), Registerer: prometheus.NewRegistry(),
		Certificate: func() (*tls.Certificate, error) {
			cert, err := tls.LoadX509KeyPair(files.Cert, files.Key)
			return &cert, err
		},
		Ask: func(ctx context.Context, a *wire.AskRenewal) (*wire.Renewal, error) {
			b.waiting = []wire.PendingRenewal{{Identity: id.String(), Ask: *a}}
			if err := b.renewer.round(ctx); err != nil {
				return nil, err
			}
			return &wire.Renewal{Certificate: b.settled.Certificate, Refusal: b.settled.Refusal}, nil
		}})
	if err != nil {
		b.t.Fatal(err)
	}
	return h, files
}

func (b *bench) left(files Files) time.Duration {
	b.t.Helper()
	cert, err := tls.LoadX509KeyPair(files.Cert, files.Key)
	if err != nil {
		b.t.Fatal(err)
	}
	return time.Until(cert.Leaf.NotAfter)
}

func TestHolderRenewsWhenDue(t *testing.T) {
	b := newBench(t)
	id := identity(link.RoleGateway, "edge")
	early, files := b.holder(id, 50*day, 40*day)
	if early.look(t.Context()); b.left(files) > 40*day {
		t.Error("renewed with four ninths of its life left")
	}
	h, files := b.holder(id, 61*day, 29*day)
	if h.Concern() != "" {
		t.Errorf("a concern before a quarter is left: %s", h.Concern())
	}
	if h.look(t.Context()); b.left(files) < 89*day {
		t.Errorf("%s left after a renewal, want 90 days; %s", b.left(files), h.why)
	}
	waiting, err := filepath.Glob(filepath.Join(filepath.Dir(files.Key), "*.next"))
	if len(waiting) > 0 || err != nil {
		t.Errorf("left behind: %v %v", waiting, err)
	}
}

// TestHolderTakesNoOther: an answer that peers would refuse, of another identity, of another key or
// no better than what is there leaves the files as they are, and is a concern.
func TestHolderTakesNoOther(t *testing.T) {
	b := newBench(t)
	id := identity(link.RoleNode, "lazio-1")
	stranger, err := ca.New("italia", 3650*day)
	if err != nil {
		t.Fatal(err)
	}
	answer := func(by *ca.CA, of link.Identity, request []byte, life time.Duration) []byte {
		der, err := by.Sign(request, of.URI(), life)
		if err != nil {
			t.Fatal(err)
		}
		return der
	}
	other, _, err := ca.NewRequest(id.URI())
	if err != nil {
		t.Fatal(err)
	}
	for want, f := range map[string]func(a *wire.AskRenewal) *wire.Renewal{
		"no good": func(a *wire.AskRenewal) *wire.Renewal {
			return &wire.Renewal{Certificate: answer(stranger, id, a.Request, day*90)}
		},
		"the one in use": func(a *wire.AskRenewal) *wire.Renewal {
			return &wire.Renewal{Certificate: answer(b.authority, id, a.Request, day)}
		},
		"is of": func(a *wire.AskRenewal) *wire.Renewal {
			return &wire.Renewal{Certificate: b.pair(b.authority, identity(link.RoleNode, "lazio-2"), 0,
				90*day).Certificate[0]}
		},
		"not for the key": func(a *wire.AskRenewal) *wire.Renewal {
			return &wire.Renewal{Certificate: answer(b.authority, id, other, day*90)}
		},
		"malformed": func(a *wire.AskRenewal) *wire.Renewal {
			return &wire.Renewal{Certificate: []byte("nothing")}
		},
		"refuses: because": func(a *wire.AskRenewal) *wire.Renewal {
			return &wire.Renewal{Refusal: "because"}
		},
		"no renewer has asked": func(a *wire.AskRenewal) *wire.Renewal { return &wire.Renewal{} },
		"the last one asked at": func(a *wire.AskRenewal) *wire.Renewal {
			return &wire.Renewal{RenewerSeen: 1}
		},
		"not reached": nil,
	} {
		h, files := b.holder(id, 80*day, 10*day)
		before, err := os.ReadFile(files.Cert)
		if err != nil {
			t.Fatal(err)
		}
		h.cfg.Ask = func(_ context.Context, a *wire.AskRenewal) (*wire.Renewal, error) {
			if f == nil {
				return nil, errors.New("not reached")
			}
			return f(a), nil
		}
		h.look(t.Context())
		after, err := os.ReadFile(files.Cert)
		if err != nil || !bytes.Equal(before, after) {
			t.Errorf("%s: the files have changed, %v", want, err)
		}
		b.left(files)
		if !strings.Contains(h.Concern(), want) {
			t.Errorf("the concern is %q, want %q", h.Concern(), want)
		}
	}
}

// TestLostAnswer: a holder that ends between asking and installing gets the same certificate when
// it is back, for the key that waits; one whose installation fails half-way ends it.
func TestLostAnswer(t *testing.T) {
	b := newBench(t)
	h, files := b.holder(identity(link.RoleNode, "lazio-1"), 80*day, 10*day)
	ask := h.cfg.Ask
	h.cfg.Ask = func(ctx context.Context, a *wire.AskRenewal) (*wire.Renewal, error) {
		ask(ctx, a)
		return nil, errors.New("the answer was lost")
	}
	if h.look(t.Context()); b.left(files) > 10*day {
		t.Fatal("installed nothing and is renewed")
	}
	h.cfg.Ask, h.asked, h.of = ask, nil, nil // another process
	if h.look(t.Context()); b.left(files) < 89*day {
		t.Errorf("%s left: %s", b.left(files), h.why)
	}
}

// foreign are certificates of a holder with keys that this project does not make itself.
func foreign(t *testing.T, authority *ca.CA, id *url.URL) []*tls.Certificate {
	t.Helper()
	parent := authority.Authorities()[0]
	signer, err := tls.X509KeyPair(authority.CertPEM(), authority.KeyPEM())
	if err != nil {
		t.Fatal(err)
	}
	var all []*tls.Certificate
	for _, key := range foreignKeys(t) {
		template := &x509.Certificate{SerialNumber: parent.SerialNumber, URIs: []*url.URL{id},
			NotBefore: time.Now().Add(-70 * day), NotAfter: time.Now().Add(20 * day),
			KeyUsage:    x509.KeyUsageDigitalSignature,
			ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth}}
		der, err := x509.CreateCertificate(rand.Reader, template, parent, key.Public(), signer.PrivateKey)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, &tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key})
	}
	return all
}

// forbidding is a desk that a renewer has no right at.
type forbidding struct{ Desk }

func (forbidding) Renewals(context.Context, wire.RegionID) ([]wire.PendingRenewal, error) {
	return nil, wire.Errorf(wire.Forbidden, "not for you")
}

// TestRenewerWithoutTheRight ends: the right does not come by waiting.
func TestRenewerWithoutTheRight(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	r := &Renewer{Region: "lazio", Desk: forbidding{}, Logger: slog.New(slog.DiscardHandler)}
	if err := r.Run(ctx); !errors.Is(err, wire.Forbidden) {
		t.Errorf("got %v, want the refusal", err)
	}
}
