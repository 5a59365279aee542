package process

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"sync"

	"golang.org/x/sys/unix"
)

// The ports that processes listen on lie below those that operating systems give to outgoing
// connections. A process that is started again takes the port it had, also years later; one of
// the others' range could meanwhile belong to a connection for as long as that lasts.
const (
	portMin = 10_000
	portMax = 32_000
	// portTries bounds the search; one try fails where something listens.
	portTries = 1000
)

var errNoPort = errors.New("no free port found")

// Ports finds free ports and keeps them for one federation: others that choose in the same way, in
// this process or another, do not find them before Close, though nothing may listen on them yet or
// just now. The zero value is ready. Safe for concurrent use.
type Ports struct {
	mu   sync.Mutex
	held []int // sockets, each bound to a number of the other protocol, where nobody listens
}

// UDP finds n UDP ports of the loopback interface.
func (p *Ports) UDP(n int) ([]int, error) { return p.find(n, unix.SOCK_DGRAM, unix.SOCK_STREAM) }

// TCP finds n TCP addresses of the loopback interface.
func (p *Ports) TCP(n int) (addrs []string, err error) {
	ports, err := p.find(n, unix.SOCK_STREAM, unix.SOCK_DGRAM)
	for _, port := range ports {
		addrs = append(addrs, fmt.Sprintf("127.0.0.1:%d", port))
	}
	return addrs, err
}

// Keep keeps the UDP ports of addresses that were found earlier, as far as nobody else has them.
func (p *Ports) Keep(addrs ...string) {
	for _, a := range addrs {
		addr, err := netip.ParseAddrPort(a)
		if err != nil || !addr.Addr().IsLoopback() {
			continue
		}
		if fd, err := bind(unix.SOCK_STREAM, int(addr.Port())); err == nil {
			p.hold(fd)
		}
	}
}

// Close gives all ports to whoever comes.
func (p *Ports) Close() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, fd := range p.held {
		unix.Close(fd)
	}
	p.held = nil
}

func (p *Ports) hold(fd int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.held = append(p.held, fd)
}

// find finds n numbers where sockets of the kind and of the other kind can be bound, and holds the
// other ones.
func (p *Ports) find(n, kind, other int) (ports []int, err error) {
	for range portTries {
		if len(ports) == n {
			return ports, nil
		}
		port := portMin + rand.IntN(portMax-portMin)
		if slices.Contains(ports, port) {
			continue
		}
		fd, err := bind(kind, port)
		if err != nil {
			continue
		}
		keeper, err := bind(other, port)
		unix.Close(fd)
		if err != nil {
			continue
		}
		p.hold(keeper)
		ports = append(ports, port)
	}
	return nil, errNoPort
}

// bind makes a socket of the kind that is bound to a port and does not listen, so that a connection
// is refused.
func bind(kind, port int) (fd int, err error) {
	if fd, err = unix.Socket(unix.AF_INET, kind, 0); err != nil {
		return -1, err
	}
	unix.CloseOnExec(fd)
	if err := unix.Bind(fd, &unix.SockaddrInet4{Port: port, Addr: loopback}); err != nil {
		unix.Close(fd)
		return -1, err
	}
	return fd, nil
}

var loopback = netip.MustParseAddr("127.0.0.1").As4()
