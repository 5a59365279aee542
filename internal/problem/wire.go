package problem

import (
	"context"
	"errors"
	"net/http"
	"time"

	"github.com/staffetta/staffetta/wire"
)

// How long a client should wait before it tries again. A region without a leader elects one
// within this time; a full queue drains faster.
const (
	retryUnavailable = 5 * time.Second
	retryOverloaded  = time.Second
)

// From is the problem that err already is, or else FromWire.
func From(err error) Problem {
	var p Problem
	if errors.As(err, &p) {
		return p
	}
	return FromWire(err)
}

// FromWire is the problem that tells err, by the one table of the wire: its code gives status,
// title and type. A detail is passed on only where the fault is the client's; of our own faults
// the client learns no more than whether to try again.
func FromWire(err error) Problem {
	e := wire.AsError(err)
	switch {
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, context.Canceled):
		e = &wire.Error{Code: wire.Unavailable}
	case e.Code.HTTPStatus() == http.StatusInternalServerError:
		return Unexpected
	}
	p := Problem{Type: Type(e.Code.String()), Title: e.Code.Title(),
		Status: e.Code.HTTPStatus(), Detail: e.Detail}
	if p.Status != http.StatusServiceUnavailable {
		return p
	}
	p.RetryAfter = retryUnavailable
	switch e.Code {
	case wire.OutcomeUnknown:
		p.Detail = "It is not known whether the request took effect. " +
			"If it had an idempotency key, repeat it under the same one; without one, a repeat may " +
			"make it twice."
	case wire.Overloaded:
		p.RetryAfter = retryOverloaded
		p.Detail = "Too much work is queued. Nothing was recorded; try again."
	default:
		p.Detail = "The request cannot be decided now. Nothing was recorded; try again."
	}
	return p
}

// Common lists the problems that every API can answer; docs/problems.md documents them under
// its heading "Every API".
func Common() []Problem {
	list := []Problem{BodyTooLarge, BodyUnreadable, UnsupportedMediaType, UnknownPath,
		MethodNotAllowed, NotServed}
	for code := wire.Internal; code <= wire.AwaitsApproval; code++ {
		list = append(list, FromWire(code))
	}
	return list
}
