package link

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/staffetta/staffetta/internal/ca"
	"github.com/staffetta/staffetta/wire"
)

func TestParseIdentity(t *testing.T) {
	for uri, want := range map[string]Identity{
		idLazio1:   {"italia", RoleNode, "lazio", "lazio-1"},
		idGateway:  {"italia", RoleGateway, "lazio", "edge-1"},
		idOperator: {"italia", RoleOperator, "", "ada"},
	} {
		u, _ := url.Parse(uri)
		got, err := ParseIdentity(u)
		if err != nil || got != want || got.String() != uri {
			t.Errorf("%s: got %+v, %v", uri, got, err)
		}
	}
	for _, uri := range []string{
		"", "spiffe://italia", "https://italia/operator/ada", "spiffe://italia/operator/",
		"spiffe://italia/operator/Ada", "spiffe://italia/region/lazio/node/lazio-1/",
		"spiffe://italia/region/lazio/pod/lazio-1", "spiffe:///operator/ada",
		"spiffe://italia/region//node/lazio-1", "spiffe://italia:1/operator/ada",
		"spiffe://u@italia/operator/ada", "spiffe://italia/operator/ada?x=1",
		"spiffe://italia/operator/ada#x", "spiffe://italia/operator/%61da",
		"spiffe://italia/region/lazio/operator/ada", "spiffe:italia/operator/ada",
		"spiffe://italia/region/lazio/node/" + strings.Repeat("a", wire.NameBytesMax+1),
	} {
		u, err := url.Parse(uri)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := ParseIdentity(u); err == nil {
			t.Errorf("%q: got %+v, want an error", uri, got)
		}
	}
	if _, err := ParseIdentity(nil); err == nil {
		t.Error("nil: want an error")
	}
}

// refuses checks that a call does not get through, and that no handler ran.
func refuses(t *testing.T, from, node *member, want wire.Code) {
	t.Helper()
	_, err := from.Call(within(t, time.Minute), Peer{Addr: node.addr}, methodEcho, nil)
	wantCode(t, err, want)
	if got := node.value(t, "staffetta_link_calls_total", "direction", "in"); got != 0 {
		t.Errorf("got %v calls served, want 0", got)
	}
}

func TestForeignAuthorityIsRefused(t *testing.T) {
	t.Run("by the dialler", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			w := newWorld(t)
			node := w.join(idLazio1, 1, nil)
			f, err := ca.New(testFederation, 48*time.Hour)
			if err != nil {
				t.Fatal(err)
			}
			stranger := w.join(idGateway, 2, func(c *Config) {
				c.Authorities, c.Certificate = f.Authorities, always(issue(t, f, idGateway, time.Hour))
			})
			refuses(t, stranger, node, wire.Unavailable)
		})
	})
	t.Run("by the listener", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			w := newWorld(t)
			node := w.join(idLazio1, 1, nil)
			f, err := ca.New(testFederation, 48*time.Hour)
			if err != nil {
				t.Fatal(err)
			}
			stranger := w.join(idGateway, 2, func(c *Config) {
				c.Authorities = both(f, w.ca) // it would trust the node
				c.Certificate = always(issue(t, f, idGateway, time.Hour))
			})
			refuses(t, stranger, node, wire.Unavailable)
			_, err = stranger.Call(within(t, time.Minute), Peer{Addr: node.addr}, methodEcho, nil)
			wantCode(t, err, wire.Unavailable)
			if !strings.Contains(err.Error(), "refuses this process's certificate") {
				t.Errorf("got %q, want the reason", err)
			}
			if got := node.value(t, "staffetta_link_refused_total", "reason",
				"unauthenticated"); got != 1 {
				t.Errorf("got %v refused handshakes, want 1: the second call is in the pause", got)
			}
		})
	})
}

// both trusts two authorities.
func both(a, b *ca.CA) func() []*x509.Certificate {
	return func() []*x509.Certificate { return append(a.Authorities(), b.Authorities()...) }
}

func TestOtherFederationIsRefused(t *testing.T) {
	const elsewhere = "spiffe://francia/region/lazio/gateway/edge-1"
	t.Run("by its certificate", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			w := newWorld(t)
			node := w.join(idLazio1, 1, nil)
			stranger := w.join(elsewhere, 2, func(c *Config) { c.Federation = "francia" })
			refuses(t, stranger, node, wire.WrongFederation)
		})
	})
	t.Run("by the listener", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			w := newWorld(t)
			node := w.join(idLazio1, 1, nil)
			stranger := w.join(elsewhere, 2, func(c *Config) { c.Federation = "francia" })
			stranger.cfg.Federation = testFederation // a liar accepts the node
			refuses(t, stranger, node, wire.Unavailable)
			if got := node.value(t, "staffetta_link_refused_total", "reason",
				"wrong-federation"); got != 1 {
				t.Errorf("got %v refused handshakes, want 1", got)
			}
		})
	})
	t.Run("by the header", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			w := newWorld(t)
			node := w.join(idLazio1, 1, nil)
			liar := w.join(idGateway, 2, nil)
			mustEcho(t, liar, Peer{Addr: node.addr})
			liar.cfg.Federation = "francia" // the connection stands already
			_, err := liar.Call(within(t, time.Minute), Peer{Addr: node.addr}, methodEcho, nil)
			wantCode(t, err, wire.WrongFederation)
		})
	})
}

func TestWrongNodeIsRefused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		node := w.join(idLazio1, 1, nil)
		gateway := w.join(idGateway, 2, nil)
		_, err := gateway.Call(within(t, time.Minute), Peer{Node: "lazio-2", Addr: node.addr},
			methodEcho, nil)
		wantCode(t, err, wire.Unavailable)
		if !strings.Contains(err.Error(), "not node lazio-2") {
			t.Errorf("got %q, want the reason", err)
		}
		if got := node.value(t, "staffetta_link_calls_total"); got != 0 {
			t.Errorf("got %v calls served, want 0", got)
		}
		mustEcho(t, gateway, Peer{Node: "lazio-1", Addr: node.addr})
	})
}

func TestOnlyNodesListen(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		_, err := New(Config{Federation: testFederation, PacketConn: nowhere{},
			Authorities: w.ca.Authorities, Listen: true,
			Certificate: always(issue(t, w.ca, idGateway, time.Hour))})
		if err == nil || !strings.Contains(err.Error(), "only nodes listen") {
			t.Errorf("got %v, want a gateway that listens refused", err)
		}
	})
}

func TestExpiredCertificate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		node := w.join(idLazio1, 1, nil)
		gateway := w.join(idGateway, 2, func(c *Config) {
			c.Certificate = always(issue(t, w.ca, idGateway, time.Hour))
		})
		brief := w.join(idLazio2, 3, func(c *Config) {
			c.Certificate = always(issue(t, w.ca, idLazio2, time.Hour))
		})
		mustEcho(t, gateway, Peer{Addr: node.addr})
		mustEcho(t, node, Peer{Addr: brief.addr})
		time.Sleep(time.Hour + 3*ageGrace)
		for _, c := range []struct{ from, to *member }{{gateway, node}, {node, brief}} {
			if got := c.to.value(t, "staffetta_link_connections", "direction", "in"); got != 0 {
				t.Errorf("got %v connections of an expired certificate, want 0", got)
			}
			_, err := c.from.Call(within(t, time.Minute), Peer{Addr: c.to.addr}, methodEcho, nil)
			wantCode(t, err, wire.Unavailable)
		}
	})
}

func TestCertificateRotation(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		var of [2]atomic.Pointer[tls.Certificate]
		rotate := func() {
			of[0].Store(issue(t, w.ca, idLazio1, time.Hour))
			of[1].Store(issue(t, w.ca, idGateway, time.Hour))
		}
		rotate()
		current := func(i int) func(*Config) {
			return func(c *Config) {
				c.Certificate = func() (*tls.Certificate, error) { return of[i].Load(), nil }
			}
		}
		node := w.join(idLazio1, 1, current(0))
		gateway := w.join(idGateway, 2, current(1))
		for range 5 {
			mustEcho(t, gateway, Peer{Addr: node.addr})
			time.Sleep(50 * time.Minute)
			rotate()
		}
		mustEcho(t, gateway, Peer{Addr: node.addr})
		if got := gateway.value(t, "staffetta_link_dials_total", "result", "failed"); got != 0 {
			t.Errorf("got %v failed dials, want 0", got)
		}
	})
}

func TestNewRefusesItsOwnBadCertificate(t *testing.T) {
	authority, err := ca.New(testFederation, time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	foreign, err := ca.New(testFederation, time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	broken := errors.New("disk on fire")
	for name, certificate := range map[string]func() (*tls.Certificate, error){
		"unknown authority": always(issue(t, foreign, idLazio1, time.Hour)),
		"wrong-federation":  always(issue(t, authority, "spiffe://francia/operator/ada", time.Hour)),
		"is not the identity": always(issue(t, authority, "https://italia/operator/ada",
			time.Hour)),
		"no certificate": always(&tls.Certificate{}),
		"disk on fire":   func() (*tls.Certificate, error) { return nil, broken },
	} {
		_, err := New(Config{Federation: testFederation, PacketConn: nowhere{},
			Authorities: authority.Authorities, Certificate: certificate})
		if err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("%s: got %v", name, err)
		}
	}
	if _, err := New(Config{ConnAgeMax: -1}); err == nil ||
		len(strings.Split(err.Error(), "\n")) != 5 {
		t.Errorf("got %v, want all five problems", err)
	}
}

// files writes a certificate, its key and the authority's certificate.
func files(t *testing.T, dir string, authority *ca.CA, id string, validity time.Duration) (
	cert, key, roots string) {
	t.Helper()
	u, _ := url.Parse(id)
	certPEM, keyPEM, err := authority.Issue(u, validity)
	if err != nil {
		t.Fatal(err)
	}
	cert, key = filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	roots = filepath.Join(dir, "ca.pem")
	for name, data := range map[string][]byte{cert: certPEM, key: keyPEM,
		roots: authority.CertPEM()} {
		if err := os.WriteFile(name, data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return cert, key, roots
}

func TestLoadCertificate(t *testing.T) {
	authority, err := ca.New(testFederation, time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	foreign, err := ca.New(testFederation, time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	cert, key, roots := files(t, t.TempDir(), authority, idLazio1, time.Hour)
	cert2, key2, _ := files(t, t.TempDir(), authority, idLazio2, time.Hour)
	_, _, otherRoots := files(t, t.TempDir(), foreign, idLazio2, time.Hour)
	plain, plainKey, _ := files(t, t.TempDir(), authority, "https://example.it/", time.Hour)
	missing := filepath.Join(t.TempDir(), "missing.pem")

	got, err := LoadCertificate(cert, key, roots, testFederation)
	if err != nil || got.Identity.String() != idLazio1 {
		t.Fatalf("got %+v, %v", got, err)
	}
	got, err = LoadCertificate(cert, key, roots, "") // whichever it names
	if err != nil || got.Identity.Federation != testFederation {
		t.Errorf("got %+v, %v", got, err)
	}
	for _, c := range []struct{ cert, key, roots, federation, want string }{
		{missing, key, roots, testFederation, "no such file"},
		{cert, missing, roots, testFederation, "no such file"},
		{cert, key, missing, testFederation, "no such file"},
		{cert, key, key, testFederation, "no PEM certificate"},
		{cert, key2, roots, testFederation, "private key does not match"},
		{cert2, key2, otherRoots, testFederation, "unknown authority"},
		{plain, plainKey, roots, testFederation, "is not the identity"},
		{cert, key, roots, "francia", "not of federation francia"},
		{key, key, roots, testFederation, "failed to find"},
	} {
		_, err := LoadCertificate(c.cert, c.key, c.roots, c.federation)
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("got %v, want %q", err, c.want)
		}
	}
}

func TestLoadExpiredCertificate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		authority, err := ca.New(testFederation, 48*time.Hour)
		if err != nil {
			t.Fatal(err)
		}
		cert, key, roots := files(t, t.TempDir(), authority, idLazio1, time.Hour)
		time.Sleep(2 * time.Hour)
		_, err = LoadCertificate(cert, key, roots, testFederation)
		if err == nil || !strings.Contains(err.Error(), "expired") {
			t.Errorf("got %v, want an expired certificate", err)
		}
	})
}

func TestCertificateFilesAreReloaded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		authority, err := ca.New(testFederation, 48*time.Hour)
		if err != nil {
			t.Fatal(err)
		}
		dir := t.TempDir()
		cert, key, roots := files(t, dir, authority, idLazio1, time.Hour)
		c, err := LoadCertificate(cert, key, roots, testFederation)
		if err != nil {
			t.Fatal(err)
		}
		// The files' times are the machine's, not the bubble's: set them, each another.
		step := time.Now()
		current := func() string {
			t.Helper()
			step = step.Add(time.Minute)
			for _, name := range []string{cert, key} {
				if err := os.Chtimes(name, step, step); err != nil && !os.IsNotExist(err) {
					t.Fatal(err)
				}
			}
			time.Sleep(2 * reloadPause)
			got, err := c.Certificate()
			if err != nil {
				t.Fatal(err)
			}
			return string(got.Certificate[0])
		}
		first := current()
		if c.Problem() != nil {
			t.Fatal(c.Problem())
		}
		files(t, dir, authority, idLazio1, 10*time.Hour)
		second := current()
		if second == first {
			t.Error("the new certificate was not read")
		}
		for problem, break_ := range map[string]func(){
			"is now of":    func() { files(t, dir, authority, idLazio2, time.Hour) },
			"no such file": func() { os.Remove(key) },
		} {
			break_()
			if got := current(); got != second {
				t.Errorf("%s: the good certificate is gone", problem)
			}
			if err := c.Problem(); err == nil || !strings.Contains(err.Error(), problem) {
				t.Errorf("got %v, want %q", err, problem)
			}
			files(t, dir, authority, idLazio1, 10*time.Hour)
			second = current()
			if c.Problem() != nil {
				t.Error(c.Problem())
			}
		}
	})
}
