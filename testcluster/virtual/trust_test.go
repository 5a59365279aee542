package virtual

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/staffetta/staffetta/internal/ca"
	"github.com/staffetta/staffetta/internal/fiscalcode"
	"github.com/staffetta/staffetta/internal/synthetic"
	"github.com/staffetta/staffetta/node"
	"github.com/staffetta/staffetta/testcluster"
	"github.com/staffetta/staffetta/wire"
	"github.com/staffetta/staffetta/wire/link"
)

// reviewed is longer than processes take to look at their files again.
const reviewed = 11 * time.Second

// files are a process's certificate and authorities, which a test replaces while it runs.
type files struct {
	id    link.Identity
	cert  atomic.Pointer[tls.Certificate]
	roots atomic.Pointer[[]*x509.Certificate]
}

func (f *files) certificate() (*tls.Certificate, error) { return f.cert.Load(), nil }

func (f *files) authorities() []*x509.Certificate { return *f.roots.Load() }

// office keeps the files of all processes of a world.
type office struct {
	t  *testing.T
	of map[string]*files
}

// issue replaces a process's files by what an authority gives, valid from a time on.
func (o *office) issue(name string, by *ca.CA, from time.Time) {
	o.t.Helper()
	f := o.of[name]
	certPEM, keyPEM, err := by.IssueFrom(f.id.URI(), from, certificateAge/2, link.UnitsOf(f.id)...)
	if err != nil {
		o.t.Fatal(err)
	}
	cert, err := tls.X509KeyPair(certPEM, keyPEM)
	if err != nil {
		o.t.Fatal(err)
	}
	roots := by.Authorities()
	f.cert.Store(&cert)
	f.roots.Store(&roots)
}

// add makes the files of a process when it starts for the first time.
func (o *office) add(id link.Identity, by *ca.CA) *files {
	if o.of[id.Name] == nil {
		o.of[id.Name] = &files{id: id}
		o.issue(id.Name, by, time.Now())
	}
	return o.of[id.Name]
}

// inOffice runs a test on a federation of two regions whose certificates it can replace, and ends
// it with the judge.
func inOffice(t *testing.T, test func(t *testing.T, s *scene, o *office)) {
	t.Helper()
	inBubble(t, func(t *testing.T) {
		o := &office{t: t, of: map[string]*files{}}
		var w *World
		began := &World{version: wire.Version}
		began.tweak = func(cfg *node.Config) {
			f := o.add(link.Identity{Federation: federationName, Role: link.RoleNode,
				Region: cfg.Region, Name: string(cfg.ID)}, began.ca)
			cfg.Certificate, cfg.Authorities = f.certificate, f.authorities
		}
		home := wire.RegionID("lazio")
		began.tweakLink = func(gateway string, cfg *link.Config) {
			f := o.add(link.Identity{Federation: federationName, Role: link.RoleGateway,
				Region: home, Name: gateway}, began.ca)
			cfg.Certificate, cfg.Authorities = f.certificate, f.authorities
		}
		w = newWorld(t, began, 3, []wire.RegionID{"lazio", "sicilia"})
		s := &scene{World: w, Gateway: w.Gateway("lazio")}
		home = "sicilia" // of the next one
		invent := synthetic.NewCitizens(1)
		for _, region := range []wire.RegionID{"lazio", "sicilia"} {
			c := invent.Next().FiscalCode
			if err := s.Activate(t.Context(), region, c); err != nil {
				t.Fatal(err)
			}
			s.citizens = append(s.citizens, c)
		}
		test(t, s, o)
		s.Judge(&s.h)
	})
}

// steady submits with every gateway and reports every submission that fails, until it is stopped.
func steady(t *testing.T, h *testcluster.History, citizens []fiscalcode.Code,
	gateways ...*Gateway) (stop func()) {
	ctx, cancel := context.WithCancel(t.Context())
	var all sync.WaitGroup
	for _, g := range gateways {
		for _, c := range citizens {
			all.Go(func() {
				for ctx.Err() == nil {
					if err := g.Send(context.Background(), h, c); err != nil {
						t.Errorf("a submission failed: %v", err)
						return
					}
					time.Sleep(400 * time.Millisecond)
				}
			})
		}
	}
	return func() {
		cancel()
		all.Wait()
	}
}

// TestAuthorityIsReplaced replaces the authority of a whole federation as operators do, while
// institutions submit, of which nobody notices anything.
func TestAuthorityIsReplaced(t *testing.T) {
	long(t)
	inOffice(t, func(t *testing.T, s *scene, o *office) {
		successor, err := ca.New(federationName, certificateAge)
		if err != nil {
			t.Fatal(err)
		}
		far := s.World.Gateway("sicilia")
		stop := steady(t, &s.h, s.citizens, s.Gateway, far)
		old, predecessor := s.ca.Authorities()[0], s.ca
		for _, root := range []*x509.Certificate{old, successor.Authorities()[0]} {
			if err := s.Operate(wire.MethodAddAuthority, &wire.Authority{DER: root.Raw}); err != nil {
				t.Fatal(err)
			}
		}
		for i, n := range s.Nodes("") {
			o.issue(string(n.ID), successor, time.Now())
			time.Sleep(reviewed)
			if i == 2 { // with files that name nothing but the successor, among all the others
				n.Stop()
				n.Start()
				s.AwaitReady()
			}
		}
		for _, gateway := range []string{"gateway-1", "gateway-2"} {
			o.issue(gateway, successor, time.Now())
		}
		s.ca = successor // operators, too
		time.Sleep(70 * time.Second)
		if err := s.Operate(wire.MethodRemoveAuthority,
			&wire.AuthorityRef{Fingerprint: wire.FingerprintOf(old.Raw)}); err != nil {
			t.Fatal(err)
		}
		before := s.h.Acknowledged()
		time.Sleep(70 * time.Second)
		stop()
		if got := s.h.Acknowledged(); got < before+500 {
			t.Errorf("%d submissions after the old authority was removed, want many", got-before)
		}
		s.ca = predecessor
		stale := make(chan error, 1)
		go func() { stale <- s.Operate(wire.MethodSetKey, &wire.SetKey{}) }()
		if err := <-stale; err == nil || !strings.Contains(err.Error(), "no leader answers") {
			t.Errorf("with a certificate of the old authority: got %v, want nobody to answer", err)
		}
		s.ca = successor
	})
}

// revokeAt revokes an identity as of now.
func revokeAt(t *testing.T, s *scene, id link.Identity) {
	t.Helper()
	if err := s.Operate(wire.MethodRevoke, &wire.Revocation{Identity: id.String()}); err != nil {
		t.Fatal(err)
	}
}

// TestRevokedGatewayIsCut revokes a gateway at work. Its own region is cut off from the rest and
// goes on serving it, until it is back.
func TestRevokedGatewayIsCut(t *testing.T) {
	inOffice(t, func(t *testing.T, s *scene, o *office) {
		far := s.World.Gateway("sicilia")
		stop := steady(t, &s.h, s.citizens[:1], s.Gateway) // a citizen of lazio
		defer stop()
		local := s.citizens[1]
		if err := far.Send(t.Context(), &s.h, local); err != nil {
			t.Fatal(err)
		}
		s.Island("sicilia")
		time.Sleep(10 * time.Second)
		stop()
		revokeAt(t, s, o.of["gateway-2"].id)
		if err := far.Send(t.Context(), &s.h, local); err != nil {
			t.Errorf("the island has heard of the revocation: %v", err)
		}
		s.Mend()
		heard := time.Now()
		s.Await("the revoked gateway is refused", func() bool {
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			defer cancel()
			return far.Send(ctx, &s.h, local) != nil
		})
		if got := time.Since(heard); got > time.Minute {
			t.Errorf("refused %s after the island's return, want within a minute", got)
		}
		reasons, degraded := far.Link.Concerns()
		if text := fmt.Sprint(reasons, degraded); !strings.Contains(text, "revoked") {
			t.Errorf("the revoked gateway says %s", text)
		}
		// A new certificate makes it good again.
		time.Sleep(time.Second)
		o.issue("gateway-2", s.ca, time.Now())
		time.Sleep(reviewed)
		s.Await("the gateway is served again", func() bool {
			ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
			defer cancel()
			return far.Send(ctx, &s.h, local) == nil
		})
	})
}

// TestRevokedNodeIsCut revokes a node of a region, its leader, under load: the others go on, and
// it says why it cannot.
func TestRevokedNodeIsCut(t *testing.T) {
	inOffice(t, func(t *testing.T, s *scene, o *office) {
		stop := s.load(t, 4, s.Gateway)
		s.progress(t, 20)
		leader := s.Leader("lazio")
		revokeAt(t, s, o.of[string(leader.ID)].id)
		s.Await("others lead", func() bool {
			for _, n := range s.Nodes("lazio") {
				if n != leader && n.Status("region").Role == "leader" {
					return true
				}
			}
			return false
		})
		s.progress(t, 20)
		at := leader.Status("region").AppliedIndex
		s.progress(t, 20)
		stop()
		if got := leader.Status("region").AppliedIndex; got != at {
			t.Errorf("the revoked node went on from index %d to %d", at, got)
		}
		if h := leader.Node.Health(); h.Ready ||
			!strings.Contains(fmt.Sprint(h.Reasons, h.Degraded), "revoked") {
			t.Errorf("the revoked node says %+v", h)
		}
		o.issue(string(leader.ID), s.ca, time.Now())
		time.Sleep(reviewed)
		s.AwaitReady()
	})
}
