package process

import (
	"net"
	"testing"
)

// TestFreePorts wants different addresses below the ports of outgoing connections.
func TestFreePorts(t *testing.T) {
	seen := map[int]bool{}
	check := func(port int) {
		t.Helper()
		if port < portMin || port >= portMax || seen[port] {
			t.Errorf("port %d is out of range, or came before", port)
		}
		seen[port] = true
	}
	ports, err := freePorts(147)
	if err != nil || len(ports) != 147 {
		t.Fatalf("%d ports, %v", len(ports), err)
	}
	for _, p := range ports {
		check(p)
	}
	clear(seen)
	addrs, err := freeAddrs(179)
	if err != nil || len(addrs) != 179 {
		t.Fatalf("%d addresses, %v", len(addrs), err)
	}
	for _, a := range addrs {
		addr, err := net.ResolveTCPAddr("tcp", a)
		if err != nil || !addr.IP.IsLoopback() {
			t.Fatalf("%q: %v", a, err)
		}
		check(addr.Port)
	}
}
