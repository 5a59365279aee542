package remote

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"testing"
)

// TestPublic: what is no public server's address is none, in whatever form it is written.
func TestPublic(t *testing.T) {
	for _, a := range []string{"127.0.0.1", "127.255.0.1", "10.1.2.3", "172.16.0.1", "192.168.1.1",
		"169.254.169.254", "100.64.0.1", "0.0.0.0", "0.1.2.3", "224.0.0.1", "239.1.1.1",
		"255.255.255.255", "240.0.0.1", "192.0.0.8", "192.0.2.1", "198.18.0.1", "198.51.100.1",
		"203.0.113.1", "192.88.99.1", "::", "::1", "fe80::1", "fec0::1", "fc00::1", "fd00:ec2::254",
		"ff02::1", "64:ff9b::7f00:1", "64:ff9b::a9fe:a9fe", "2002:7f00:1::", "2001::1", "2001:db8::1",
		"::ffff:127.0.0.1", "::ffff:10.0.0.1", "::127.0.0.1", "100::1", "4000::1"} {
		if addr := netip.MustParseAddr(a).Unmap(); public(addr) {
			t.Errorf("%s is public", a)
		}
	}
	for _, a := range []string{"8.8.8.8", "100.63.255.255", "172.32.0.1", "2a00:1450:4002::1",
		"::ffff:8.8.8.8"} {
		if addr := netip.MustParseAddr(a).Unmap(); !public(addr) {
			t.Errorf("%s is not public", a)
		}
	}
}

// names is a resolver whose answers change from look-up to look-up.
type names struct {
	answers [][]string
	asked   int
}

func (n *names) resolve(context.Context, string) (list []netip.Addr, err error) {
	for _, a := range n.answers[min(n.asked, len(n.answers)-1)] {
		list = append(list, netip.MustParseAddr(a))
	}
	n.asked++
	return list, nil
}

// TestRebinding: it is the address which was looked at that is dialled. A name that leads elsewhere
// the next time is looked at again, and one that leads to both is dialled at the public one only.
func TestRebinding(t *testing.T) {
	for _, c := range []struct {
		name    string
		answers [][]string
		allow   []netip.Prefix
		plain   bool
		want    []string // dialled, call after call; "": refused
	}{
		{"rebound", [][]string{{"8.8.8.8"}, {"127.0.0.1"}, {"169.254.169.254"}, {"8.8.4.4"}}, nil,
			false, []string{"8.8.8.8:443", "", "", "8.8.4.4:443"}},
		{"both", [][]string{{"10.0.0.1", "::1", "8.8.8.8", "fe80::1"}}, nil, false,
			[]string{"8.8.8.8:443"}},
		{"mapped", [][]string{{"::ffff:127.0.0.1"}}, nil, false, []string{""}},
		{"allowed", [][]string{{"10.0.0.1"}, {"10.1.0.1"}}, prefixes("10.0.0.0/16"), false,
			[]string{"10.0.0.1:443", ""}},
		{"without TLS", [][]string{{"8.8.8.8"}, {"10.0.0.1"}}, prefixes("10.0.0.0/16"), true,
			[]string{"", "10.0.0.1:443"}},
		{"nothing", [][]string{{}}, nil, false, []string{""}},
	} {
		n := &names{answers: c.answers}
		var dialled string
		g := &guard{resolve: n.resolve, allow: c.allow, plain: c.plain,
			dial: func(_ context.Context, _, addr string) (net.Conn, error) {
				dialled = addr
				return nil, nil
			}}
		for i, want := range c.want {
			dialled = ""
			_, err := g.DialContext(t.Context(), "tcp", "atti.comune.example:443")
			var where *refused
			if dialled != want || n.asked != i+1 || (want == "") != errors.As(err, &where) {
				t.Errorf("%s, call %d: dialled %q after %d look-ups, %v, want %q", c.name, i+1, dialled,
					n.asked, err, want)
			}
		}
	}
	// An address instead of a name is looked at the same way.
	g := &guard{resolve: (&names{}).resolve, dial: func(context.Context, string, string) (net.Conn,
		error) {
		t.Error("dialled")
		return nil, nil
	}}
	for _, addr := range []string{"127.0.0.1:80", "[::1]:80", "[::ffff:10.0.0.1]:80",
		"[fe80::1%eth0]:80", "no port"} {
		if _, err := g.DialContext(t.Context(), "tcp", addr); err == nil {
			t.Errorf("%s: no error", addr)
		}
	}
}
