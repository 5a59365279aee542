package process

import (
	"net"
	"strconv"
	"testing"

	"golang.org/x/sys/unix"
)

// TestPorts wants different addresses below the ports of outgoing connections, where one can
// listen.
func TestPorts(t *testing.T) {
	var free Ports
	defer free.Close()
	seen := map[int]bool{}
	check := func(port int) {
		t.Helper()
		if port < portMin || port >= portMax || seen[port] {
			t.Errorf("port %d is out of range, or came before", port)
		}
		seen[port] = true
	}
	ports, err := free.UDP(147)
	if err != nil || len(ports) != 147 {
		t.Fatalf("%d ports, %v", len(ports), err)
	}
	for _, p := range ports {
		check(p)
		conn, err := net.ListenUDP("udp", &net.UDPAddr{IP: loopback[:], Port: p})
		if err != nil {
			t.Fatal(err)
		}
		conn.Close()
	}
	addrs, err := free.TCP(179)
	if err != nil || len(addrs) != 179 {
		t.Fatalf("%d addresses, %v", len(addrs), err)
	}
	for _, a := range addrs {
		ln, err := net.Listen("tcp", a)
		if err != nil {
			t.Fatal(err)
		}
		check(ln.Addr().(*net.TCPAddr).Port)
		ln.Close()
	}
}

// TestPortsAreHeld: what one federation has chosen, another one does not find while nobody listens
// there, until it is given back.
func TestPortsAreHeld(t *testing.T) {
	var one, other Ports
	defer other.Close()
	ports, err := one.UDP(1)
	if err != nil {
		t.Fatal(err)
	}
	free := func() bool {
		fd, err := bind(unix.SOCK_STREAM, ports[0])
		unix.Close(fd)
		return err == nil
	}
	if free() {
		t.Error("another one could choose the same port")
	}
	one.Close()
	if !free() {
		t.Error("the port was not given back")
	}
	other.Keep(net.JoinHostPort("127.0.0.1", strconv.Itoa(ports[0])), "not an address")
	if free() {
		t.Error("a port of an earlier run is not kept")
	}
}
