package consensus

import (
	"net"
	"sync"
	"time"
)

// streamIdleMax is how long a stream that this node dialled may lie unused before it is parked.
const streamIdleMax = time.Minute

// parkable is a dialled stream that is closed while nobody uses it, and dialled again by the next
// Write. The library pools streams of elections and of a lost leadership for ever, each of which
// would keep a connection alive; it cannot be told which, and takes a closed one for a failed call.
//
// Like the library's streams it carries one call at a time: Writes, then Reads of the answer. It is
// parked between calls only: were it closed in the middle of a request, a snapshot whose disk is
// slow, the rest would go out on another stream, where the peer takes it for a request of its own.
type parkable struct {
	// Set at construction.
	dial          func(timeout time.Duration) (net.Conn, error)
	patience      time.Duration // of a dial without a deadline
	local, remote net.Addr

	mu       sync.Mutex
	conn     net.Conn // nil while parked
	deadline time.Time
	using    int       // Reads and Writes in progress
	owed     bool      // something was written, and nothing of an answer was read since
	used     time.Time // when the last Read or Write ended
	closed   bool
}

func newParkable(conn net.Conn, patience time.Duration,
	dial func(time.Duration) (net.Conn, error)) *parkable {
	return &parkable{dial: dial, patience: patience, conn: conn, used: time.Now(),
		local: conn.LocalAddr(), remote: conn.RemoteAddr()}
}

// park closes the stream when it is between calls and nobody has used it since before.
func (p *parkable) park(before time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.conn == nil || p.closed || p.using > 0 || p.owed || p.used.After(before) {
		return
	}
	p.conn.Close()
	p.conn = nil
}

// Write writes to the stream, after dialling it when it was parked.
func (p *parkable) Write(b []byte) (int, error) {
	p.mu.Lock()
	if p.closed {
		p.mu.Unlock()
		return 0, net.ErrClosed
	}
	p.using, p.owed = p.using+1, true
	conn, deadline := p.conn, p.deadline
	p.mu.Unlock()
	defer p.done()
	if conn == nil {
		var err error
		if conn, err = p.unpark(deadline); err != nil {
			return 0, err
		}
	}
	return conn.Write(b)
}

func (p *parkable) unpark(deadline time.Time) (net.Conn, error) {
	patience := p.patience
	if !deadline.IsZero() {
		patience = max(time.Until(deadline), time.Millisecond)
	}
	conn, err := p.dial(patience)
	if err != nil {
		return nil, err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		conn.Close()
		return nil, net.ErrClosed
	}
	p.conn = conn
	return conn, conn.SetDeadline(p.deadline)
}

// Read reads an answer. There is none of a call that was not written.
func (p *parkable) Read(b []byte) (int, error) {
	p.mu.Lock()
	if p.closed || p.conn == nil {
		p.mu.Unlock()
		return 0, net.ErrClosed
	}
	p.using++
	conn := p.conn
	p.mu.Unlock()
	defer p.done()
	n, err := conn.Read(b)
	if n > 0 {
		p.mu.Lock()
		p.owed = false
		p.mu.Unlock()
	}
	return n, err
}

func (p *parkable) done() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.using--
	p.used = time.Now()
}

// Close ends the stream for good, and releases whoever is in Read or Write.
func (p *parkable) Close() error {
	p.mu.Lock()
	conn := p.conn
	p.closed = true
	p.mu.Unlock()
	if conn == nil {
		return nil
	}
	return conn.Close()
}

// LocalAddr is what it was when the stream was first dialled.
func (p *parkable) LocalAddr() net.Addr { return p.local }

// RemoteAddr is what it was when the stream was first dialled.
func (p *parkable) RemoteAddr() net.Addr { return p.remote }

// SetDeadline bounds Read and Write, the dial of a parked stream included.
func (p *parkable) SetDeadline(t time.Time) error {
	return p.set(func(c net.Conn) error { return c.SetDeadline(t) }, t)
}

// SetReadDeadline bounds Read.
func (p *parkable) SetReadDeadline(t time.Time) error {
	return p.set(func(c net.Conn) error { return c.SetReadDeadline(t) }, t)
}

// SetWriteDeadline bounds Write.
func (p *parkable) SetWriteDeadline(t time.Time) error {
	return p.set(func(c net.Conn) error { return c.SetWriteDeadline(t) }, t)
}

func (p *parkable) set(on func(net.Conn) error, t time.Time) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.deadline = t
	if p.conn == nil {
		return nil
	}
	return on(p.conn)
}
