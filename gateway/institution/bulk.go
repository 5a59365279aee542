package institution

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/staffetta/staffetta/internal/problem"
	"github.com/staffetta/staffetta/wire"
	"golang.org/x/sync/semaphore"
)

const (
	// bulkLinesMax bounds a stream's lines that were read and whose answers were not: what a
	// client that sends and never reads can cost, and what it may send before it has to read.
	bulkLinesMax = 1024
	// bulkBytesMax bounds the content of those of them that the relay has. 1,024 typical messages
	// have a third of it.
	bulkBytesMax = 4 << 20
	// bulkIdle ends a stream on which nothing moves in either direction.
	bulkIdle = 30 * time.Second
	// bulkLinger is how long the client of a stream that we ended is listened to, so that it can
	// read to the end before its connection is closed. It fits into a gateway's drain.
	bulkLinger = 2 * time.Second
	// bulkLingerBytes is how much is heard of it: more than lies in the buffers on the way.
	bulkLingerBytes = 16 << 20
	// bulkRecheck is how long a stream relies on a key that was valid.
	bulkRecheck = time.Second
)

// bulkType is the media type of requests and answers.
const bulkType = "application/x-ndjson"

// stream is one bulk request: the handler's goroutine reads lines and hands them to the relay, a
// second one waits for the verdicts in the lines' order, a third writes answers. Waiting and
// writing are apart so that the writer knows when no further answer is ready, and flushes.
type stream struct {
	// Set at construction.
	api         *API
	call        *call
	http        *http.ResponseController
	key         wire.KeyHash
	bytes       *semaphore.Weighted // of content that the relay has
	taken       chan taken          // read, in their order
	told        chan told           // decided, in their order
	institution wire.InstitutionID  // whose stream this is

	// Owned by read.
	in      *lines
	decoder *decoder
	number  int64
	checked time.Time // when the key was last found valid
	source  error     // the verdict on the client's address

	faulted bool // owned by write; a fault of ours was logged

	moved  atomic.Int64 // when something last moved, in Unix seconds
	broken atomic.Bool  // nothing can be written any more

	mu       sync.Mutex
	draining bool // guarded by mu
}

// taken is a line that was read.
type taken struct {
	number int64
	err    error                        // why it was refused, or
	wait   func() (wire.Outcome, error) // the relay's word on it,
	size   int64                        // its content,
	// and its parts that nothing here can serve.
	unserved string
}

// told is a line's answer.
type told struct {
	number   int64
	err      error
	outcome  wire.Outcome
	unserved string
}

// submitBulk answers a bulk request. Once the answer has begun, errors are answered as lines.
func (c *call) submitBulk() error {
	a := c.api
	if err := c.bulkAllowed(); err != nil {
		return err
	}
	s := &stream{api: a, call: c, http: http.NewResponseController(c.W),
		key: wire.HashKey(c.R.Header.Get(KeyHeader)), institution: c.institution.ID,
		bytes: semaphore.NewWeighted(bulkBytesMax), taken: make(chan taken, bulkLinesMax),
		told: make(chan told, bulkToldMax), checked: time.Now(), source: c.checkSource()}
	if err := a.streams.open(s); err != nil {
		return err
	}
	defer a.streams.close(s)
	s.in = newLines(s)
	s.serve()
	return nil
}

// bulkAllowed makes the checks of a whole request.
func (c *call) bulkAllowed() error {
	if err := c.CheckBody(); err != nil {
		return err
	}
	if len(c.R.Header[idempotencyHeader]) > 0 {
		return invalidIdempotencyKey.With("A bulk request has no key of its own: each line has " +
			"one, in its member idempotency_key.")
	}
	return misplacedKey(c.R)
}

// serve runs the stream to its end. Servers that cannot do what the controller asks for are
// those of tests: the lines are the same, without the bounds on time.
func (s *stream) serve() {
	s.http.EnableFullDuplex()
	s.touch()
	h := s.call.W.Header()
	h.Set("Content-Type", bulkType)
	h.Set("Cache-Control", "no-store")
	s.call.W.WriteHeader(http.StatusOK)
	if s.call.R.Header.Get("Expect") == "" {
		s.http.Flush() // some clients send nothing before they have seen the status
	}
	var answering sync.WaitGroup
	answering.Go(s.await)
	answering.Go(s.write)
	end := endFault // unless read returns
	defer func() {
		close(s.taken)
		answering.Wait()
		if s.broken.Load() {
			end = endBroken
		}
		s.api.bulk.ends.WithLabelValues(string(end)).Inc()
		s.hangUp(end)
	}()
	end = s.read()
}

// read takes lines until the stream ends, and says why it did.
func (s *stream) read() bulkEnd {
	s.decoder = s.api.decoders.Get().(*decoder)
	defer func() { s.decoder.reset(); s.api.decoders.Put(s.decoder) }()
	// What was taken is decided even when the client leaves.
	relayed := context.WithoutCancel(s.call.R.Context())
	for {
		line, err := s.in.next()
		switch {
		case s.isDraining() && err != io.EOF:
			return s.refuse(endDrain, wire.Errorf(wire.NotReady, "the gateway stops"))
		case err == io.EOF:
			return endWhole
		case errors.Is(err, os.ErrDeadlineExceeded):
			return s.refuse(endIdle, bulkTimeout)
		case err != nil && err != errLongLine:
			return endBroken
		}
		if err := s.recheck(); err != nil {
			return s.refuse(endKey, err)
		}
		s.take(relayed, line, err)
	}
}

// take hands a line to the relay, or notes why not. ctx never ends: what the relay has, it decides
// or gives up.
func (s *stream) take(ctx context.Context, line []byte, err error) {
	s.number++
	t := taken{number: s.number, err: longLine}
	if err == nil {
		var rec *wire.Record
		if t.err = s.api.waitCapacity(ctx, s.institution); t.err == nil {
			rec, t.err = s.record(line)
		}
		if t.err == nil {
			t.size, t.unserved = int64(len(rec.Content)), s.call.unserved
			s.bytes.Acquire(ctx, t.size)
			t.wait = s.api.relay.StartBulk(ctx, rec, s.institution)
		}
	}
	s.taken <- t
}

// record makes the record that a line asks for.
func (s *stream) record(line []byte) (*wire.Record, error) {
	d := s.decoder
	d.body, d.line = line, true
	defer func() { d.body, d.line = nil, false }()
	m := &d.message
	if err := d.decodeMessage(m); err != nil {
		return nil, err
	}
	return s.call.record(m, "", m.key, s.source)
}

// refuse makes the next line the stream's last, whatever is in it.
func (s *stream) refuse(end bulkEnd, err error) bulkEnd {
	s.number++
	s.taken <- taken{number: s.number, err: err}
	return end
}

// recheck finds out every bulkRecheck what the key opens now.
func (s *stream) recheck() error {
	if time.Since(s.checked) < bulkRecheck {
		return nil
	}
	ctx, cancel := context.WithTimeout(s.call.R.Context(), wire.OwnerWait)
	defer cancel()
	access, err := s.api.relay.ServiceByKey(ctx, s.key)
	if errors.Is(err, wire.NotFound) {
		return problem.FromWire(wire.Errorf(wire.Unauthenticated, "%s", keyInvalid.Detail))
	}
	if err != nil {
		return relayFault(err)
	}
	c := s.call
	c.service, c.institution = &access.Service, &access.Institution
	s.checked, s.source = time.Now(), c.checkSource()
	return c.checkScopes()
}

// Read is the request's body.
func (s *stream) Read(b []byte) (int, error) {
	n, err := s.call.R.Body.Read(b)
	if n > 0 {
		s.touch()
	}
	return n, err
}

// touch notes that something moved, and lifts the bounds on time accordingly, those that the
// server has for ordinary requests included. What is written at the end has longer, so that a
// client that sends nothing can be told.
func (s *stream) touch() {
	now := time.Now()
	if s.moved.Swap(now.Unix()) == now.Unix() {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.draining {
		s.http.SetReadDeadline(now.Add(bulkIdle))
	}
	s.http.SetWriteDeadline(now.Add(bulkIdle + bulkLinger))
}

// drain ends the stream: at the next line, or soon when there is none.
func (s *stream) drain() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.draining = true
	s.http.SetReadDeadline(time.Now().Add(bulkLinger))
}

func (s *stream) isDraining() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.draining
}

// hangUp ends a connection in whose requests nobody knows where the next one begins. All answers
// were written.
func (s *stream) hangUp(end bulkEnd) {
	if end == endWhole || end == endFault || s.call.R.ProtoMajor > 1 {
		return
	}
	if end != endBroken {
		// The client has been told, and closing now could destroy what it has not read yet.
		s.http.SetReadDeadline(time.Now().Add(bulkLinger))
		if _, err := io.CopyN(io.Discard, s.call.R.Body, bulkLingerBytes); err == io.EOF {
			return
		}
	}
	panic(http.ErrAbortHandler)
}

var longLine = problem.BodyTooLarge.With(fmt.Sprintf("A line may have up to %d bytes.",
	lineBytesMax))
