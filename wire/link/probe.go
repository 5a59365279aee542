package link

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"github.com/quic-go/quic-go"
	"github.com/quic-go/quic-go/qlog"
	"github.com/quic-go/quic-go/qlogwriter"
	"github.com/staffetta/staffetta/wire"
)

// heardMax bounds the addresses that a process remembers to have heard from: a whole federation.
// At the bound those of a minute ago are forgotten, and while there are none no new one is
// remembered: strangers cannot grow it, and a doctor that asks again gets its answer.
const (
	heardMax  = wire.NodesMax
	heardKeep = time.Minute
)

// Probed is what a fresh connection to a node showed. After an error it is filled as far as the
// probe came.
type Probed struct {
	Identity    Identity
	Certificate *x509.Certificate // as the node shows it; nil: the handshake did not come so far
	Protocol    string
	Handshake   time.Duration
	RoundTrip   time.Duration // the least that QUIC measured
	// PacketBytes is the largest UDP payload that came through to the node; 0: not known.
	PacketBytes int
	Answers     []Answer
}

// Answer is one answer of a probed node.
type Answer struct {
	Sent, Got time.Time
	Body      []byte
}

// Probe dials a node anew, whatever connections there are, makes the same call several times, one
// after the other, and closes the connection. It is for a doctor: a connection in use says nothing
// of whether another one could be made. The error's code says what failed:
//
//	Unauthenticated  the node's certificate is refused here
//	WrongFederation  the node is another federation's
//	Forbidden        the node refuses this process's certificate
//	Unavailable      no answer, or no address
//	other codes      the node's own answer to the call
func (l *Link) Probe(ctx context.Context, node wire.NodeID, m wire.Method, req []byte,
	calls int) (Probed, *wire.Error) {
	var p Probed
	if err := l.awaitStart(ctx); err != nil {
		return p, err
	}
	key := peerKey{node: node, proto: protoRelay}
	var known bool
	if key.addr, known = l.cfg.Addr(node); !known {
		return p, wire.Errorf(wire.Unavailable, "no address of node %.40q", node)
	}
	begun := time.Now()
	size := new(packetSize)
	c, err := l.probeDial(ctx, key, &p, size)
	if err != nil {
		return p, probeError(key, err)
	}
	defer c.conn.CloseWithError(closeUnused, "probed")
	p.Handshake = time.Since(begun)
	for range calls {
		a := Answer{Sent: time.Now()}
		if a.Body, err = l.probeCall(ctx, c, m, req); err != nil {
			return p, probeError(key, err)
		}
		a.Got = time.Now()
		p.Answers = append(p.Answers, a)
	}
	p.RoundTrip = c.conn.ConnectionStats().MinRTT
	p.PacketBytes = l.measure(ctx, c, size)
	return p, nil
}

const (
	// measureWait bounds the search for the size of the packets that a path carries. QUIC tries
	// one every five round trips, while there is something to send.
	measureWait = 1500 * time.Millisecond
	// measurePause is between the packets that are sent meanwhile.
	measurePause = 2 * time.Millisecond
)

// packetSize listens to a connection for the size of packets that it found the path to carry.
type packetSize struct {
	bytes atomic.Int64
	done  atomic.Bool
}

// AddProducer gives the connection somebody to tell.
func (s *packetSize) AddProducer() qlogwriter.Recorder { return s }

// RecordEvent takes what a connection tells of itself.
func (s *packetSize) RecordEvent(e qlogwriter.Event) {
	if m, ok := e.(qlog.MTUUpdated); ok {
		s.bytes.Store(int64(m.Value))
		s.done.Store(m.Done)
	}
}

// Close has nothing to close.
func (s *packetSize) Close() error { return nil }

// measure keeps a connection busy, with calls that the peer does not know, until it has found out
// which packets the path carries, and answers their size.
func (l *Link) measure(ctx context.Context, c *outConn, size *packetSize) int {
	ctx, cancel := context.WithTimeout(ctx, measureWait)
	defer cancel()
	for !size.done.Load() && sleep(ctx, l.stopping, measurePause) {
		_, err := l.probeCall(ctx, c, methodNone, nil)
		if e := (*wire.Error)(nil); err != nil && !errors.As(err, &e) {
			break
		}
	}
	return int(max(size.bytes.Load(), packetBytesMin))
}

// methodNone is a call that no program answers but by saying so.
const methodNone wire.Method = 0

func (l *Link) probeDial(ctx context.Context, key peerKey, p *Probed, size *packetSize) (*outConn,
	error) {
	addr, err := resolve(ctx, key.addr, l.cfg.PacketConn.LocalAddr())
	if err != nil {
		return nil, err
	}
	c := &outConn{key: key}
	config := l.clientTLS(c)
	verify := config.VerifyConnection
	config.VerifyConnection = func(cs tls.ConnectionState) error {
		if len(cs.PeerCertificates) > 0 {
			p.Certificate = cs.PeerCertificates[0]
			p.Identity, _ = identityOf(p.Certificate) // what is wrong with it, verify says
		}
		return verify(cs)
	}
	quicConfig := dialConfig(key.proto)
	quicConfig.Tracer = func(context.Context, bool, quic.ConnectionID) qlogwriter.Trace {
		return size
	}
	if c.conn, err = l.transport.Dial(ctx, addr, config, quicConfig); err != nil {
		return nil, err
	}
	p.Protocol = c.conn.ConnectionState().TLS.NegotiatedProtocol
	return c, nil
}

// probeCall is a call on a connection that is not the pool's.
func (l *Link) probeCall(ctx context.Context, c *outConn, m wire.Method, req []byte) (
	body []byte, err error) {
	s, err := c.conn.OpenStreamSync(ctx)
	if err != nil {
		return nil, err
	}
	stop := context.AfterFunc(ctx, func() { abort(s, abortGone) })
	defer stop()
	h := header{purpose: purposeCall, method: m}
	if err := l.writeRequest(s, h, req); err != nil {
		abort(s, abortGone)
		return nil, err
	}
	st, body, err := readFrame(s)
	if err != nil {
		abort(s, abortGone)
		return nil, err
	}
	var rest [1]byte
	if n, err := s.Read(rest[:]); n != 0 || err != io.EOF {
		abort(s, abortGone)
	}
	switch st {
	case statusOK:
		return body, nil
	case statusError:
		answered, err := decodeError(body)
		if err != nil {
			return nil, err
		}
		return nil, answered
	}
	return nil, wire.Errorf(wire.UnknownKind, "answer status %d", st)
}

func probeError(key peerKey, err error) *wire.Error {
	var e *wire.Error
	switch {
	case errors.As(err, &e):
		return e
	case refusedByPeer(err):
		return wire.Errorf(wire.Forbidden, "%s refuses this process's certificate: %s", key, err)
	}
	return wire.Errorf(wire.Unavailable, "no answer from %s: %s", key, err)
}

// heard remembers from which addresses connections were begun, whatever became of them.
type heard struct {
	mu sync.Mutex
	at map[netip.AddrPort]time.Time // guarded by mu
}

func (h *heard) note(from net.Addr) {
	udp, ok := from.(*net.UDPAddr)
	if !ok {
		return
	}
	key, now := unmapped(udp.AddrPort()), time.Now()
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.at == nil {
		h.at = make(map[netip.AddrPort]time.Time)
	}
	if _, known := h.at[key]; !known && len(h.at) >= heardMax {
		for k, at := range h.at {
			if now.Sub(at) > heardKeep {
				delete(h.at, k)
			}
		}
		if len(h.at) >= heardMax {
			return
		}
	}
	h.at[key] = now
}

func unmapped(a netip.AddrPort) netip.AddrPort {
	return netip.AddrPortFrom(a.Addr().Unmap(), a.Port())
}

// Heard answers how long ago a node's address began a connection here, by the first packet of the
// handshake, which comes through even where nothing goes back; -1: not lately. A path that
// translates addresses hides who it was.
func (l *Link) Heard(ctx context.Context, node wire.NodeID) time.Duration {
	text, known := l.cfg.Addr(node)
	if !known {
		return -1
	}
	addr, err := resolve(ctx, text, l.cfg.PacketConn.LocalAddr())
	if err != nil {
		return -1
	}
	l.heard.mu.Lock()
	defer l.heard.mu.Unlock()
	at, ok := l.heard.at[unmapped(addr.AddrPort())]
	if !ok {
		return -1
	}
	return time.Since(at)
}

// Buffer answers the size in bytes of the UDP socket's receive buffer, 0 when unknown, and the
// size that it should have.
func (l *Link) Buffer() (bytes, wanted int) {
	if conn, ok := l.cfg.PacketConn.(*net.UDPConn); ok {
		bytes = receiveBuffer(conn)
	}
	return bytes, socketBufferBytes
}

// noting decides whether a new connection must first prove its address, and notes whom it is from.
func (l *Link) noting(prove func(net.Addr) bool) func(net.Addr) bool {
	return func(from net.Addr) bool {
		l.heard.note(from)
		return prove(from)
	}
}
