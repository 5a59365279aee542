package link

import (
	"context"
	"errors"
	"io"

	"github.com/quic-go/quic-go"
	"github.com/staffetta/staffetta/wire"
)

// Peer is whom to call: a node by name, where Config.Addr says or at Addr. Without a name,
// whichever node of the federation is at Addr answers, for a first contact.
type Peer struct {
	Node wire.NodeID
	Addr string
}

// Call sends a request and returns the answer, which is the caller's to keep. The request is the
// caller's again on return. Every error is a *wire.Error: the peer's own, or
//
//	TooLarge         the request is larger than wire.FrameBytesMax
//	Unavailable      the peer has certainly not handled the request
//	WrongFederation  the peer belongs to another federation
//	OutcomeUnknown   the request may have been handled: the connection broke or ctx ended
//
// Calls in progress share a connection and do not wait for each other. When ctx ends, so does
// the handler's.
func (l *Link) Call(ctx context.Context, to Peer, m wire.Method, req []byte) ([]byte, error) {
	var answer []byte
	err := l.exchange(ctx, to, header{purpose: purposeCall, method: m}, req,
		func(r io.Reader) (*wire.Error, error) {
			s, body, err := readFrame(r)
			switch {
			case err != nil:
				return nil, err
			case s == statusError:
				return decodeError(body)
			case s != statusOK:
				return nil, wire.Errorf(wire.UnknownKind, "answer status %d", s)
			}
			l.stats.bytes(inbound, kindCall, RoleNode).Add(float64(len(body)))
			answer = body
			return nil, nil
		})
	if err != nil {
		return nil, err
	}
	return answer, nil
}

// Stream sends a request and calls recv with every frame of the answer, until the handler has
// returned: nil, or an error as of Call. An error of recv ends the stream and is returned as it
// is. The frames are the receiver's to keep.
func (l *Link) Stream(ctx context.Context, to Peer, m wire.Method, req []byte,
	recv func(frame []byte) error) error {
	var stopped error
	err := l.exchange(ctx, to, header{purpose: purposeStream, method: m}, req,
		func(r io.Reader) (*wire.Error, error) {
			for {
				s, body, err := readFrame(r)
				switch {
				case err != nil:
					return nil, err
				case s == statusError:
					return decodeError(body)
				case s == statusEnd:
					return nil, nil
				case s != statusFrame:
					return nil, wire.Errorf(wire.UnknownKind, "answer status %d", s)
				}
				l.stats.bytes(inbound, kindStream, RoleNode).Add(float64(len(body)))
				if stopped = recv(body); stopped != nil {
					return nil, stopped
				}
			}
		})
	if stopped != nil {
		return stopped
	}
	if err != nil {
		return err
	}
	return nil
}

// exchange runs one call: it opens a stream, sends header and request, and lets read have the
// answer. read returns what the peer answered as an error, or why it cannot be read.
func (l *Link) exchange(ctx context.Context, to Peer, h header, req []byte,
	read func(io.Reader) (*wire.Error, error)) *wire.Error {
	if len(req) > wire.FrameBytesMax {
		return wire.Errorf(wire.TooLarge, "request of %d bytes, %d allowed",
			len(req), wire.FrameBytesMax)
	}
	kind := h.purpose.kind()
	c, s, failure := l.open(ctx, to, protoRelay, false)
	if failure != nil {
		l.stats.called(outbound, h.method, failure)
		return failure
	}
	defer c.release()
	l.stats.opened(outbound, kind).Inc()
	defer l.stats.opened(outbound, kind).Dec()
	stop := context.AfterFunc(ctx, func() { abort(s, abortGone) })
	defer stop()
	failure = l.converse(c, s, h, req, read)
	l.stats.called(outbound, h.method, failure)
	return failure
}

func (l *Link) converse(c *outConn, s *quic.Stream, h header, req []byte,
	read func(io.Reader) (*wire.Error, error)) *wire.Error {
	// A peer that stopped reading may have answered why: the answer is read all the same.
	writeErr := l.writeRequest(s, h, req)
	var streamErr *quic.StreamError
	if writeErr != nil && !(errors.As(writeErr, &streamErr) && streamErr.Remote) {
		abort(s, abortGone)
		return errSent(c, writeErr)
	}
	l.stats.bytes(outbound, h.purpose.kind(), RoleNode).Add(float64(len(req)))
	answered, err := read(s)
	if err != nil {
		abort(s, abortGone)
		return errSent(c, err)
	}
	c.proven.Store(true)
	// The end of the stream follows the answer, normally in the same packet. Reading it completes
	// the stream, which would count against the peer's limit otherwise.
	var rest [1]byte
	if n, err := s.Read(rest[:]); n != 0 || err != io.EOF {
		abort(s, abortGone)
	}
	return answered
}

// writeRequest sends header and request in one Write.
func (l *Link) writeRequest(s *quic.Stream, h header, req []byte) error {
	buf := l.buffer()
	defer l.putBuffer(buf)
	h.federation, h.length = l.cfg.Federation, len(req)
	*buf = h.append(*buf)
	*buf = append(*buf, req...)
	if _, err := s.Write(*buf); err != nil {
		return err
	}
	return s.Close()
}

// open opens a stream to a peer. Nothing was sent when it fails. A connection that turns out to
// be dead is replaced once.
func (l *Link) open(ctx context.Context, to Peer, proto string, patient bool) (
	*outConn, *quic.Stream, *wire.Error) {
	if err := l.awaitStart(ctx); err != nil {
		return nil, nil, err
	}
	key := peerKey{node: to.Node, addr: to.Addr, proto: proto}
	if key.addr == "" {
		var known bool
		if key.addr, known = l.cfg.Addr(to.Node); !known || to.Node == "" {
			return nil, nil, wire.Errorf(wire.Unavailable, "no address of node %.40q", to.Node)
		}
	}
	for attempt := 0; ; attempt++ {
		c, failure := l.pool.get(ctx, key, patient)
		if failure != nil {
			return nil, nil, failure
		}
		s, err := c.conn.OpenStreamSync(ctx)
		if err == nil {
			return c, s, nil
		}
		dead := ctx.Err() == nil // its own context ends a little later than its streams
		if dead {
			c.drop(err)
		}
		c.release()
		if !dead || attempt > 0 {
			return nil, nil, errLost(c, err)
		}
	}
}

// abort gives a stream up in both directions. It may run at any time, more than once.
func abort(s *quic.Stream, code quic.StreamErrorCode) {
	s.CancelRead(code)
	s.CancelWrite(code)
}

// decodeError reads an error that the peer answered.
func decodeError(body []byte) (*wire.Error, error) {
	e := &wire.Error{}
	if err := wire.Decode(body, e); err != nil {
		return nil, err
	}
	if e.Code == 0 {
		e.Code = wire.Internal
	}
	return e, nil
}
