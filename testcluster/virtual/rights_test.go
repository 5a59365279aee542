package virtual

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/staffetta/staffetta/internal/ca"
	"github.com/staffetta/staffetta/internal/codec"
	"github.com/staffetta/staffetta/internal/operator"
	"github.com/staffetta/staffetta/wire"
	"github.com/staffetta/staffetta/wire/link"
)

// grantsFor are all rights in one region.
func grantsFor(region wire.RegionID) (grants link.Grants) {
	for _, r := range link.Rights() {
		grants = append(grants, link.Grant{Right: r, Region: region})
	}
	return grants
}

// tryCopies tries to open a copy of each region's state, and says what became of it.
func tryCopies(t *testing.T, op *operator.Client) map[wire.RegionID]error {
	t.Helper()
	got := map[wire.RegionID]error{}
	for _, region := range []wire.RegionID{"lazio", "sicilia"} {
		c, err := op.Copy(t.Context(), wire.OpenBackup{Group: link.RegionGroup(region),
			Unsealed: true}, "")
		if got[region] = err; err == nil {
			c.Close()
		}
	}
	return got
}

// helloFrom greets a node under a certificate of an authority.
func (s *scene) helloFrom(by *ca.CA, id link.Identity) error {
	return s.callFrom(by, id, wire.MethodHello, &wire.Hello{Version: wire.ProtocolVersion})
}

// callFrom calls sicilia-1 under a certificate of an authority that grants nothing.
func (w *World) callFrom(by *ca.CA, id link.Identity, m wire.Method, req codec.Message) error {
	h := w.net.plug(&net.UDPAddr{IP: net.IPv4(10, 0, 9, 1).To4(), Port: 7400})
	defer h.unplug()
	certPEM, keyPEM, err := by.Issue(id.URI(), certificateAge)
	if err != nil {
		return err
	}
	cert, err := tls.X509KeyPair(certPEM, keyPEM)
	if err != nil {
		return err
	}
	l, err := link.New(link.Config{Federation: federationName, PacketConn: h.conn,
		Certificate: always(&cert), Addr: w.addr,
		Authorities: func() []*x509.Certificate { return append(by.Authorities(), w.ca.Authorities()...) }})
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	done := make(chan error, 1)
	go func() { done <- l.Run(ctx) }()
	_, err = l.Call(ctx, link.Peer{Node: "sicilia-1"}, m, wire.Encode(req))
	cancel()
	<-done
	return err
}

// TestOperatorOfAnotherRegion: an operator with all rights in Sicilia gets no copy of Lazio, no
// explanation of its messages, and none of its slots; at home it gets all of it.
func TestOperatorOfAnotherRegion(t *testing.T) {
	inScene(t, func(t *testing.T, s *scene) {
		op := s.OperatorOf(s.ca, "rosalia", grantsFor("sicilia"))
		got := tryCopies(t, op)
		if got["sicilia"] != nil || !errors.Is(got["lazio"], wire.Forbidden) {
			t.Errorf("copies: got %v, want sicilia's only", got)
		}
		m := s.Map()
		var slot wire.Slot
		for m.Anchor(slot) != "lazio" {
			slot++
		}
		deal := operator.SlotDeal{To: "sicilia", Slots: []wire.Slot{slot}}
		for _, force := range []bool{false, true} {
			if err := op.DealSlots(t.Context(), deal,
				operator.Force{Take: force}); !errors.Is(err, wire.Forbidden) {
				t.Errorf("a slot of lazio, by force %t: got %v", force, err)
			}
			ctx := operator.Rehearse(t.Context())
			if err := op.DealSlots(ctx, deal,
				operator.Force{Take: force}); !errors.Is(err, wire.Forbidden) {
				t.Errorf("rehearsed, by force %t: got %v", force, err)
			}
		}
		if err := op.RevokeKey(t.Context(), "01KZZZZZZZSERV1CE000000001",
			wire.PrimaryKey); !errors.Is(err, wire.Forbidden) {
			t.Errorf("a service's key, which is no region's: got %v", err)
		}
		// The token of a name takes the place of the one that is there.
		token := func(region wire.RegionID) *wire.JoinToken {
			return s.Token(region, "lazio-9", time.Hour).Known()
		}
		if err := s.Operator().PutToken(t.Context(), token("lazio")); err != nil {
			t.Fatal(err)
		}
		if err := op.PutToken(t.Context(), token("sicilia")); !errors.Is(err, wire.Forbidden) {
			t.Errorf("a token in place of lazio's: got %v", err)
		}
		w, err := op.Whoami(t.Context())
		if err != nil || w.Unlimited || len(w.Grants) != len(link.Rights()) {
			t.Errorf("whoami: got %+v, %v", w, err)
		}
		nobody := s.OperatorOf(s.ca, "nobody", nil)
		if _, err := nobody.Map(t.Context()); err == nil {
			t.Error("a certificate without grants got the map")
		}
		if w, err := nobody.Whoami(t.Context()); err != nil || w.Unlimited || len(w.Grants) > 0 {
			t.Errorf("whoami without grants: got %+v, %v", w, err)
		}
	})
}

// TestBoundAuthority: an authority that speaks for Sicilia can make no operator of Lazio and no
// node of it, whatever it writes into certificates; and what it made before it was bound ends.
func TestBoundAuthority(t *testing.T) {
	inScene(t, func(t *testing.T, s *scene) {
		theirs, err := ca.New(federationName, time.Hour)
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), patience)
		defer cancel()
		if err := s.Operator().AddAuthority(ctx, theirs.Authorities()[0].Raw); err != nil {
			t.Fatal(err)
		}
		time.Sleep(5 * time.Second) // every replica has it
		op := s.OperatorOf(theirs, "rosalia", link.AllGrants())
		if got := tryCopies(t, op); got["lazio"] != nil || got["sicilia"] != nil {
			t.Fatalf("an authority for all: got %v", got)
		}
		if err := s.Operator().AddAuthority(ctx, theirs.Authorities()[0].Raw, "sicilia"); err != nil {
			t.Fatal(err)
		}
		time.Sleep(5 * time.Second)
		if got := tryCopies(t, op); got["sicilia"] != nil ||
			!errors.Is(got["lazio"], wire.Forbidden) {
			t.Errorf("an authority for sicilia: got %v", got)
		}
		for _, region := range []wire.RegionID{"lazio", "sicilia"} {
			err := s.helloFrom(theirs, link.Identity{Federation: federationName,
				Role: link.RoleNode, Region: region, Name: "newcomer"})
			if (err == nil) != (region == "sicilia") {
				t.Errorf("a node of %s: got %v", region, err)
			}
		}
		err = s.Operator().AddAuthority(ctx, theirs.Authorities()[0].Raw, "atlantide")
		if !errors.Is(err, wire.NotFound) || !strings.Contains(err.Error(), "atlantide") {
			t.Errorf("for a region that is none: got %v", err)
		}
	})
}

// TestRehearsalOfANodesCall: before grants have an effect, an operator may not rehearse what only a
// node may ask, either.
func TestRehearsalOfANodesCall(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		w := NewAt(t, wire.VersionMin, nil, 1, "sicilia")
		err := w.callFrom(w.ca, link.Identity{Federation: federationName, Role: link.RoleOperator,
			Name: "ada"}, wire.MethodMay, &wire.May{Method: wire.MethodReport,
			Request: wire.Encode(&wire.OwnershipReport{})})
		if !errors.Is(err, wire.Forbidden) {
			t.Errorf("got %v, want Forbidden", err)
		}
	})
}
