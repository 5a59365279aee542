package web

import (
	"context"
	"errors"
	"net/http"
	"strconv"

	"github.com/staffetta/staffetta/internal/problem"
	"github.com/staffetta/staffetta/wire"
)

// redirect is the end of a request that goes on at a page of ours. It is an error so that a handler
// can return it, and it is never built of what a client sent, but for values that were checked.
type redirect string

// Error says where the request goes on.
func (r redirect) Error() string { return "see " + string(r) }

var (
	errSignedOut = errors.New("no session")
	errOrigin    = errors.New("a form of another origin")
	errForm      = errors.New("not a form")
	errAbsent    = errors.New("nothing is here")
	// errAhead is of a request that only looks ahead at what is not asked for before it is opened; a
	// browser keeps nothing of an answer that is no success.
	errAhead = errors.New("nobody opened this")
)

// retrySeconds is when a region may answer again: it elects a leader within seconds.
const retrySeconds = 3

// failure is what a page says of a request that failed.
type failure struct {
	*page
	Status int
	// What and Do are texts: what happened, and what to do.
	What, Do string
	// Retry is where to try again; "": nowhere.
	Retry string
}

// refuse answers an error.
func (c *call) refuse(err error) {
	var to redirect
	switch {
	case errors.As(err, &to):
		c.W.Header().Set("Location", string(to))
		c.W.WriteHeader(http.StatusSeeOther)
		return
	case errors.Is(err, errSignedOut), errors.Is(err, wire.Unauthenticated):
		had := len(c.R.CookiesNamed(cookieName)) > 0
		clearCookie(c.W)
		if had {
			c.refuse(redirect(pathWelcome + "?ended=1"))
		} else {
			c.refuse(redirect(pathWelcome))
		}
		return
	}
	retry := ""
	if c.R.Method == http.MethodGet {
		retry = c.R.URL.RequestURI()
	}
	if trouble, wait, ok := troubleOf(err); ok {
		c.failRemote(trouble, wait, retry)
		return
	}
	status := statusOf(err)
	if status >= 500 && c.R.Context().Err() == nil {
		c.web.cfg.Logger.Warn("page failed", "page", c.Op.Pattern(), "status", status,
			"error", wire.AsError(err).Code.String())
	}
	c.fail(status, retry)
}

// statusOf is the table from what went wrong to a page's status. The contract is not heard here:
// what is away is 503.
func statusOf(err error) int {
	var p problem.Problem
	switch {
	case errors.Is(err, errOrigin):
		return http.StatusForbidden
	case errors.Is(err, errForm):
		return http.StatusBadRequest
	case errors.Is(err, errAbsent):
		return http.StatusNotFound
	case errors.As(err, &p):
		return p.Status
	case errors.Is(err, errAhead):
		return http.StatusServiceUnavailable
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, context.Canceled):
		return http.StatusServiceUnavailable
	}
	switch wire.AsError(err).Code {
	case wire.NotFound:
		return http.StatusNotFound
	case wire.Conflict:
		return http.StatusConflict
	case wire.Malformed, wire.TooLarge:
		return http.StatusBadRequest
	case wire.Overloaded, wire.NotLeader, wire.Unavailable, wire.NotReady, wire.OutcomeUnknown,
		wire.UnknownKind, wire.Moved:
		return http.StatusServiceUnavailable
	}
	return http.StatusInternalServerError
}

// fail writes a page for a status of an error.
func (c *call) fail(status int, retry string) {
	f := failure{page: c.page("error.title"), Status: status, Retry: retry}
	f.Index = false
	switch status {
	case http.StatusNotFound, http.StatusMethodNotAllowed:
		f.What, f.Do, f.Retry = "error.absent", "error.absent.do", ""
	case http.StatusForbidden:
		f.What, f.Do, f.Retry = "error.origin", "error.origin.do", ""
	case http.StatusConflict:
		f.What, f.Do = "error.changed", "error.changed.do"
	case http.StatusServiceUnavailable:
		f.What, f.Do = "error.away", "error.away.do"
		c.W.Header().Set("Retry-After", strconv.Itoa(retrySeconds))
	default:
		f.What, f.Do = "error.failed", "error.failed.do"
		if status < 500 {
			f.What, f.Do, f.Retry = "error.request", "error.request.do", ""
		}
	}
	f.Title = c.lang.text(f.What)
	c.write(status, "error", f)
}

// Failed answers a request for a page that no handler answered: nothing is served there, or the
// gateway is busy or failed. It answers only browsers, who ask for HTML by its name, and reports
// whether it did.
func (w *Web) Failed(rw http.ResponseWriter, r *http.Request, p problem.Problem) bool {
	if r.Method != http.MethodGet || problem.Quality(r.Header["Accept"], "text/html") == 0 {
		return false
	}
	setHeaders(rw.Header())
	c := &call{web: w, lang: langOf(r, nil)}
	c.W, c.R = rw, r
	c.fail(p.Status, "")
	return true
}
