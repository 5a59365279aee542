package link

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"sync"
	"time"

	"github.com/quic-go/quic-go"
	"github.com/staffetta/staffetta/wire"
	"golang.org/x/time/rate"
)

// Why a connection is closed, for the peer.
const (
	closeStopping quic.ApplicationErrorCode = 1 // the process ends
	closeAged     quic.ApplicationErrorCode = 2 // replaced by a new one
	closeSurplus  quic.ApplicationErrorCode = 3 // more than connsPerPeerMax
	closeUnused   quic.ApplicationErrorCode = 4 // came too late to be used
	closeRevoked  quic.ApplicationErrorCode = 5 // the peer's certificate is revoked
	closeIdle     quic.ApplicationErrorCode = 6 // nobody has used it for connIdleMax
)

// Why a stream is given up, for the peer.
const (
	abortGone     quic.StreamErrorCode = 1 // nobody waits for it any more
	abortRefused  quic.StreamErrorCode = 2 // not allowed, or no such group here
	abortProtocol quic.StreamErrorCode = 3 // the bytes make no sense
	abortFull     quic.StreamErrorCode = 4 // too many streams wait
	abortAnswered quic.StreamErrorCode = 5 // the rest of the request does not matter
)

// Run serves until ctx ends, or until the socket fails, which it returns. When it returns, all
// connections are closed and every goroutine that the link started has ended. It can be called
// once.
func (l *Link) Run(ctx context.Context) error {
	l.mu.Lock()
	if l.running {
		l.mu.Unlock()
		return errors.New("link: run twice")
	}
	l.running = true
	l.mu.Unlock()
	l.warnOfSmallBuffers()

	var listener *quic.Listener
	if l.cfg.Listen {
		var err error
		listener, err = l.transport.Listen(l.serverTLS(), listenConfig())
		if err != nil {
			return errors.Join(fmt.Errorf("link: listen: %w", err), l.shutdown(nil))
		}
		l.spawn(func() { l.accept(listener) })
	}
	l.spawn(l.watch)
	close(l.started)
	select {
	case <-ctx.Done():
	case <-l.failed:
	}
	return l.shutdown(listener)
}

// fail ends Run with err.
func (l *Link) fail(err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.fault == nil && !l.closed {
		l.fault = err
		close(l.failed)
	}
}

// spawn runs f in a goroutine that Run waits for; false when the link has ended.
func (l *Link) spawn(f func()) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return false
	}
	l.wg.Go(f)
	return true
}

func (l *Link) shutdown(listener *quic.Listener) error {
	l.mu.Lock()
	l.closed = true
	fault := l.fault
	var conns []*quic.Conn
	for _, list := range l.inbound {
		for _, c := range list {
			conns = append(conns, c.conn)
		}
	}
	l.mu.Unlock()
	close(l.stopping)
	conns = append(conns, l.pool.close()...)
	if listener != nil {
		listener.Close()
	}
	var closing sync.WaitGroup
	for _, c := range conns {
		closing.Go(func() { c.CloseWithError(closeStopping, "stopping") })
	}
	closing.Wait()
	// Ends dials in progress, too.
	if err := l.transport.Close(); err != nil && fault == nil {
		fault = fmt.Errorf("link: close: %w", err)
	}
	l.wg.Wait()
	return fault
}

// inboundKey counts connections per peer and protocol.
type inboundKey struct {
	id    Identity
	proto string
}

// inConn is a connection that a peer dialled.
type inConn struct {
	// Set at construction.
	conn  *quic.Conn
	key   inboundKey
	chain []*x509.Certificate // what the peer showed
	aged  *time.Timer         // closes the connection

	retired sync.Once
}

// retire closes the connection when its calls have had their time. The dialler, which knows as
// much, has replaced it by then.
func (c *inConn) retire() { c.retired.Do(func() { c.aged.Reset(2 * ageGrace) }) }

// accept hands every connection to a goroutine of its own.
func (l *Link) accept(listener *quic.Listener) {
	for {
		conn, err := listener.Accept(context.Background())
		if err != nil {
			l.fail(fmt.Errorf("link: accept: %w", err)) // no fault once the link is closed
			return
		}
		if !l.spawn(func() { l.serveConn(conn) }) {
			conn.CloseWithError(closeStopping, "stopping")
			return
		}
	}
}

// serveConn serves a connection until it ends.
func (l *Link) serveConn(conn *quic.Conn) {
	state := conn.ConnectionState()
	id, err := identityOf(state.TLS.PeerCertificates[0]) // verified in the handshake
	if err != nil {
		conn.CloseWithError(closeUnused, "")
		return
	}
	// The dialler replaces its connection in time; one that does not is cut off.
	age := connAge(l.cfg.ConnAgeMax, state.TLS.PeerCertificates[0]) + 2*ageGrace
	c := &inConn{conn: conn, key: inboundKey{id, state.TLS.NegotiatedProtocol},
		chain: state.TLS.PeerCertificates,
		aged:  time.AfterFunc(age, func() { conn.CloseWithError(closeAged, "too old") })}
	defer c.aged.Stop()
	if !l.addInbound(c) {
		conn.CloseWithError(closeStopping, "stopping")
		return
	}
	defer l.removeInbound(c)
	l.cutRevoked(conn, id, c.chain[0]) // a review may have missed it, between handshake and here
	l.log.Debug("peer connected", "peer", id, "protocol", c.key.proto,
		"from", conn.RemoteAddr(), "gso", state.GSO)
	for {
		s, err := conn.AcceptStream(context.Background())
		if err != nil {
			l.log.Debug("peer disconnected", "peer", id, "protocol", c.key.proto, "reason", err)
			if saysRevoked(err) {
				l.toldRevoked(id)
			}
			return
		}
		l.wg.Go(func() { l.serveStream(c, s) }) // never from zero: this goroutine counts
	}
}

func (l *Link) addInbound(c *inConn) bool {
	l.mu.Lock()
	if l.closed {
		l.mu.Unlock()
		return false
	}
	list := append(l.inbound[c.key], c)
	l.inbound[c.key] = list
	var surplus *inConn
	if len(list) > connsPerPeerMax {
		surplus = list[0]
	}
	l.mu.Unlock()
	l.stats.began(c.conn, inbound, c.key.proto, c.key.id.Role)
	if surplus != nil {
		surplus.conn.CloseWithError(closeSurplus, "too many connections")
	}
	return true
}

func (l *Link) removeInbound(c *inConn) {
	l.mu.Lock()
	list := l.inbound[c.key]
	for i := range list {
		if list[i] == c {
			list = append(list[:i:i], list[i+1:]...)
			break
		}
	}
	if len(list) == 0 {
		delete(l.inbound, c.key)
	} else {
		l.inbound[c.key] = list
	}
	l.mu.Unlock()
	l.stats.ended(c.conn, inbound, c.key.proto, c.key.id.Role)
}

// inConns are the connections that peers dialled.
func (l *Link) inConns() []*inConn {
	l.mu.Lock()
	defer l.mu.Unlock()
	var conns []*inConn
	for _, list := range l.inbound {
		conns = append(conns, list...)
	}
	return conns
}

// connAge is how old a connection may become: as old as is allowed, and no older than the
// certificates.
func connAge(max time.Duration, certs ...*x509.Certificate) time.Duration {
	for _, c := range certs {
		max = min(max, time.Until(c.NotAfter))
	}
	return max
}

// listenConfig is the listener's, which serves both protocols.
func listenConfig() *quic.Config {
	return &quic.Config{
		HandshakeIdleTimeout:           handshakeIdle,
		MaxIdleTimeout:                 idleMax,
		InitialStreamReceiveWindow:     relayStreamWindow,
		MaxStreamReceiveWindow:         relayStreamWindowMax,
		InitialConnectionReceiveWindow: relayConnWindow,
		MaxConnectionReceiveWindow:     relayConnWindowMax,
		MaxIncomingStreams:             callStreamsMax,
		MaxIncomingUniStreams:          -1,
		InitialPacketSize:              packetBytesMin,
	}
}

// verifyAbove asks peers to prove their address while handshakes come faster than the limit.
func verifyAbove(limit *rate.Limiter) func(net.Addr) bool {
	return func(net.Addr) bool { return !limit.Allow() }
}

// awaitStart waits until Run serves.
func (l *Link) awaitStart(ctx context.Context) *wire.Error {
	select {
	case <-l.started:
		return nil
	default:
	}
	select {
	case <-l.started:
		return nil
	case <-l.stopping:
		return errStopping()
	case <-ctx.Done():
		return wire.Errorf(wire.Unavailable, "the link was not started in time")
	}
}
