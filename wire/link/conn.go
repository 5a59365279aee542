package link

import (
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/quic-go/quic-go"
)

// streamConn is one QUIC stream as a net.Conn.
//
// A QUIC stream has two directions that end separately, and one that was not ended on both sides
// counts against the peer's limit for ever. Close therefore ends both: what was written is still
// delivered, followed by the end; what was not read is not wanted any more, which also releases
// a peer that is blocked in Write. A Write that failed or is in progress has left the framing
// undefined: then nothing more is delivered.
type streamConn struct {
	// Set at construction.
	stream   *quic.Stream
	link     *Link
	peer     Identity
	dir      direction
	dialled  *outConn // nil when the peer opened the stream
	received prometheus.Counter
	sent     prometheus.Counter

	closed atomic.Bool
	// unanswered counts the bytes that were written since something was read; bulk says that
	// they were so many that the stream yields to others.
	unanswered atomic.Int64
	bulk       atomic.Bool

	writing sync.Mutex // held in Write
	broken  bool       // guarded by writing: a Write failed
}

func (l *Link) newConn(s *quic.Stream, peer Identity, dir direction, dialled *outConn) *streamConn {
	l.stats.opened(dir, kindRaft).Inc()
	return &streamConn{
		stream:   s,
		link:     l,
		peer:     peer,
		dir:      dir,
		dialled:  dialled,
		received: l.stats.bytes(inbound, kindRaft, peer.Role),
		sent:     l.stats.bytes(outbound, kindRaft, peer.Role),
	}
}

// Read reads what the peer has written; io.EOF after its Close.
func (c *streamConn) Read(b []byte) (int, error) {
	n, err := c.stream.Read(b)
	if n > 0 {
		c.received.Add(float64(n))
		if c.dialled != nil && !c.dialled.proven.Load() {
			c.dialled.proven.Store(true)
		}
		c.unanswered.Store(0)
		if c.bulk.Load() && c.bulk.CompareAndSwap(true, false) {
			c.stream.SetPriority(urgencyRaft, true)
		}
	}
	if err != nil && c.closed.Load() {
		err = net.ErrClosed
	}
	return n, err
}

// Write returns when the bytes are on their way. After an error the stream is good for nothing
// but Close.
func (c *streamConn) Write(b []byte) (int, error) {
	c.writing.Lock()
	defer c.writing.Unlock()
	if c.closed.Load() {
		return 0, net.ErrClosed
	}
	if c.unanswered.Add(int64(len(b))) > bulkAfterBytes && c.bulk.CompareAndSwap(false, true) {
		c.stream.SetPriority(urgencyBulk, true)
	}
	n, err := c.stream.Write(b)
	c.sent.Add(float64(n))
	if err != nil {
		c.broken = true
		if c.closed.Load() {
			err = net.ErrClosed
		}
	}
	return n, err
}

// Close ends both directions. It never blocks, and releases whoever is in Read or Write.
func (c *streamConn) Close() error {
	if c.closed.Swap(true) {
		return nil
	}
	c.stream.CancelRead(abortGone)
	if c.writing.TryLock() {
		if c.broken {
			c.stream.CancelWrite(abortGone)
		} else {
			c.stream.Close()
		}
		c.writing.Unlock()
	} else {
		c.stream.CancelWrite(abortGone)
	}
	c.end()
	return nil
}

// refuse closes a stream that nobody accepted.
func (c *streamConn) refuse(code quic.StreamErrorCode) {
	if c.closed.Swap(true) {
		return
	}
	abort(c.stream, code)
	c.end()
}

// end gives back what the stream holds.
func (c *streamConn) end() {
	c.link.stats.opened(c.dir, kindRaft).Dec()
	if c.dialled != nil {
		c.dialled.release()
	}
}

// LocalAddr is this node's name.
func (c *streamConn) LocalAddr() net.Addr { return nodeAddr(c.link.self.Name) }

// RemoteAddr is the peer's name, from its certificate.
func (c *streamConn) RemoteAddr() net.Addr { return nodeAddr(c.peer.Name) }

// SetDeadline bounds Read and Write.
func (c *streamConn) SetDeadline(t time.Time) error { return c.stream.SetDeadline(t) }

// SetReadDeadline bounds Read.
func (c *streamConn) SetReadDeadline(t time.Time) error { return c.stream.SetReadDeadline(t) }

// SetWriteDeadline bounds Write.
func (c *streamConn) SetWriteDeadline(t time.Time) error { return c.stream.SetWriteDeadline(t) }
