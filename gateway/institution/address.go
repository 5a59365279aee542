package institution

import (
	"net/http"
	"net/netip"
	"strings"
)

// clientAddr is the address that the request comes from: who connected, or, through trusted
// proxies, the last address in X-Forwarded-For that is not itself a trusted proxy's. What a
// client wrote there itself stands further left and is never reached.
func (a *API) clientAddr(r *http.Request) (netip.Addr, bool) {
	peer, err := netip.ParseAddrPort(r.RemoteAddr)
	if err != nil {
		return netip.Addr{}, false
	}
	addr := peer.Addr().Unmap().WithZone("")
	if !a.trusted(addr) {
		return addr, true
	}
	values := r.Header.Values("X-Forwarded-For")
	for i := len(values) - 1; i >= 0; i-- {
		rest, hop := values[i], ""
		for more := true; more; {
			rest, hop, more = cutLast(rest)
			next, ok := parseHop(hop)
			if !ok {
				return netip.Addr{}, false
			}
			if addr = next; !a.trusted(addr) {
				return addr, true
			}
		}
	}
	return addr, true
}

func (a *API) trusted(addr netip.Addr) bool {
	for _, p := range a.proxies {
		if p.Contains(addr) {
			return true
		}
	}
	return false
}

// cutLast cuts the last element off a comma-separated list.
func cutLast(list string) (rest, last string, more bool) {
	i := strings.LastIndexByte(list, ',')
	if i < 0 {
		return "", list, false
	}
	return list[:i], list[i+1:], true
}

// parseHop reads an address; some proxies add the port.
func parseHop(s string) (netip.Addr, bool) {
	s = strings.TrimSpace(s)
	if addr, err := netip.ParseAddr(s); err == nil {
		return addr.Unmap().WithZone(""), true
	}
	if ap, err := netip.ParseAddrPort(s); err == nil {
		return ap.Addr().Unmap().WithZone(""), true
	}
	return netip.Addr{}, false
}

// inRanges reports whether addr is in one of a service's authorized_cidrs: IPv4, a missing mask
// meaning one address. 0.0.0.0/0 says "anywhere", and holds for IPv6 clients too.
func inRanges(addr netip.Addr, ranges []string) bool {
	for _, s := range ranges {
		if s == "0.0.0.0/0" {
			return true
		}
		if p, err := netip.ParsePrefix(s); err == nil {
			if p.Masked().Contains(addr) {
				return true
			}
		} else if one, err := netip.ParseAddr(s); err == nil && one.Unmap() == addr {
			return true
		}
	}
	return false
}
