package remote

import (
	"context"
	"errors"
	"net"
	"net/http"
	"strconv"
	"time"
)

// Kind says why there is no content.
type Kind uint8

// The kinds.
const (
	// Failed: the server was not reached, or answered what nobody can read.
	Failed Kind = iota
	// Late: it took longer than it may.
	Late
	// Forbidden, Missing, Busy: the server's own word for this citizen.
	Forbidden
	Missing
	Busy
	// NotReady: it is being made; see Fault.RetryAfter.
	NotReady
	// NoPDF: an attachment is none.
	NoPDF
	// NoAttachments, NoContent, BadMarkdown, BadSubject: the answer is not what the message promised.
	NoAttachments
	NoContent
	BadMarkdown
	BadSubject
)

// Fault says what became of a call.
type Fault struct {
	Kind Kind
	// RetryAfter is when the server wants to be asked again; 0: it does not say.
	RetryAfter time.Duration
	// Cause names neither citizen, content nor key.
	Cause string
}

// Error is error's.
func (f *Fault) Error() string { return "remote content: " + f.Cause }

func faultf(kind Kind, cause string) *Fault { return &Fault{Kind: kind, Cause: cause} }

// retryMax bounds how long a server may send a citizen away.
const retryMax = time.Hour

// refusal is what an answer that is no content means; nil for a success.
func refusal(resp *http.Response) *Fault {
	cause := "the server answered " + strconv.Itoa(resp.StatusCode)
	f := &Fault{Cause: cause}
	if seconds, err := strconv.Atoi(resp.Header.Get("Retry-After")); err == nil && seconds > 0 {
		f.RetryAfter = min(time.Duration(seconds)*time.Second, retryMax)
	}
	switch resp.StatusCode {
	case http.StatusOK:
		return nil
	case http.StatusForbidden:
		f.Kind = Forbidden
	case http.StatusNotFound:
		f.Kind = Missing
	case http.StatusTooManyRequests:
		f.Kind = Busy
	case http.StatusServiceUnavailable:
		f.Kind = NotReady
	}
	return f
}

// broken is what a call that has no answer means. The error itself may hold an address, or the
// message's own id there, and goes nowhere.
func broken(ctx context.Context, err error) *Fault {
	var timeout net.Error
	var where *refused
	switch {
	case errors.As(err, &where):
		return faultf(Failed, where.Error())
	case ctx.Err() != nil, errors.As(err, &timeout) && timeout.Timeout():
		return faultf(Late, "the server took too long")
	}
	return faultf(Failed, "the server cannot be reached")
}
