package link

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net/url"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/staffetta/staffetta/internal/ca"
	"github.com/staffetta/staffetta/wire"
)

// issueFrom makes a certificate that is valid from a time on, as long as an hour.
func issueFrom(t *testing.T, authority *ca.CA, id string, from time.Time) *tls.Certificate {
	t.Helper()
	u, err := url.Parse(id)
	if err != nil {
		t.Fatal(err)
	}
	certPEM, keyPEM, err := authority.IssueFrom(u, from, time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := tls.X509KeyPair(certPEM, keyPEM)
	if err != nil {
		t.Fatal(err)
	}
	return &cert
}

// changing is a certificate and authorities that a test replaces.
type changing struct {
	cert  atomic.Pointer[tls.Certificate]
	roots atomic.Pointer[[]*x509.Certificate]
}

func (c *changing) use(cert *tls.Certificate, roots ...*x509.Certificate) {
	c.cert.Store(cert)
	c.roots.Store(&roots)
}

func (c *changing) configure(cfg *Config) {
	cfg.Certificate = func() (*tls.Certificate, error) { return c.cert.Load(), nil }
	cfg.Authorities = func() []*x509.Certificate { return *c.roots.Load() }
}

func revoked(id string, before time.Time) *wire.Trust {
	return &wire.Trust{Revoked: []wire.Revocation{{Identity: id, Before: wire.TimeOf(before)}}}
}

func connections(t *testing.T, m *member, direction string) float64 {
	t.Helper()
	return m.value(t, "staffetta_link_connections", "direction", direction)
}

func TestRevokedPeerIsCut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		node := w.join(idLazio1, 1, nil)
		mine := new(changing)
		mine.use(issue(t, w.ca, idGateway, time.Hour), w.ca.Authorities()...)
		gateway := w.join(idGateway, 2, mine.configure)
		to := Peer{Addr: node.addr}
		mustEcho(t, gateway, to)
		var wg sync.WaitGroup
		wg.Go(func() { // under way, and answered only when its connection ends
			_, err := gateway.Call(context.Background(), to, methodBlock, nil)
			wantCode(t, err, wire.OutcomeUnknown)
		})
		time.Sleep(time.Minute)

		// One that names an earlier time is about earlier certificates, and one of somebody else
		// about somebody else.
		node.Trust(revoked(idGateway, time.Now().Add(-time.Hour)))
		node.Trust(revoked(idLazio2, time.Now()))
		mustEcho(t, gateway, to)

		node.Trust(revoked(idGateway, time.Now()))
		begun := time.Now()
		wg.Wait()
		if got := time.Since(begun); got > time.Second {
			t.Errorf("the call under way ended after %s, want it cut at once", got)
		}
		_, err := gateway.Call(within(t, time.Minute), to, methodEcho, nil)
		wantCode(t, err, wire.Unavailable)
		synctest.Wait() // the call may end before its connection has
		if got := connections(t, node, "in"); got != 0 {
			t.Errorf("got %v connections of a revoked peer, want 0", got)
		}
		if got := node.value(t, "staffetta_link_cut_total"); got != 1 {
			t.Errorf("got %v connections cut, want 1", got)
		}
		reasons, degraded := gateway.Concerns()
		if got := strings.Join(append(reasons, degraded...), "; "); !strings.Contains(got, "node lazio-1 says") ||
			!strings.Contains(got, "1 peers refuse") {
			t.Errorf("got %q, want the revoked process to say what it was told", got)
		}

		// A certificate that was issued later is good.
		time.Sleep(time.Second)
		mine.use(issueFrom(t, w.ca, idGateway, time.Now()), w.ca.Authorities()...)
		time.Sleep(reviewPeriod)
		mustEcho(t, gateway, to)
		if reasons, degraded = gateway.Concerns(); len(reasons)+len(degraded) != 0 {
			t.Errorf("got %q, %q, want no concerns with a good certificate", reasons, degraded)
		}
	})
}

func TestRevokedNodeIsNotDialled(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		node := w.join(idLazio1, 1, nil)
		gateway := w.join(idGateway, 2, nil)
		to := Peer{Addr: node.addr}
		mustEcho(t, gateway, to)
		gateway.Trust(revoked(idLazio1, time.Now()))
		_, err := gateway.Call(within(t, time.Minute), to, methodEcho, nil)
		wantCode(t, err, wire.Unavailable)
		if !strings.Contains(err.Error(), "is revoked") {
			t.Errorf("got %q, want the reason", err)
		}
		time.Sleep(time.Second)
		if got := connections(t, gateway, "out"); got != 0 {
			t.Errorf("got %v connections to a revoked node, want 0", got)
		}
	})
}

func TestRevokedNodeLosesItsRaftStreams(t *testing.T) {
	raftWorld(t, func(w *world, a, b *member) {
		t := w.t
		dialled, accepted := pair(t, b, a, "region/lazio")
		dialled.Write([]byte("x"))
		if _, err := accepted.Read(make([]byte, 1)); err != nil {
			t.Fatal(err)
		}
		a.Trust(revoked(idLazio2, time.Now()))
		for _, c := range []interface{ Read([]byte) (int, error) }{dialled, accepted} {
			if _, err := c.Read(make([]byte, 1)); err == nil {
				t.Error("the stream of a revoked node goes on")
			}
		}
		accepted.Close()
		dialled.Close()
		if _, err := b.Raft("region/lazio").Dial("lazio-1", 5*time.Second); err == nil {
			// Whether the peer refuses shows at the first answer.
			time.Sleep(time.Second)
			if got := connections(t, a, "in"); got != 0 {
				t.Errorf("got %v connections of a revoked node, want 0", got)
			}
		}
	})
}

func TestRevokedProcessSaysSo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		logs := new(records)
		node := w.join(idLazio1, 1, func(c *Config) { c.Logger = logs.logger() })
		for range 2 { // and once only
			node.Trust(revoked(idLazio1, time.Now()))
		}
		reasons, _ := node.Concerns()
		if len(reasons) != 1 || !strings.Contains(reasons[0], idLazio1+" is revoked") {
			t.Errorf("got %q, want why the process cannot work", reasons)
		}
		if got := logs.count("is revoked"); got != 1 {
			t.Errorf("got %d log lines, want 1", got)
		}
	})
}

// TestHandshakeMeetsRevocation revokes between the handshake's verification and its end.
func TestHandshakeMeetsRevocation(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		node := w.join(idLazio1, 1, nil)
		for host := range byte(40) { // at another moment of the handshake each time
			gateway := w.join(idGateway, 10+host, nil)
			go gateway.Call(within(t, time.Second), Peer{Addr: node.addr}, methodBlock, nil)
			time.Sleep(time.Duration(host) * testLatency / 4)
			node.Trust(revoked(idGateway, time.Now()))
			time.Sleep(2 * time.Second)
			if got := connections(t, node, "in"); got != 0 {
				t.Fatalf("revoked %s into the handshake: got %v connections, want 0",
					time.Duration(host)*testLatency/4, got)
			}
			node.Trust(&wire.Trust{})
			gateway.stop()
		}
	})
}

// TestAuthorityIsReplacedUnderLoad replaces the authority of a small federation step by step as
// an operator does, while calls and raft traffic go on, of which none may fail.
func TestAuthorityIsReplacedUnderLoad(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		successor, err := ca.New(testFederation, 30*24*time.Hour)
		if err != nil {
			t.Fatal(err)
		}
		ids := []string{idLazio1, idLazio2, idSicilia1, idGateway}
		files, members := make([]changing, len(ids)), make([]*member, len(ids))
		for i, id := range ids {
			files[i].use(issue(t, w.ca, id, 24*time.Hour), w.ca.Authorities()...)
			members[i] = w.join(id, byte(i+1), files[i].configure)
		}
		ctx, stop := context.WithCancel(t.Context())
		var load sync.WaitGroup
		var calls atomic.Int64
		for i, from := range members {
			for _, to := range members[:3] {
				if from == to {
					continue
				}
				load.Go(func() {
					for ctx.Err() == nil {
						got, err := from.Call(context.Background(), Peer{Addr: to.addr}, methodEcho,
							[]byte("ciao"))
						if err != nil || string(got) != "ciao" {
							t.Errorf("%s to %s: got %q, %v", from.self, to.self, got, err)
							return
						}
						if i == 0 {
							calls.Add(1)
						}
						time.Sleep(100 * time.Millisecond)
					}
				})
			}
		}
		trust := func(authorities ...*ca.CA) {
			var m wire.Trust
			for _, a := range authorities {
				m.Authorities = append(m.Authorities, a.Authorities()[0].Raw)
			}
			for _, member := range members {
				member.Trust(&m)
				time.Sleep(time.Second) // the map does not reach all at once
			}
		}
		old := func() (n int) {
			print := wire.FingerprintOf(w.ca.Authorities()[0].Raw)
			for _, member := range members[:3] {
				a := member.Identities()
				for _, c := range append(a.Members, a.Self) {
					if len(c.Authorities) == 1 && c.Authorities[0] == print {
						n++
					}
				}
			}
			return n
		}
		time.Sleep(time.Minute)
		trust(w.ca, successor)
		if got := old(); got != 3+9 {
			t.Errorf("got %d certificates of the old authority in use, want all twelve", got)
		}
		for i, id := range ids { // certificates and files, one process after the other
			files[i].use(issue(t, successor, id, 24*time.Hour), successor.Authorities()...)
			time.Sleep(time.Minute)
		}
		time.Sleep(2 * ageGrace)
		if got := old(); got != 0 {
			t.Errorf("got %d certificates of the old authority in use, want none", got)
		}
		before := calls.Load()
		trust(successor)
		time.Sleep(3 * ageGrace)
		if calls.Load() == before {
			t.Error("no calls after the old authority was removed")
		}
		stop()
		load.Wait()
		stale := w.join("spiffe://italia/region/lazio/gateway/edge-2", 9, nil)
		_, err = stale.Call(within(t, time.Minute), Peer{Addr: members[0].addr}, methodEcho, nil)
		wantCode(t, err, wire.Unavailable)
	})
}

// TestRemovedAuthorityEndsConnections removes an authority that is still in use: connections are
// closed by either side, and not at once.
func TestRemovedAuthorityEndsConnections(t *testing.T) {
	for name, at := range map[string]int{"at the dialler": 1, "at the listener": 0} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t)
				other, err := ca.New(testFederation, 48*time.Hour)
				if err != nil {
					t.Fatal(err)
				}
				files := make([]changing, 2)
				for i, id := range []string{idLazio1, idGateway} {
					files[i].use(issue(t, w.ca, id, 24*time.Hour), w.ca.Authorities()...)
				}
				node := w.join(idLazio1, 1, files[0].configure)
				gateway := w.join(idGateway, 2, files[1].configure)
				mustEcho(t, gateway, Peer{Addr: node.addr})
				files[at].roots.Store(new(other.Authorities()))
				time.Sleep(reviewPeriod)
				var wg sync.WaitGroup
				if at == 0 { // the dialler uses its connection no more
					wg.Go(func() { mustEcho(t, gateway, Peer{Addr: node.addr}) })
				}
				wg.Wait()
				time.Sleep(2*ageGrace + reviewPeriod)
				if got := connections(t, node, "in"); got != 0 {
					t.Errorf("got %v connections of an authority that was removed, want 0", got)
				}
				_, err = gateway.Call(within(t, time.Minute), Peer{Addr: node.addr}, methodEcho, nil)
				wantCode(t, err, wire.Unavailable)
			})
		})
	}
}

func TestForgedIdentityIsRefused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		node := w.join(idLazio1, 1, nil)
		// A gateway is no authority, though its certificate comes from one.
		gateway := issue(t, w.ca, idGateway, time.Hour)
		forged := forge(t, gateway, idOperator)
		shown := new(changing)
		shown.use(gateway, w.ca.Authorities()...)
		forger := w.join(idGateway, 2, shown.configure)
		shown.use(forged, w.ca.Authorities()...)
		refuses(t, forger, node, wire.Unavailable)
		if _, err := checkOwn(forged, w.ca.Pool(), testFederation); err == nil {
			t.Error("a certificate that a gateway issued is believed")
		}
	})
}

func TestCertificateThatIsValidTooLong(t *testing.T) {
	authority, err := ca.New(testFederation, 4*wire.CertificateLifeMax)
	if err != nil {
		t.Fatal(err)
	}
	cert := selfIssued(t, authority, idGateway, wire.CertificateLifeMax+time.Hour)
	_, err = checkOwn(cert, authority.Pool(), testFederation)
	if err == nil || !strings.Contains(err.Error(), "1100 allowed") {
		t.Errorf("got %v, want a certificate that outlives revocations refused", err)
	}
	cert = selfIssued(t, authority, idGateway, wire.CertificateLifeMax)
	if _, err = checkOwn(cert, authority.Pool(), testFederation); err != nil {
		t.Error(err)
	}
}

func TestReadAuthorities(t *testing.T) {
	authority, err := ca.New(testFederation, time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	u, _ := url.Parse(idGateway)
	leaf, _, err := authority.Issue(u, time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		text []byte
		want string
	}{
		{nil, "holds no PEM certificate"},
		{append(authority.CertPEM(), leaf...), "certificate 2: the certificate of CN=edge-1 is not"},
		{make([]byte, authorityFileMax+1), "more than"},
		{[]byte("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"), "malformed"},
	} {
		file := t.TempDir() + "/ca.pem"
		if err := os.WriteFile(file, c.text, 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := ReadAuthorities(file); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("got %v, want %q", err, c.want)
		}
	}
	if _, err := ParseAuthority(make([]byte, wire.AuthorityBytesMax+1)); err == nil {
		t.Error("an authority of any size is read")
	}
}

// TestFilesAreOneUnit replaces the three files one by one: until all of them belong together,
// those from before stay in use.
func TestFilesAreOneUnit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		before, err := ca.New(testFederation, 48*time.Hour)
		if err != nil {
			t.Fatal(err)
		}
		after, err := ca.New(testFederation, 48*time.Hour)
		if err != nil {
			t.Fatal(err)
		}
		cert, key, roots := files(t, t.TempDir(), before, idLazio1, time.Hour)
		newCert, newKey, newRoots := files(t, t.TempDir(), after, idLazio1, time.Hour)
		c, err := LoadCertificate(cert, key, roots, testFederation)
		if err != nil {
			t.Fatal(err)
		}
		inUse := func() *ca.CA {
			time.Sleep(2 * reloadPause)
			got, err := c.Certificate()
			if err != nil {
				t.Fatal(err)
			}
			for _, a := range []*ca.CA{before, after} {
				_, err := checkOwn(got, a.Pool(), testFederation)
				if err == nil && c.Authorities()[0].Equal(a.Authorities()[0]) {
					return a
				}
			}
			t.Fatal("certificate and authorities do not belong together")
			return nil
		}
		for i, r := range [][2]string{{newRoots, roots}, {newKey, key}, {newCert, cert}} {
			if inUse() != before {
				t.Fatalf("after %d files the new ones are in use", i)
			}
			if got := c.Problem() != nil; got != (i > 0) {
				t.Errorf("after %d files: got problem %v", i, c.Problem())
			}
			if err := os.Rename(r[0], r[1]); err != nil {
				t.Fatal(err)
			}
		}
		if inUse() != after || c.Problem() != nil {
			t.Errorf("the new files are not in use: %v", c.Problem())
		}
	})
}

func TestProblemOfFilesIsTold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		logs := new(records)
		var problem atomic.Pointer[error]
		node := w.join(idLazio1, 1, func(c *Config) {
			c.Logger = logs.logger()
			c.Problem = func() error {
				if p := problem.Load(); p != nil {
					return *p
				}
				return nil
			}
		})
		problem.Store(new(errors.New("key.pem does not fit")))
		time.Sleep(3 * reviewPeriod)
		if _, degraded := node.Concerns(); len(degraded) != 1 ||
			!strings.Contains(degraded[0], "key.pem does not fit") {
			t.Errorf("got %q, want the reason", degraded)
		}
		if got := logs.count("key.pem does not fit"); got != 1 {
			t.Errorf("got %d log lines, want 1", got)
		}
		if got := node.Identities().Problem; got != "key.pem does not fit" {
			t.Errorf("operators are told %q", got)
		}
	})
}
