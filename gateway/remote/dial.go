package remote

import (
	"context"
	"net"
	"net/netip"
	"slices"
	"time"
)

// dialWait bounds one connection.
const dialWait = 5 * time.Second

// Resolve looks the addresses of a name up.
type Resolve func(ctx context.Context, host string) ([]netip.Addr, error)

func lookup(ctx context.Context, host string) ([]netip.Addr, error) {
	return net.DefaultResolver.LookupNetIP(ctx, "ip", host)
}

// reserved are addresses that are no public server's, beyond those that netip itself knows.
var reserved = prefixes("0.0.0.0/8", "100.64.0.0/10", "192.0.0.0/24", "192.0.2.0/24",
	"192.88.99.0/24", "198.18.0.0/15", "198.51.100.0/24", "203.0.113.0/24", "240.0.0.0/4",
	"2001::/23", "2001:db8::/32", "2002::/16", "3fff::/20")

// global are the addresses of IPv6 that are given to anybody at all. What stands for an address of
// IPv4 is outside of it, or reserved above.
var global = netip.MustParsePrefix("2000::/3")

func prefixes(list ...string) (out []netip.Prefix) {
	for _, p := range list {
		out = append(out, netip.MustParsePrefix(p))
	}
	return out
}

// refused says that a connection may not go where a name led.
type refused struct{ plain bool }

// Error is error's. It does not say where: what a name resolves to here is nobody's to know.
func (r *refused) Error() string {
	if r.plain {
		return "the server is asked without TLS, which its address is not allowed"
	}
	return "the server's name leads to an address that is not public"
}

// guard decides where a connection goes.
type guard struct {
	resolve Resolve
	allow   []netip.Prefix
	dial    func(ctx context.Context, network, addr string) (net.Conn, error)
	plain   bool // without TLS: to allowed addresses only
}

// DialContext resolves, looks at every address, and dials what it looked at.
func (g *guard) DialContext(ctx context.Context, network, addr string) (net.Conn, error) {
	host, port, err := net.SplitHostPort(addr)
	if err != nil {
		return nil, err
	}
	var found []netip.Addr
	if literal, err := netip.ParseAddr(host); err == nil {
		found = []netip.Addr{literal}
	} else if found, err = g.resolve(ctx, host); err != nil {
		return nil, err
	}
	var last error = &refused{g.plain}
	for _, a := range found {
		a = a.Unmap()
		if a.Zone() != "" || !g.allowed(a) && (g.plain || !public(a)) {
			continue
		}
		conn, err := g.dial(ctx, network, net.JoinHostPort(a.String(), port))
		if err == nil {
			return conn, nil
		}
		last = err
	}
	return nil, last
}

func (g *guard) allowed(a netip.Addr) bool {
	return slices.ContainsFunc(g.allow, func(p netip.Prefix) bool { return p.Contains(a) })
}

// public reports whether an address may be a public server's.
func public(a netip.Addr) bool {
	if !a.IsGlobalUnicast() || a.IsPrivate() || a.IsLoopback() || a.IsMulticast() ||
		a.IsLinkLocalUnicast() || a.Is6() && !global.Contains(a) {
		return false
	}
	return !slices.ContainsFunc(reserved, func(p netip.Prefix) bool { return p.Contains(a) })
}
