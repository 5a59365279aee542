package link

import (
	"context"
	"crypto/x509"
	"net"
	"net/netip"
	"testing"
	"testing/synctest"
	"time"

	"github.com/staffetta/staffetta/internal/ca"
	"github.com/staffetta/staffetta/wire"
)

// TestProbe reaches for nodes that are well, absent, somebody else, expired and strangers.
func TestProbe(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		addrs := map[wire.NodeID]string{}
		know := func(c *Config) {
			c.Addr = func(id wire.NodeID) (string, bool) { a, ok := addrs[id]; return a, ok }
		}
		a := w.join("spiffe://italia/region/lazio/node/lazio-1", 1, know)
		b := w.join("spiffe://italia/region/lazio/node/lazio-2", 2, know)
		addrs["lazio-1"], addrs["lazio-2"], addrs["lazio-9"] = a.addr, b.addr, b.addr
		addrs["gone"] = "10.0.0.77:7000"
		expired := issue(t, w.ca, "spiffe://italia/region/lazio/node/old", time.Second)
		old := w.join("spiffe://italia/region/lazio/node/old", 3, func(c *Config) {
			know(c)
			c.Certificate = always(expired)
		})
		addrs["old"] = old.addr
		time.Sleep(2 * time.Second)

		before := b.value(t, "staffetta_link_connections")
		p, err := a.probe(t, "lazio-2", 3)
		if err != nil {
			t.Fatal(err)
		}
		if p.Identity.Node() != "lazio-2" || p.Certificate == nil || p.Protocol != protoRelay ||
			len(p.Answers) != 3 || string(p.Answers[2].Body) != "hello" {
			t.Errorf("got %+v", p)
		}
		if p.RoundTrip < 2*testLatency || p.RoundTrip > 4*testLatency || p.Handshake < p.RoundTrip {
			t.Errorf("round trip %s, handshake %s, want about %s", p.RoundTrip, p.Handshake,
				2*testLatency)
		}
		time.Sleep(time.Second)
		if got := b.value(t, "staffetta_link_connections"); got != before {
			t.Errorf("%g connections after the probe, %g before", got, before)
		}
		for _, c := range []struct {
			node wire.NodeID
			want wire.Code
		}{{"lazio-9", wire.Unauthenticated}, {"old", wire.Unauthenticated},
			{"gone", wire.Unavailable}, {"unknown", wire.Unavailable}} {
			p, err := a.probe(t, c.node, 1)
			if err == nil || err.Code != c.want {
				t.Errorf("%s: got %v, want %s", c.node, err, c.want)
			}
			if seen := p.Certificate != nil; seen != (c.want == wire.Unauthenticated) {
				t.Errorf("%s: the certificate was seen: %t", c.node, seen)
			}
		}
		stranger, failure := ca.New("italia", 24*time.Hour)
		if failure != nil {
			t.Fatal(failure)
		}
		s := w.join("spiffe://italia/region/lazio/node/lazio-7", 7, func(c *Config) {
			know(c)
			own := issue(t, stranger, "spiffe://italia/region/lazio/node/lazio-7", time.Hour)
			c.Certificate = always(own)
			c.Authorities = func() []*x509.Certificate { return append(w.ca.Authorities(), stranger.Authorities()...) }
		})
		if _, err := s.probe(t, "lazio-2", 1); err == nil || err.Code != wire.Forbidden {
			t.Errorf("with a certificate that the peer refuses: got %v, want %s", err, wire.Forbidden)
		}
	})
}

func (m *member) probe(t *testing.T, node wire.NodeID, calls int) (Probed, *wire.Error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
	defer cancel()
	return m.Probe(ctx, node, methodEcho, []byte("hello"), calls)
}

// TestHeard tells which way of a path is cut: the first packet of a handshake is noted even when
// nothing can go back.
func TestHeard(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		addrs := map[wire.NodeID]string{"lazio-1": "10.0.0.1:7000", "lazio-2": "10.0.0.2:7000"}
		know := func(c *Config) {
			c.Addr = func(id wire.NodeID) (string, bool) { a, ok := addrs[id]; return a, ok }
		}
		a := w.join("spiffe://italia/region/lazio/node/lazio-1", 1, know)
		b := w.join("spiffe://italia/region/lazio/node/lazio-2", 2, know)
		w.router.cut(b.addr+" to "+a.addr, true)
		if got := b.Heard(t.Context(), "lazio-1"); got != -1 {
			t.Errorf("heard %s ago, want never", got)
		}
		if _, err := a.probe(t, "lazio-2", 1); err == nil || err.Code != wire.Unavailable {
			t.Errorf("got %v, want %s", err, wire.Unavailable)
		}
		if _, err := b.probe(t, "lazio-1", 1); err == nil || err.Code != wire.Unavailable {
			t.Errorf("got %v, want %s", err, wire.Unavailable)
		}
		if got := b.Heard(t.Context(), "lazio-1"); got < 0 || got > 10*time.Second {
			t.Errorf("heard %s ago, want a few seconds", got)
		}
		if got := a.Heard(t.Context(), "lazio-2"); got != -1 {
			t.Errorf("heard %s ago over the way that is cut", got)
		}
	})
}

func TestHeardIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var h heard
		addr := func(i int) net.Addr {
			return net.UDPAddrFromAddrPort(netip.AddrPortFrom(
				netip.AddrFrom4([4]byte{10, byte(i >> 16), byte(i >> 8), byte(i)}), 7000))
		}
		for i := range 2 * heardMax {
			h.note(addr(i))
		}
		if len(h.at) != heardMax {
			t.Errorf("%d addresses are remembered, %d allowed", len(h.at), heardMax)
		}
		time.Sleep(2 * heardKeep)
		h.note(addr(1 << 20))
		if len(h.at) != 1 {
			t.Errorf("%d addresses are remembered after a while, want the new one", len(h.at))
		}
	})
}
