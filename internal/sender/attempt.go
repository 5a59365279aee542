package sender

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"syscall"
	"time"
)

// errorBytesMax bounds the error text of a result line.
const errorBytesMax = 500

// ErrKeyRefused says that the gateway does not know the key. It ends the run, since every other
// line would end the same way; no result is written for the line that met it.
var ErrKeyRefused = errors.New("the gateway refuses the key (401)")

// answer is what a gateway answers; of the two forms that errors have, and of a verdict, each
// has some of the fields.
type answer struct {
	ID              string `json:"id"`
	Status          any    `json:"status"` // a verdict's word, or a problem's number
	RejectionReason string `json:"rejection_reason"`
	Title           string `json:"title"`
	Detail          string `json:"detail"`
	Message         string `json:"message"`
}

// deliver sends one message until its outcome is known. ctx stops the retries, not the attempt
// that is under way. The error is ctx's, or ErrKeyRefused: then there is no result.
func (s *Sender) deliver(ctx context.Context, t *task) (Result, error) {
	start := time.Now()
	for attempt := 0; ; attempt++ {
		if err := s.gate.wait(ctx); err != nil {
			return Result{}, err
		}
		r, after, err := s.attempt(ctx, t)
		if err != nil {
			return Result{}, err
		}
		if !r.Retriable {
			return r, nil
		}
		if r.HTTPStatus == http.StatusTooManyRequests {
			s.gate.close(max(after, backoffFirst))
		}
		wait := after + backoff(attempt)
		if err := ctx.Err(); err != nil {
			return Result{}, err
		}
		if time.Since(start)+wait > s.config.GiveUp {
			return r, nil
		}
		if err := pause(ctx, wait); err != nil {
			return Result{}, err
		}
	}
}

// attempt sends the message once. after is how long the answer asks to wait.
func (s *Sender) attempt(ctx context.Context, t *task) (r Result, after time.Duration, err error) {
	ctx, end := detached(ctx)
	defer end()
	ctx, cancel := context.WithTimeout(ctx, attemptTimeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, s.endpoint, bytes.NewReader(t.text))
	if err != nil {
		return r, 0, err
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Ocp-Apim-Subscription-Key", s.config.Key)
	req.Header.Set("Idempotency-Key", t.key)
	req.Header.Set("Prefer", "return=representation") // the verdict, which the contract lacks
	resp, err := s.config.Transport.RoundTrip(req)
	if err != nil {
		r.Error, r.Retriable = "no answer: "+reason(err), true
		return r, 0, nil
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, answerBytesMax))
	if err != nil {
		r.Error, r.Retriable = "no answer: "+reason(err), true
		return r, 0, nil
	}
	r.HTTPStatus = resp.StatusCode
	if resp.StatusCode == http.StatusUnauthorized {
		return r, 0, ErrKeyRefused
	}
	r.read(body)
	return r, retryAfter(resp.Header, time.Now()), nil
}

// read takes the answer's meaning into r.
func (r *Result) read(body []byte) {
	var a answer
	if json.Unmarshal(body, &a) != nil && r.HTTPStatus == http.StatusCreated {
		a = answer{}
	}
	r.take(&a)
}

// take takes an answer's meaning into r, which has its status.
func (r *Result) take(a *answer) {
	if r.HTTPStatus == http.StatusCreated {
		status, _ := a.Status.(string)
		if a.ID == "" {
			// Accepted, but by whom? The same key gets the same answer again, whole this time.
			r.Error, r.Retriable = "an answer that is not a gateway's", true
			return
		}
		r.ID, r.Status, r.RejectionReason = a.ID, status, a.RejectionReason
		if r.Status == "" {
			r.Status = "ACCEPTED" // a gateway that speaks the contract and nothing more
		}
		return
	}
	r.Retriable = retriable(r.HTTPStatus)
	switch {
	case a.Title != "" && a.Detail != "":
		r.Error = a.Title + ": " + a.Detail
	case a.Title != "":
		r.Error = a.Title
	case a.Message != "":
		r.Error = a.Message
	default:
		r.Error = fmt.Sprintf("%d %s", r.HTTPStatus, http.StatusText(r.HTTPStatus))
	}
	if len(r.Error) > errorBytesMax {
		r.Error = strings.ToValidUTF8(r.Error[:errorBytesMax], "") + "…"
	}
}

// detached is a context for one attempt: it outlives ctx by drainTimeout.
func detached(ctx context.Context) (context.Context, context.CancelFunc) {
	out, cancel := context.WithCancel(context.WithoutCancel(ctx))
	stop := context.AfterFunc(ctx, func() {
		timer := time.AfterFunc(drainTimeout, cancel)
		context.AfterFunc(out, func() { timer.Stop() })
	})
	return out, func() { stop(); cancel() }
}

// reason says why there was no answer, without addresses or anything else that varies: equal
// causes have equal texts, so that a summary can count them.
func reason(err error) string {
	var timeout net.Error
	var lookup *net.DNSError
	switch {
	case errors.Is(err, syscall.ECONNREFUSED):
		return "connection refused"
	case errors.Is(err, syscall.ECONNRESET), errors.Is(err, syscall.EPIPE),
		errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return "connection broken"
	case errors.Is(err, context.Canceled):
		return "interrupted"
	case errors.As(err, &lookup):
		return "host not found"
	case errors.As(err, &timeout) && timeout.Timeout():
		return "timeout"
	}
	return err.Error()
}
