package sender

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"mime"
	"net/http"
	"sync/atomic"
	"time"
)

const (
	// streams is how many bulk requests are under way at a time: while the last lines of one are
	// decided, another one keeps the gateway busy.
	streams = 2
	// bulkLines bounds a request's lines. Each request is a chance for a load balancer to choose
	// another gateway, and a proxy that passes on whole requests only is still of use.
	bulkLines = 2048
	// laterTogether is the grid of the times at which lines are sent again, so that they go
	// together.
	laterTogether = 250 * time.Millisecond
	// bulkType is the media type of requests and answers.
	bulkType = "application/x-ndjson"
)

// errNoBulk says that the gateway does not take bulk requests.
var errNoBulk = errors.New("no bulk requests")

// keyMember has a line's key. Lines with one of their own are not sent: which of the two should
// name the message?
const keyMember = "idempotency_key"

// bulkAnswer is a line of an answer: a verdict or a problem.
type bulkAnswer struct {
	answer
	Line       int `json:"line"`
	StatusCode int `json:"status_code"`
	RetryAfter int `json:"retry_after"`
}

// lost says why lines of a request have no answer of their own.
type lost struct {
	result Result
	after  time.Duration // how long the gateway asks to wait
}

// sendBulk sends lines in one request. Lines that are answered are settled, or back in the queue
// with a time of their own; the others are returned, with why. The error is ErrKeyRefused or
// errNoBulk.
func (s *Sender) sendBulk(ctx context.Context, batch []*task) (rest []*task, why lost, err error) {
	ctx, cancel := detached(ctx)
	defer cancel()
	// Answers may take as long as they like, as long as there are some.
	var silent atomic.Bool
	silence := time.AfterFunc(attemptTimeout, func() { silent.Store(true); cancel() })
	defer silence.Stop()
	noAnswer := func(err error) lost {
		text := reason(err)
		if silent.Load() {
			text = "timeout"
		}
		return lost{result: Result{Error: "no answer: " + text, Retriable: true}}
	}
	body := newBatch(batch)
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, s.endpoint+"/bulk", body)
	if err != nil {
		return nil, lost{}, err
	}
	req.ContentLength = body.size
	req.Header.Set("Content-Type", bulkType)
	req.Header.Set("Ocp-Apim-Subscription-Key", s.config.Key)
	resp, err := s.config.Transport.RoundTrip(req)
	if err != nil {
		return batch, noAnswer(err), nil
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		why, err = refused(resp)
		return batch, why, err
	}
	if kind, _, _ := mime.ParseMediaType(resp.Header.Get("Content-Type")); kind != bulkType {
		return batch, lost{}, errNoBulk
	}
	in := bufio.NewReaderSize(resp.Body, answerBytesMax)
	for n, t := range batch {
		line, err := in.ReadSlice('\n')
		if err != nil {
			return batch[n:], noAnswer(err), nil
		}
		silence.Reset(attemptTimeout)
		var a bulkAnswer
		if err := json.Unmarshal(line, &a); err != nil || a.Line != n+1 {
			return batch[n:], lost{result: Result{Retriable: true,
				Error: "an answer that is not a gateway's"}}, nil
		}
		if a.StatusCode == http.StatusUnauthorized {
			return batch[n:], lost{}, ErrKeyRefused
		}
		s.answered(t, &a)
	}
	io.Copy(io.Discard, io.LimitReader(in, answerBytesMax)) // the end, for the next request's sake
	return nil, lost{}, nil
}

// refused is the meaning of an answer to a whole request.
func refused(resp *http.Response) (lost, error) {
	switch {
	case resp.StatusCode == http.StatusUnauthorized:
		return lost{}, ErrKeyRefused
	case !retriable(resp.StatusCode):
		return lost{}, errNoBulk
	}
	// Whatever can be read of it, the status is what counts.
	body, _ := io.ReadAll(io.LimitReader(resp.Body, answerBytesMax))
	why := lost{result: Result{HTTPStatus: resp.StatusCode},
		after: retryAfter(resp.Header, time.Now())}
	why.result.read(body)
	return why, nil
}

// answered takes the answer of a line.
func (s *Sender) answered(t *task, a *bulkAnswer) {
	r := Result{HTTPStatus: a.StatusCode}
	r.take(&a.answer)
	if !r.Retriable {
		s.settle(t, r)
		return
	}
	after := min(time.Duration(min(max(a.RetryAfter, 0), 1<<20))*time.Second, retryAfterMax)
	if a.StatusCode == http.StatusTooManyRequests {
		s.gate.close(max(after, backoffFirst))
	}
	s.later(t, r, after+backoff(t.attempts))
	t.attempts++
}

// later puts a line back for a time soon after wait; when that is beyond GiveUp, r is its result.
func (s *Sender) later(t *task, r Result, wait time.Duration) {
	now := time.Now()
	if now.Add(wait).Sub(t.began) > s.config.GiveUp {
		s.settle(t, r)
		return
	}
	t.notBefore = now.Add(wait).Truncate(laterTogether).Add(laterTogether)
	s.queue.put(t)
}

// batch is the body of a bulk request. The transport may read it after its answers have come, so
// it shares no field with the tasks.
type batch struct {
	size  int64
	lines []batchLine
	rest  []byte // of the line that is being read
	text  bytes.Buffer
}

// batchLine is a line, whose key becomes its first member.
type batchLine struct {
	begin string // up to the text's own members
	text  []byte // from there on
}

func newBatch(tasks []*task) *batch {
	b := &batch{lines: make([]batchLine, len(tasks))}
	for i, t := range tasks {
		l := batchLine{`{"` + keyMember + `":"` + t.key + `",`, t.text[1:]}
		if bytes.TrimLeft(l.text, " \t\r")[0] == '}' { // no other member
			l.begin = l.begin[:len(l.begin)-1]
		}
		b.lines[i] = l
		b.size += int64(len(l.begin) + len(l.text) + 1)
	}
	return b
}

// Read is io.Reader's.
func (b *batch) Read(p []byte) (n int, err error) {
	for n < len(p) {
		if len(b.rest) == 0 {
			if len(b.lines) == 0 {
				break
			}
			l := b.lines[0]
			b.lines = b.lines[1:]
			b.text.Reset()
			b.text.WriteString(l.begin)
			b.text.Write(l.text)
			b.text.WriteByte('\n')
			b.rest = b.text.Bytes()
		}
		m := copy(p[n:], b.rest)
		n, b.rest = n+m, b.rest[m:]
	}
	if n == 0 && len(p) > 0 {
		return 0, io.EOF
	}
	return n, nil
}
