package consensus

import (
	"errors"
	"io"
	"net"
	"os"
	"sync"
	"time"

	"github.com/staffetta/staffetta/wire"
)

// fakeNet connects transports in memory, in virtual time.
type fakeNet struct {
	latency time.Duration

	mu    sync.Mutex
	nodes map[wire.NodeID]*endpoint
	cuts  map[[2]wire.NodeID]bool // directed: refused and closed
	holes map[[2]wire.NodeID]bool // directed: swallowed
	conns map[*fakeConn]struct{}
}

func newFakeNet(latency time.Duration) *fakeNet {
	return &fakeNet{latency: latency, nodes: map[wire.NodeID]*endpoint{},
		cuts: map[[2]wire.NodeID]bool{}, holes: map[[2]wire.NodeID]bool{},
		conns: map[*fakeConn]struct{}{}}
}

// endpoint is one node's Transport, until it is closed.
type endpoint struct {
	net     *fakeNet
	self    wire.NodeID
	accepts chan net.Conn
	closed  chan struct{}
	once    sync.Once
}

func (n *fakeNet) listen(self wire.NodeID) *endpoint {
	e := &endpoint{net: n, self: self, accepts: make(chan net.Conn, 64),
		closed: make(chan struct{})}
	n.mu.Lock()
	defer n.mu.Unlock()
	n.nodes[self] = e
	return e
}

func (e *endpoint) Accept() (net.Conn, error) {
	select {
	case c := <-e.accepts:
		return c, nil
	case <-e.closed:
		return nil, net.ErrClosed
	}
}

func (e *endpoint) Close() error {
	e.once.Do(func() {
		close(e.closed)
		e.net.mu.Lock()
		defer e.net.mu.Unlock()
		if e.net.nodes[e.self] == e {
			delete(e.net.nodes, e.self)
		}
	})
	return nil
}

func (e *endpoint) Addr() net.Addr { return fakeAddr(e.self) }

type fakeAddr string

func (a fakeAddr) Network() string { return "fake" }
func (a fakeAddr) String() string  { return string(a) }

var errRefused = errors.New("connection refused")

func (e *endpoint) Dial(to wire.NodeID, timeout time.Duration) (net.Conn, error) {
	time.Sleep(e.net.latency)
	n := e.net
	n.mu.Lock()
	peer := n.nodes[to]
	refused := peer == nil || n.cuts[[2]wire.NodeID{e.self, to}] ||
		n.cuts[[2]wire.NodeID{to, e.self}]
	n.mu.Unlock()
	if refused {
		return nil, errRefused
	}
	there, back := newHalf(), newHalf()
	ours := &fakeConn{net: n, from: e.self, to: to, in: back, out: there}
	theirs := &fakeConn{net: n, from: to, to: e.self, in: there, out: back}
	n.mu.Lock()
	n.conns[ours], n.conns[theirs] = struct{}{}, struct{}{}
	n.mu.Unlock()
	select {
	case peer.accepts <- theirs:
		return ours, nil
	case <-peer.closed:
		ours.Close()
		return nil, errRefused
	}
}

// cut closes what there is between a and every one of others, and refuses more.
func (n *fakeNet) cut(a wire.NodeID, others ...wire.NodeID) { n.set(n.cuts, true, a, others) }

// hole swallows what a sends to others.
func (n *fakeNet) hole(a wire.NodeID, others ...wire.NodeID) {
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, b := range others {
		n.holes[[2]wire.NodeID{a, b}] = true
	}
}

func (n *fakeNet) set(in map[[2]wire.NodeID]bool, value bool, a wire.NodeID,
	others []wire.NodeID) {
	n.mu.Lock()
	var closing []*fakeConn
	for _, b := range others {
		in[[2]wire.NodeID{a, b}] = value
		for c := range n.conns {
			if c.from == a && c.to == b || c.from == b && c.to == a {
				closing = append(closing, c)
			}
		}
	}
	n.mu.Unlock()
	for _, c := range closing {
		c.Close()
	}
}

// heal ends every cut and hole. Streams that lost bytes are closed.
func (n *fakeNet) heal() {
	n.mu.Lock()
	clear(n.cuts)
	var closing []*fakeConn
	for c := range n.conns {
		if n.holes[[2]wire.NodeID{c.from, c.to}] {
			closing = append(closing, c)
		}
	}
	clear(n.holes)
	n.mu.Unlock()
	for _, c := range closing {
		c.Close()
	}
}

func (n *fakeNet) swallows(from, to wire.NodeID) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.holes[[2]wire.NodeID{from, to}]
}

// half is one direction of a stream, with a bounded buffer.
type half struct {
	mu                sync.Mutex
	changed           *sync.Cond
	chunks            []chunk
	size              int
	closed            bool
	readEnd, writeEnd time.Time
}

type chunk struct {
	at time.Time
	b  []byte
}

const halfMax = 1 << 20

func newHalf() *half {
	h := &half{}
	h.changed = sync.NewCond(&h.mu)
	return h
}

func (h *half) close() {
	h.mu.Lock()
	h.closed = true
	h.mu.Unlock()
	h.changed.Broadcast()
}

func over(at time.Time) bool { return !at.IsZero() && !time.Now().Before(at) }

func (h *half) write(p []byte, latency time.Duration) (int, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for h.size > 0 && h.size+len(p) > halfMax {
		if h.closed {
			return 0, io.ErrClosedPipe
		}
		if over(h.writeEnd) {
			return 0, os.ErrDeadlineExceeded
		}
		h.changed.Wait()
	}
	if h.closed {
		return 0, io.ErrClosedPipe
	}
	h.chunks = append(h.chunks, chunk{time.Now().Add(latency), append([]byte(nil), p...)})
	h.size += len(p)
	h.changed.Broadcast()
	return len(p), nil
}

func (h *half) read(p []byte) (int, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for {
		if over(h.readEnd) {
			return 0, os.ErrDeadlineExceeded
		}
		if len(h.chunks) > 0 {
			wait := time.Until(h.chunks[0].at)
			if wait <= 0 {
				break
			}
			h.mu.Unlock()
			time.Sleep(wait)
			h.mu.Lock()
			continue
		}
		if h.closed {
			return 0, io.EOF
		}
		h.changed.Wait()
	}
	n := copy(p, h.chunks[0].b)
	h.size -= n
	if h.chunks[0].b = h.chunks[0].b[n:]; len(h.chunks[0].b) == 0 {
		h.chunks = h.chunks[1:]
	}
	h.changed.Broadcast()
	return n, nil
}

// fakeConn is one end of a stream.
type fakeConn struct {
	net      *fakeNet
	from, to wire.NodeID
	in, out  *half
	once     sync.Once
}

func (c *fakeConn) Read(p []byte) (int, error) { return c.in.read(p) }

func (c *fakeConn) Write(p []byte) (int, error) {
	if c.net.swallows(c.from, c.to) {
		return len(p), nil
	}
	return c.out.write(p, c.net.latency)
}

func (c *fakeConn) Close() error {
	c.once.Do(func() {
		c.in.close()
		c.out.close()
		c.net.mu.Lock()
		delete(c.net.conns, c)
		c.net.mu.Unlock()
	})
	return nil
}

func (c *fakeConn) LocalAddr() net.Addr  { return fakeAddr(c.from) }
func (c *fakeConn) RemoteAddr() net.Addr { return fakeAddr(c.to) }

func (c *fakeConn) SetDeadline(t time.Time) error {
	c.SetReadDeadline(t)
	return c.SetWriteDeadline(t)
}

func (c *fakeConn) SetReadDeadline(t time.Time) error {
	return c.in.deadline(t, func() { c.in.readEnd = t })
}

func (c *fakeConn) SetWriteDeadline(t time.Time) error {
	return c.out.deadline(t, func() { c.out.writeEnd = t })
}

func (h *half) deadline(t time.Time, set func()) error {
	h.mu.Lock()
	set()
	h.mu.Unlock()
	if !t.IsZero() {
		time.AfterFunc(time.Until(t), h.changed.Broadcast)
	}
	h.changed.Broadcast()
	return nil
}
