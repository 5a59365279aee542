package link

import (
	"context"
	"crypto/x509"
	"maps"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/quic-go/quic-go"
	"github.com/staffetta/staffetta/wire"
)

// pool holds the connections that this process dialled, at most one per peer and protocol, and
// dials at most once at a time for each. A failed dial is followed by a pause, doubled each time.
type pool struct {
	link *Link

	mu     sync.Mutex
	closed bool
	peers  map[peerKey]*peer
	// live are all connections that are not closed, those retired from peers included.
	live map[*outConn]struct{}
}

// peerKey is whom to reach, where and how. A node whose address changes is another key: the
// connection to the old address ends by itself.
type peerKey struct {
	node  wire.NodeID // empty: whichever node is there
	addr  string
	proto string
}

// peer is guarded by the pool's mutex.
type peer struct {
	conn *outConn
	dial *dialing

	failures int
	retryAt  time.Time
	reason   *wire.Error // of the last failure
	refused  bool        // the last failure: the peer refused our certificate
}

// dialing is a dial in progress. err is set before done is closed.
type dialing struct {
	done   chan struct{}
	cancel context.CancelFunc
	err    *wire.Error
}

// outConn is a connection that was dialled.
type outConn struct {
	pool *pool
	key  peerKey
	conn *quic.Conn
	id   Identity
	own  *x509.Certificate // what the peer saw of us

	// proven says that the peer has answered something, hence accepted our certificate.
	proven atomic.Bool

	// Guarded by the pool's mutex.
	uses    int
	idle    time.Time // since when uses is 0
	retired bool
	timer   *time.Timer // retires the connection, then closes it
}

func newPool(l *Link) *pool {
	return &pool{link: l, peers: map[peerKey]*peer{}, live: map[*outConn]struct{}{}}
}

// get returns a connection, which the caller must release, dialling when there is none. While
// the peer's pause lasts it fails at once, or waits for its end when patient.
func (p *pool) get(ctx context.Context, key peerKey, patient bool) (*outConn, *wire.Error) {
	for {
		p.mu.Lock()
		if p.closed {
			p.mu.Unlock()
			return nil, errStopping()
		}
		r := p.peer(key)
		if r.conn != nil && r.conn.conn.Context().Err() != nil {
			p.lost(r.conn, context.Cause(r.conn.conn.Context()))
		}
		if c := r.conn; c != nil {
			c.uses++
			p.mu.Unlock()
			return c, nil
		}
		pause := time.Until(r.retryAt)
		if r.dial == nil && pause > 0 {
			reason := r.reason
			p.mu.Unlock()
			if !patient {
				return nil, reason
			}
			if !sleep(ctx, p.link.stopping, pause) {
				return nil, reason
			}
			continue
		}
		if r.dial == nil {
			p.startDial(key, r)
		}
		d := r.dial
		p.mu.Unlock()
		select {
		case <-d.done:
			if d.err != nil {
				return nil, d.err
			}
		case <-ctx.Done():
			return nil, wire.Errorf(wire.Unavailable, "no connection to %s in time", key)
		}
	}
}

// peer returns the entry of key, forgetting idle ones when they become many. Called with mu.
func (p *pool) peer(key peerKey) *peer {
	if r := p.peers[key]; r != nil {
		return r
	}
	if len(p.peers) >= idlePeersMax {
		for k, r := range p.peers {
			if r.conn == nil && r.dial == nil {
				delete(p.peers, k)
			}
		}
	}
	r := &peer{}
	p.peers[key] = r
	return r
}

// startDial dials in the background, whoever waits for it. Called with mu.
func (p *pool) startDial(key peerKey, r *peer) {
	ctx, cancel := context.WithTimeout(context.Background(), dialWait)
	d := &dialing{done: make(chan struct{}), cancel: cancel}
	r.dial = d
	work := func() {
		defer cancel()
		c, refused, err := p.link.dial(ctx, key)
		p.mu.Lock()
		defer p.mu.Unlock()
		r.dial = nil
		if err == nil && p.closed {
			err = errStopping()
			c.conn.CloseWithError(closeUnused, "stopping")
		}
		if err != nil {
			p.failed(r, err, refused)
			d.err = err
		} else {
			p.adopt(r, c)
			// A review may have missed it, between handshake and here.
			p.link.cutRevoked(c.conn, c.id, c.conn.ConnectionState().TLS.PeerCertificates[0])
		}
		close(d.done)
	}
	if !p.link.spawn(work) {
		cancel()
		d.err = errStopping()
		r.dial = nil
		close(d.done)
	}
}

// adopt takes a new connection into the pool. Called with mu.
func (p *pool) adopt(r *peer, c *outConn) {
	r.conn, c.idle = c, time.Now()
	p.live[c] = struct{}{}
	p.link.stats.began(c.conn, outbound, c.key.proto, c.id.Role)
	state := c.conn.ConnectionState()
	certs := state.TLS.PeerCertificates[:1:1]
	if c.own != nil {
		certs = append(certs, c.own)
	}
	age := connAge(p.link.cfg.ConnAgeMax, certs...)
	age -= time.Duration(rand.Int64N(int64(max(age/10, 1)))) // not all at once
	c.timer = time.AfterFunc(age, c.retire)
	p.link.wg.Add(1) // never from zero: the dialling goroutine counts
	context.AfterFunc(c.conn.Context(), c.ended)
}

// failed notes a failure and sets the pause after it. Called with mu.
func (p *pool) failed(r *peer, reason *wire.Error, refused bool) {
	pause := min(backoffMin<<min(r.failures, 16), backoffMax)
	pause = pause/2 + time.Duration(rand.Int64N(int64(pause/2)))
	r.failures++
	r.retryAt = time.Now().Add(pause)
	r.reason, r.refused = reason, refused
}

// conns are the connections that are not closed.
func (p *pool) conns() []*outConn {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Collect(maps.Keys(p.live))
}

// renewed forgets that peers refused our certificate, which is another one now.
func (p *pool) renewed() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, r := range p.peers {
		if r.refused {
			r.refused, r.failures, r.retryAt = false, 0, time.Time{}
		}
	}
}

// accepted reports whether any peer that we dialled talks to us.
func (p *pool) accepted() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	for c := range p.live {
		if c.proven.Load() {
			return true
		}
	}
	return false
}

// refusals counts the peers that refused our certificate when they were last dialled, lately.
func (p *pool) refusals() (n int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, r := range p.peers {
		accepted := r.conn != nil && r.conn.proven.Load()
		if r.refused && !accepted && time.Since(r.retryAt) < refusalKeep {
			n++
		}
	}
	return n
}

// lost takes a connection out of use. A peer that never answered on it has refused us, or is not
// well: that counts as a failed dial. Called with mu.
func (p *pool) lost(c *outConn, cause error) {
	if r := p.leave(c); r != nil && !c.proven.Load() {
		p.failed(r, errLost(c, cause), refusedByPeer(cause))
	}
}

// leave keeps new calls off a connection, and forgets the failures before one that was good. It
// returns the peer's entry when this was its connection, else nil. Called with mu.
func (p *pool) leave(c *outConn) *peer {
	r := p.peers[c.key]
	if r == nil || r.conn != c {
		return nil
	}
	r.conn = nil
	if c.proven.Load() {
		r.failures, r.retryAt, r.refused = 0, time.Time{}, false
	}
	return r
}

// ended runs when the connection has ended, for whatever reason.
func (c *outConn) ended() {
	defer c.pool.link.wg.Done()
	c.pool.mu.Lock()
	c.timer.Stop()
	c.pool.lost(c, context.Cause(c.conn.Context()))
	delete(c.pool.live, c)
	c.pool.mu.Unlock()
	c.pool.link.stats.ended(c.conn, outbound, c.key.proto, c.id.Role)
	if saysRevoked(context.Cause(c.conn.Context())) {
		c.pool.link.toldRevoked(c.id)
	}
	c.pool.link.log.Debug("connection ended", "peer", c.id, "protocol", c.key.proto,
		"reason", context.Cause(c.conn.Context()))
}

// retire keeps new calls off the connection, which closes after the last one in progress, or
// after ageGrace.
func (c *outConn) retire() {
	p := c.pool
	p.mu.Lock()
	p.leave(c)
	c.retired = true
	idle := c.uses == 0
	if !idle {
		c.timer = time.AfterFunc(ageGrace, c.closeAged)
	}
	p.mu.Unlock()
	if idle {
		c.closeAged()
	}
}

// closeIdle closes the connections that nobody has used for connIdleMax: those of a leadership that
// was lost, and of calls that came once.
func (p *pool) closeIdle() {
	p.mu.Lock()
	var idle []*outConn
	for c := range p.live {
		if c.uses > 0 || c.retired || time.Since(c.idle) < connIdleMax {
			continue
		}
		p.leave(c)
		c.retired = true
		idle = append(idle, c)
	}
	p.mu.Unlock()
	for _, c := range idle {
		c.conn.CloseWithError(closeIdle, "idle")
	}
}

func (c *outConn) closeAged() { c.conn.CloseWithError(closeAged, "too old") }

// release gives back what get gave.
func (c *outConn) release() {
	c.pool.mu.Lock()
	c.uses--
	c.idle = time.Now()
	last := c.retired && c.uses == 0
	c.pool.mu.Unlock()
	if last {
		c.closeAged()
	}
}

// drop stops new calls from using a connection that turned out to be dead.
func (c *outConn) drop(cause error) {
	c.pool.mu.Lock()
	defer c.pool.mu.Unlock()
	c.pool.lost(c, cause)
}

// close ends all dials and returns the connections to close.
func (p *pool) close() []*quic.Conn {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.closed = true
	for _, r := range p.peers {
		if r.dial != nil {
			r.dial.cancel()
		}
	}
	var conns []*quic.Conn
	for c := range p.live {
		conns = append(conns, c.conn)
	}
	return conns
}

// sleep reports whether it slept to the end.
func sleep(ctx context.Context, stop <-chan struct{}, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-stop:
	case <-ctx.Done():
	}
	return false
}
