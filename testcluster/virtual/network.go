package virtual

import (
	"net"
	"sync"
	"time"

	"github.com/quic-go/quic-go/testutils/simnet"
)

// latency is the one-way delay of every link.
const latency = 2 * time.Millisecond

// network is a simulated network whose one-way paths can be cut.
type network struct {
	simnet.PerfectRouter

	// Guarded by mu.
	mu   sync.Mutex
	cuts map[[2]string]bool // from, to
	off  map[string]bool    // hosts that hear and say nothing
}

func newNetwork() *network {
	return &network{cuts: map[[2]string]bool{}, off: map[string]bool{}}
}

// SendPacket loses what a cut is in the way of.
func (n *network) SendPacket(p simnet.Packet) error {
	from, to := p.From.String(), p.To.String()
	n.mu.Lock()
	lost := n.cuts[[2]string{from, to}] || n.off[from] || n.off[to]
	n.mu.Unlock()
	if lost {
		return nil
	}
	return n.PerfectRouter.SendPacket(p)
}

// cut breaks, or mends, the way from one address to another.
func (n *network) cut(from, to string, broken bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.cuts[[2]string{from, to}] = broken
}

// silence takes a host off the network, or puts it back.
func (n *network) silence(addr string, off bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.off[addr] = off
}

// mend undoes every cut.
func (n *network) mend() {
	n.mu.Lock()
	defer n.mu.Unlock()
	clear(n.cuts)
	clear(n.off)
}

// host is a machine's place on the network; plug and unplug are a process's start and end.
type host struct {
	net  *network
	addr *net.UDPAddr
	link *simnet.SimulatedLink
	conn *simnet.SimConn
}

func (n *network) plug(addr *net.UDPAddr) *host {
	h := &host{net: n, addr: addr,
		link: &simnet.SimulatedLink{UploadPacket: n, Latency: latency}}
	h.conn = simnet.NewBlockingSimConn(addr, h.link)
	h.link.Start()
	n.AddNode(addr, h.link) // last: packets come from here on
	return h
}

func (h *host) unplug() {
	h.net.RemoveNode(h.addr)
	h.conn.Close()
	h.link.Close()
}
