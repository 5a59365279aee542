package load

import (
	"bufio"
	"bytes"
	"cmp"
	"context"
	"errors"
	"io"
	"net"
	"net/http/httputil"
	"strconv"
	"sync"
	"sync/atomic"
	"time"
)

const (
	// chunkBytes is when lines are sent on though there are more to come.
	chunkBytes = 64 << 10
	// lineBytesMax bounds a verdict's line; a gateway's are below 2 KiB.
	lineBytesMax = 16 << 10
	// deadlineEvery is how often a stream that goes on is given more time.
	deadlineEvery = time.Second
)

var (
	// errVerdict: a stream's answer has a line that is no verdict, or not the next one.
	errVerdict = errors.New("a line that is not the next verdict")
	// errRefused: the stream was refused as a whole.
	errRefused = errors.New("the stream is refused")
)

// stream is one bulk request: lines go out while their verdicts come in, in order.
type stream struct {
	*phase
	conn *conn
	net  net.Conn // conn's, for both directions
	t    *tally

	stop  func()        // ends write
	lines chan lineSent // without a verdict; closed behind write
	free  atomic.Int64  // lines that may be sent again
	woken chan struct{} // free has grown

	// Owned by write.
	chunk  []byte
	credit int64
	failed error // of the connection, once and for all

	// Owned by read.
	in       *bufio.Reader // lines of the body
	done     int64         // verdicts since free was raised
	extended time.Time     // when the deadline was set
}

// lineSent is a line on its way.
type lineSent struct {
	moment
	size int
}

// stream sends bulk requests over one connection until the phase ends; more than one only when
// one breaks.
func (p *phase) stream(c *conn) {
	for p.ctx.Err() == nil && (p.count == 0 || p.claimed.Load() < p.count) {
		if err := c.dial(p.ctx, p.outer); err != nil {
			if p.ctx.Err() == nil {
				p.tallies[0].failed(reason(err))
			}
		} else if err := p.streamOnce(c); err == nil {
			return
		}
		sleepUntil(p.ctx, time.Now().Add(redialWait))
	}
}

// streamOnce makes one request of all messages to come. A nil error says that it came to its end.
func (p *phase) streamOnce(c *conn) (err error) {
	broken, stop := context.WithCancel(p.ctx)
	defer stop()
	s := &stream{phase: p, conn: c, net: c.net, t: p.tallies[0], credit: int64(p.config.Window),
		lines: make(chan lineSent, p.config.Window), woken: make(chan struct{}, 1), stop: stop}
	defer c.close()
	var reading sync.WaitGroup
	reading.Go(func() { err = s.read() })
	failed := s.write(broken)
	close(s.lines)
	reading.Wait() // an answer may say why no more could be written
	return cmp.Or(err, failed)
}

// write sends lines as the window, the rate and the phase allow, and then the request's end.
func (s *stream) write(broken context.Context) error {
	s.chunk = s.conn.appendStart(s.chunk, "POST", "/api/v1/messages/bulk")
	s.chunk = append(s.chunk, "Ocp-Apim-Subscription-Key: "+s.config.Key+
		"\r\nContent-Type: application/x-ndjson\r\nTransfer-Encoding: chunked\r\n\r\n"...)
	if err := s.send(s.chunk); err != nil {
		return err
	}
	s.chunk = s.chunk[:0]
	for s.acquire(broken) {
		due, ok := s.claim()
		if !ok {
			break
		}
		if time.Until(due) > 0 && (s.flush() != nil || !sleepUntil(broken, due)) {
			break
		}
		begun := time.Now()
		if due.IsZero() {
			due = begun
		}
		var size int
		s.chunk, size = s.corpus.line(s.chunk)
		s.begun.Add(1)
		s.credit--
		s.lines <- lineSent{moment{due, begun}, size} // never waits: there was credit
		if len(s.chunk) >= chunkBytes && s.flush() != nil {
			break
		}
	}
	if err := s.flush(); err != nil {
		return err
	}
	return s.send([]byte("0\r\n\r\n"))
}

// acquire waits, with nothing held back, until a line may be sent.
func (s *stream) acquire(broken context.Context) bool {
	for s.credit == 0 && broken.Err() == nil {
		if s.credit = s.free.Swap(0); s.credit > 0 {
			break
		}
		if s.flush() != nil {
			return false
		}
		select {
		case <-s.woken:
		case <-broken.Done():
			return false
		}
	}
	return broken.Err() == nil
}

// flush sends the lines at hand as one chunk.
func (s *stream) flush() error {
	if len(s.chunk) == 0 || s.failed != nil {
		return s.failed
	}
	size := strconv.AppendInt(nil, int64(len(s.chunk)), 16)
	s.chunk = append(s.chunk, "\r\n"...)
	s.failed = s.send(append(size, "\r\n"...), s.chunk)
	s.chunk = s.chunk[:0]
	return s.failed
}

func (s *stream) send(parts ...[]byte) error {
	if s.outer.Err() == nil {
		s.net.SetWriteDeadline(time.Now().Add(answerTimeout))
	}
	buffers := net.Buffers(parts)
	_, err := buffers.WriteTo(s.net)
	return err
}

// read counts verdicts until the answer ends. The error is why it ended too early.
func (s *stream) read() error {
	var next int64 // the line's number
	for l := range s.lines {
		if s.in == nil {
			if refusal, err := s.begin(); err != nil {
				return s.giveUp(l, refusal, err)
			}
		}
		line, err := s.line()
		a, number, ok := parseVerdict(line)
		if err == nil && (!ok || next == 0 && number > 1 || next > 0 && number != next) {
			err = errVerdict // which line this is the answer to, nobody knows
		}
		if err != nil {
			return s.giveUp(l, answer{}, err)
		}
		next = number + 1
		s.t.answered(a, l.moment, l.size)
		if s.done++; s.in.Buffered() == 0 || s.done > int64(s.config.Window)/2 {
			s.release()
		}
	}
	if s.in == nil {
		return nil
	}
	if _, err := s.line(); !errors.Is(err, io.EOF) {
		s.t.failed("answer without an end") // and yet all of its messages have verdicts
	}
	return nil
}

// begin reads the answer's head. A refusal of the whole stream comes with an error.
func (s *stream) begin() (refusal answer, err error) {
	s.extend()
	h, err := s.conn.readHead()
	switch {
	case err != nil:
		return refusal, err
	case h.status != 200:
		return answer{status: h.status, retryAfter: h.retryAfter}, errRefused
	case !h.chunked:
		return refusal, errAnswer
	}
	s.in = bufio.NewReaderSize(httputil.NewChunkedReader(s.conn.in), lineBytesMax)
	return refusal, nil
}

// giveUp ends the stream at line l. This and all that were sent after it have no verdict: when
// the stream was refused, none was taken, and else nobody knows.
func (s *stream) giveUp(l lineSent, refusal answer, err error) error {
	s.stop()
	s.net.Close() // write may stand at a full socket
	for ok := true; ok; l, ok = <-s.lines {
		if refusal.status != 0 {
			s.t.answered(refusal, l.moment, l.size)
		} else {
			s.t.lost(reason(err))
		}
	}
	return err
}

// line reads one line of the answer, valid until the next.
func (s *stream) line() ([]byte, error) {
	if s.in.Buffered() == 0 || time.Since(s.extended) > deadlineEvery {
		s.extend()
	}
	line, err := s.in.ReadSlice('\n')
	if errors.Is(err, bufio.ErrBufferFull) {
		err = errVerdict
	}
	return line, err
}

// extend gives the next verdict its time, unless an interruption has set the last deadline.
func (s *stream) extend() {
	s.extended = time.Now()
	if s.outer.Err() == nil {
		s.net.SetReadDeadline(s.extended.Add(answerTimeout))
	}
}

// release lets as many lines be sent as have their verdicts; several at a time, so that they
// travel together.
func (s *stream) release() {
	s.free.Add(s.done)
	s.done = 0
	select {
	case s.woken <- struct{}{}:
	default:
	}
}

var lineMember, statusMember = []byte(`"line":`), []byte(`"status_code":`)

// parseVerdict reads a line of the answer as far as it is counted.
func parseVerdict(line []byte) (a answer, number int64, ok bool) {
	number, ok = integerAfter(line, lineMember)
	status, found := integerAfter(line, statusMember)
	return answer{status: int(status), body: line,
		retryAfter: bytes.Contains(line, []byte(`"retry_after"`))}, number, ok && found
}

// integerAfter is the integer of up to 15 digits behind name.
func integerAfter(b, name []byte) (n int64, ok bool) {
	at := bytes.Index(b, name)
	if at < 0 {
		return 0, false
	}
	for _, c := range b[at+len(name):] {
		switch {
		case c == ' ' && !ok:
			continue
		case c < '0' || c > '9' || n >= 1e14:
			return n, ok
		}
		n, ok = 10*n+int64(c-'0'), true
	}
	return n, ok
}
