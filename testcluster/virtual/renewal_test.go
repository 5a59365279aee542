package virtual

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/staffetta/staffetta/internal/ca"
	"github.com/staffetta/staffetta/internal/renewal"
	"github.com/staffetta/staffetta/node"
	"github.com/staffetta/staffetta/wire"
	"github.com/staffetta/staffetta/wire/link"
)

// TestRenewedUnattended: nodes whose certificates are due say so while there is no renewer, and have
// new ones soon after there is, those of a leader that was away included.
func TestRenewedUnattended(t *testing.T) {
	const day = 24 * time.Hour
	inBubble(t, func(t *testing.T) {
		began := &World{version: wire.Version}
		dirs := map[wire.NodeID]string{}
		began.tweak = func(cfg *node.Config) {
			fresh := dirs[cfg.ID] == ""
			if fresh {
				dirs[cfg.ID] = t.TempDir()
			}
			path := func(name string) string { return filepath.Join(dirs[cfg.ID], name) }
			if fresh {
				id := link.Identity{Federation: federationName, Role: link.RoleNode, Region: cfg.Region,
					Name: string(cfg.ID)}
				certPEM, keyPEM, err := began.ca.IssueFrom(id.URI(), time.Now().Add(-80*day), 10*day)
				if err != nil {
					t.Fatal(err)
				}
				for name, text := range map[string][]byte{"crt": certPEM, "key": keyPEM,
					"ca": began.ca.CertPEM()} {
					if err := os.WriteFile(path(name), text, 0o600); err != nil {
						t.Fatal(err)
					}
				}
			}
			c, err := link.LoadCertificate(path("crt"), path("key"), path("ca"), federationName)
			if err != nil {
				t.Fatal(err)
			}
			cfg.Certificate, cfg.Authorities, cfg.Problem = c.Certificate, c.Authorities, c.Problem
			cfg.Renew = renewal.Files{Cert: path("crt"), Key: path("key")}
		}
		w := newWorld(t, began, 3, []wire.RegionID{"lazio"})
		nodes := w.Nodes("lazio")
		left := func(n *Node) time.Duration {
			return time.Until(n.Node.View().Certificate.NotAfter.Std())
		}

		time.Sleep(11 * time.Minute)
		leader := w.Leader("lazio")
		for _, want := range []string{"is not renewed: no renewer has asked", "3 certificates wait"} {
			if got := strings.Join(leader.Node.Health().Degraded, "; "); !strings.Contains(got, want) {
				t.Errorf("the leader is degraded by %q, want %q", got, want)
			}
		}

		leader.Stop() // and what was asked of it is forgotten with it
		ctx, stop := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		op := w.OperatorOf(w.ca, "renewer", link.Grants{{Right: link.RightMember, Region: "lazio"}})
		r := &renewal.Renewer{Region: "lazio", Authority: w.ca, Life: 90 * day, Desk: op,
			Logger: w.logger}
		go func() { ended <- r.Run(ctx) }()
		defer func() {
			stop()
			if err := <-ended; err != nil {
				t.Error(err)
			}
		}()
		w.Await("the nodes that run have new certificates", func() bool {
			for _, n := range nodes {
				if n.Running() && left(n) < 89*day {
					return false
				}
			}
			return true
		})
		leader.Start()
		w.AwaitReady()
		w.Await("and so has the one that was away", func() bool { return left(leader) >= 89*day })
		for _, n := range nodes {
			if strings.Contains(strings.Join(n.Node.Health().Degraded, "; "), "renewed") {
				t.Errorf("%s is still degraded: %q", n.ID, n.Node.Health().Degraded)
			}
		}
	})
}

// TestNobodyAsksForAnother: a region's leader takes what a member asks for itself, and lets only who
// has the right look at it.
func TestNobodyAsksForAnother(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		w := New(t, 1, "lazio", "sicilia")
		member := func(region wire.RegionID, name string) link.Identity {
			return link.Identity{Federation: federationName, Role: link.RoleNode, Region: region,
				Name: name}
		}
		ask := func(as, of link.Identity) error {
			// The proof is nobody's: what is refused before it is looked at says so.
			request, _, err := ca.NewRequest(of.URI())
			if err != nil {
				t.Fatal(err)
			}
			a := &wire.AskRenewal{Request: request, Chain: w.issue(of).Certificate[0], Proof: []byte{1}}
			return w.callAs(as, 10*time.Second, "region/lazio", []wire.NodeID{"lazio-1"},
				wire.MethodAskRenewal, a, nil)
		}
		lazio, sicilia := member("lazio", "lazio-1"), member("sicilia", "sicilia-1")
		if err := ask(sicilia, lazio); !errors.Is(err, wire.Unauthenticated) {
			t.Errorf("another member's certificate without its key: %v", err)
		}
		for _, m := range []wire.Method{wire.MethodListRenewals, wire.MethodSettleRenewal} {
			for _, who := range []link.Identity{lazio, sicilia} {
				err := w.callAs(who, 10*time.Second, "region/lazio", []wire.NodeID{"lazio-1"}, m,
					&wire.SettleRenewal{Identity: "x", Refusal: "x"}, nil)
				if !errors.Is(err, wire.Forbidden) {
					t.Errorf("%s calls method %d: %v", who, m, err)
				}
			}
		}
		op := w.OperatorOf(w.ca, "far", link.Grants{{Right: link.RightMember, Region: "sicilia"}})
		if _, err := op.Renewals(t.Context(), "lazio"); !errors.Is(err, wire.Forbidden) {
			t.Errorf("sicilia's renewer looks at lazio's: %v", err)
		}
	})
}
