package link

import (
	"context"
	"errors"
	"io"
	"time"

	"github.com/quic-go/quic-go"
	"github.com/staffetta/staffetta/wire"
)

// kind tells streams apart in metrics.
type kind uint8

// The kinds.
const (
	kindRaft kind = iota
	kindCall
	kindStream
	kindsEnd
)

func (p purpose) kind() kind {
	switch p {
	case purposeRaft:
		return kindRaft
	case purposeStream:
		return kindStream
	}
	return kindCall
}

// serveStream serves a stream that a peer opened, from its first byte to the handler's return.
// A raft stream lives on, owned by whoever accepts it from the group's layer.
func (l *Link) serveStream(c *inConn, s *quic.Stream) {
	s.SetReadDeadline(time.Now().Add(headerWait))
	h, err := readHeader(s)
	refusal := l.authorise(c, h, err)
	if refusal == nil && h.purpose == purposeRaft {
		l.acceptRaft(c, s, h.group)
		return
	}
	switch {
	case refusal == nil:
		l.serveCall(c, s, h)
	case c.key.proto == protoRaft || refusal.Code == wire.Unavailable:
		abort(s, abortRefused)
	default:
		m := h.method
		if _, known := l.handlers[m]; !known {
			m = 0 // a number that the peer chose is no label
		}
		l.stats.called(inbound, m, refusal)
		l.reply(s, refusal, statusError, nil)
	}
}

// authorise decides by header and certificate; err is that of reading the header. Unavailable
// says that there is nobody to answer.
func (l *Link) authorise(c *inConn, h header, err error) *wire.Error {
	var malformed *wire.Error
	switch {
	case errors.As(err, &malformed):
		return malformed
	case err != nil:
		return wire.Errorf(wire.Unavailable, "stream without a header")
	case h.federation != l.cfg.Federation:
		return wire.Errorf(wire.WrongFederation, "stream for federation %q, this is %s",
			h.federation, l.cfg.Federation)
	case (h.purpose == purposeRaft) != (c.key.proto == protoRaft):
		return wire.Malformedf("stream of purpose %d over %s", h.purpose, c.key.proto)
	case h.purpose == purposeRaft:
		return authoriseGroup(c.key.id, h.group)
	}
	handler, ok := l.handlers[h.method]
	if !ok || (h.purpose == purposeStream) != (handler.stream != nil) {
		return wire.Errorf(wire.UnknownKind, "no method %d here", h.method)
	}
	if !handler.roles[c.key.id.Role] {
		return wire.Errorf(wire.Forbidden, "method %d is not for a %s", h.method, c.key.id.Role)
	}
	return l.cfg.Admit(c.key.id)
}

// serveCall reads the request and runs the handler.
func (l *Link) serveCall(c *inConn, s *quic.Stream, h header) {
	kind := h.purpose.kind()
	l.stats.opened(inbound, kind).Inc()
	defer l.stats.opened(inbound, kind).Dec()
	if !l.requests.TryAcquire(int64(h.length)) {
		e := wire.Errorf(wire.Overloaded, "too many requests in progress")
		l.stats.called(inbound, h.method, e)
		l.reply(s, e, statusError, nil)
		return
	}
	defer l.requests.Release(int64(h.length))
	req := make([]byte, h.length)
	s.SetReadDeadline(time.Now().Add(requestWait))
	if _, err := io.ReadFull(s, req); err != nil {
		abort(s, abortGone)
		return
	}
	l.stats.bytes(inbound, kind, c.key.id.Role).Add(float64(h.length))
	// Reading the end, which comes with the request, completes this direction.
	var rest [1]byte
	if n, err := s.Read(rest[:]); n != 0 || err != io.EOF {
		e := wire.Malformedf("request longer than its header says")
		l.stats.called(inbound, h.method, e)
		l.reply(s, e, statusError, nil)
		return
	}
	// The stream's context ends when the caller gives up or its connection is lost.
	ctx, done, refusal := l.permit(s.Context(), c, h.method, req)
	defer done()
	if refusal != nil {
		l.stats.called(inbound, h.method, refusal)
		l.reply(s, refusal, statusError, nil)
		return
	}
	if h.purpose == purposeStream {
		l.answerStream(ctx, c, s, h, req)
	} else {
		l.answerCall(ctx, c, s, h, req)
	}
}

// permit asks whether an operator may make the call, and puts its grants and its deadline into the
// context of who answers it.
func (l *Link) permit(ctx context.Context, c *inConn, m wire.Method, req []byte) (
	context.Context, context.CancelFunc, *wire.Error) {
	if c.key.id.Role != RoleOperator {
		return ctx, func() {}, nil
	}
	gs, err := l.grants(c)
	if err == nil {
		err = l.cfg.Permit(c.key.id, gs, m, req)
	}
	ctx = WithGrants(ctx, gs)
	end := wire.DeadlineOf(req)
	if end <= 0 {
		return ctx, func() {}, err
	}
	if now := wire.TimeOf(time.Now()); err == nil && now > end {
		err = wire.Errorf(wire.Conflict, "withdrawn at %s, and it is %s here: nothing was done; if "+
			"you have only just asked, the clocks differ", end, now)
	}
	ctx, cancel := context.WithDeadline(ctx, end.Std())
	return ctx, cancel, err
}

func (l *Link) answerCall(ctx context.Context, c *inConn, s *quic.Stream, h header, req []byte) {
	begun := time.Now()
	body, err := l.handlers[h.method].call(ctx, c.key.id, req)
	if err == nil && len(body) > wire.FrameBytesMax {
		l.log.Error("answer too large", "method", h.method, "bytes", len(body))
		err = wire.Errorf(wire.Internal, "answer of %d bytes, %d allowed",
			len(body), wire.FrameBytesMax)
	}
	failure := wire.AsError(err)
	l.stats.handled(h.method, time.Since(begun), failure)
	if failure == nil {
		l.stats.bytes(outbound, kindCall, c.key.id.Role).Add(float64(len(body)))
	}
	l.reply(s, failure, statusOK, body)
}

func (l *Link) answerStream(ctx context.Context, c *inConn, s *quic.Stream, h header, req []byte) {
	bytes := l.stats.bytes(outbound, kindStream, c.key.id.Role)
	send := func(frame []byte) error {
		if len(frame) > wire.FrameBytesMax {
			return wire.Errorf(wire.TooLarge, "frame of %d bytes, %d allowed",
				len(frame), wire.FrameBytesMax)
		}
		if err := l.writeFrame(s, statusFrame, frame); err != nil {
			return wire.Errorf(wire.Unavailable, "the caller is gone")
		}
		bytes.Add(float64(len(frame)))
		return nil
	}
	failure := wire.AsError(l.handlers[h.method].stream(ctx, c.key.id, req, send))
	l.stats.called(inbound, h.method, failure)
	l.reply(s, failure, statusEnd, nil)
}

// reply sends the last frame of an answer, failure's when there is one, and ends the stream.
func (l *Link) reply(s *quic.Stream, failure *wire.Error, ok status, body []byte) {
	if failure != nil {
		ok, body = statusError, wire.Encode(failure)
		if len(body) > errorBytesMax {
			body = wire.Encode(&wire.Error{Code: failure.Code})
		}
	}
	if err := l.writeFrame(s, ok, body); err != nil {
		abort(s, abortGone)
		return
	}
	s.Close()
	s.CancelRead(abortAnswered) // nothing to do when the request was read to its end
}

// writeFrame sends a frame in one Write. The frame's memory is free on return.
func (l *Link) writeFrame(s *quic.Stream, st status, body []byte) error {
	buf := l.buffer()
	defer l.putBuffer(buf)
	*buf = appendFrame(*buf, st, body)
	s.SetWriteDeadline(time.Now().Add(frameWait))
	_, err := s.Write(*buf)
	return err
}
