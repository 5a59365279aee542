package gateway

import (
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"runtime/debug"
	"strings"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/staffetta/staffetta/internal/problem"
)

// edge is around every request: it gives it an id, the headers that every answer has, a place
// among those worked on, an answer when nothing is served there or the handler fails, and an
// entry in metrics and the debug log.
type edge struct {
	// Set at construction.
	mux         *http.ServeMux
	requestsMax int64
	log         *slog.Logger
	stats       *stats
	codings     codings
	// page answers a browser that a problem would tell nothing, and reports whether it did.
	page func(http.ResponseWriter, *http.Request, problem.Problem) bool

	requests    atomic.Int64
	connections atomic.Int64
}

func newEdge(mux *http.ServeMux, requestsMax int, log *slog.Logger,
	reg prometheus.Registerer) (*edge, error) {
	e := &edge{mux: mux, requestsMax: int64(requestsMax), log: log, codings: newCodings()}
	var err error
	e.stats, err = newStats(reg, e)
	return e, err
}

// ServeHTTP is http.Handler's.
func (e *edge) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	began := time.Now()
	a := &answer{ResponseWriter: w, request: r, id: [1]string{newRequestID()}, codings: e.codings,
		edge: e}
	a.watch(r)
	r = a.request
	a.setHeaders(w.Header())
	defer func() {
		v := recover()
		a.finish(v == nil)
		if v != nil {
			e.failed(a, v)
		}
		e.done(a, time.Since(began))
		a.linger()
	}()
	defer e.requests.Add(-1)
	if e.requests.Add(1) > e.requestsMax {
		e.refuse(a, r, busy(r))
		return
	}
	if crossOrigin(a, r) {
		return
	}
	e.mux.ServeHTTP(a, r)
}

// crossOrigin sets what the contract's institutions API says to browsers, every origin, method
// and header, and answers a preflight request. The citizens' API says nothing.
func crossOrigin(w http.ResponseWriter, r *http.Request) (answered bool) {
	if len(r.Header["Origin"]) == 0 || !strings.HasPrefix(r.URL.Path, "/api/v1/") {
		return false
	}
	h := w.Header()
	h.Set("Access-Control-Allow-Origin", "*")
	if r.Method != http.MethodOptions || r.Header.Get("Access-Control-Request-Method") == "" {
		h.Set("Access-Control-Expose-Headers", "*")
		return false
	}
	h.Set("Access-Control-Allow-Methods", "*")
	h.Set("Access-Control-Allow-Headers", "*")
	h.Set("Access-Control-Max-Age", "300")
	w.WriteHeader(http.StatusNoContent)
	return true
}

// What every answer says of itself: it carries no page and no script, belongs into no frame and
// is nobody else's to read. All answers share these slices, so nobody may change their elements;
// Header.Set and Header.Add put another slice in their place.
var (
	contentPolicy = []string{"default-src 'none'; frame-ancestors 'none'"}
	strictSecure  = []string{"max-age=15552000; includeSubDomains"}
	noSniff       = []string{"nosniff"}
	noFrame       = []string{"DENY"}
	noReferrer    = []string{"no-referrer"}
)

// setHeaders sets what every answer has, under the canonical names that Header.Set would look up.
func (a *answer) setHeaders(h http.Header) {
	h["Content-Security-Policy"] = contentPolicy
	h["Strict-Transport-Security"] = strictSecure
	h["X-Content-Type-Options"] = noSniff
	h["X-Frame-Options"] = noFrame
	h["Referrer-Policy"] = noReferrer
	h["X-Request-Id"] = a.id[:]
}

// newRequestID names a request in our own logs and for the client: 64 random bits, to be unlike
// the others and no secret. A client's own id is not taken over: it may say anything, and would
// end in the logs.
func newRequestID() string {
	const digits = "0123456789abcdef"
	var b [16]byte
	for i, bits := 0, rand.Uint64(); i < len(b); i, bits = i+1, bits>>4 {
		b[i] = digits[bits&15]
	}
	return string(b[:])
}

// busy refuses a request above the bound: with 503, or where the contract of the citizens' API
// knows no 503, with 500.
func busy(r *http.Request) problem.Problem {
	p := problem.FromWire(errBusy)
	for _, prefix := range [...]string{"/api/v1/", "/openapi/"} {
		if strings.HasPrefix(r.URL.Path, prefix) {
			return p
		}
	}
	p.Status = http.StatusInternalServerError
	return p
}

// failed answers a request whose handler panicked, if that is still possible. The panic's value
// may hold parts of the request and is not logged; the stack shows code, not data.
func (e *edge) failed(a *answer, v any) {
	if err, ok := v.(error); ok && errors.Is(err, http.ErrAbortHandler) {
		a.status = statusAborted
		panic(v)
	}
	e.stats.panics.Inc()
	e.log.Error("request failed by panic", "request", a.id[0], "route", routeOf(a.request),
		"type", fmt.Sprintf("%T", v), "stack", string(debug.Stack()))
	if a.status != 0 { // half an answer: the client must not take it for a whole one
		a.status = statusAborted
		panic(http.ErrAbortHandler)
	}
	e.refuse(a, a.request, problem.Unexpected)
}

// refuse answers with a problem: as a page, for a browser.
func (e *edge) refuse(w http.ResponseWriter, r *http.Request, p problem.Problem) {
	if e.page == nil || !e.page(w, r, p) {
		problem.Write(w, p)
	}
}

// statusAborted stands in metrics for an answer that was cut off.
const statusAborted = 499

func (e *edge) done(a *answer, took time.Duration) {
	status := a.status
	if status == 0 {
		status = http.StatusOK
	}
	route := routeOf(a.request)
	e.stats.observe(kind{route, status}, took)
	if e.log.Enabled(a.request.Context(), slog.LevelDebug) {
		e.log.Debug("request", "request", a.id[0], "route", route, "status", status, "took", took)
	}
}

// routeOf names what served a request: its pattern, never its path.
func routeOf(r *http.Request) string {
	if r.Pattern == "" {
		return "none"
	}
	return strings.TrimSuffix(r.Pattern, "/{$}")
}

// answer notes the status, and replaces the mux's own texts by problems. Handlers set
// Request.Pattern first, so an error without a pattern is the mux's.
type answer struct {
	http.ResponseWriter
	request  *http.Request
	edge     *edge
	id       [1]string // the request's; an array, to be the header's value without another slice
	status   int
	replaced bool

	watched http.Request // the request, where its body is watched
	body    incoming     // that one
	lingers bool         // the rest of body is heard behind the answer

	codings    codings // that there are
	coding     *coding // of the body; nil: none
	compressor compressor
}

// WriteHeader is http.ResponseWriter's.
func (a *answer) WriteHeader(status int) {
	if status < 200 { // an interim answer
		a.ResponseWriter.WriteHeader(status)
		return
	}
	if a.status != 0 {
		return
	}
	if a.request.Pattern == "" && !a.replaced && status >= 400 {
		if p, ok := muxProblem(status); ok {
			a.replaced = true
			a.Header().Del("Content-Length")
			a.edge.refuse(replacement{a}, a.request, p)
			return
		}
	}
	a.status = status
	a.leave()
	a.compress()
	a.ResponseWriter.WriteHeader(status)
}

// Write is http.ResponseWriter's.
func (a *answer) Write(b []byte) (int, error) {
	if a.status == 0 {
		a.WriteHeader(http.StatusOK)
	}
	if a.replaced {
		return len(b), nil // the text that was replaced
	}
	if a.compressor != nil {
		return a.compressor.Write(b)
	}
	return a.ResponseWriter.Write(b)
}

// Unwrap gives http.ResponseController the server's own writer.
func (a *answer) Unwrap() http.ResponseWriter { return a.ResponseWriter }

// replacement writes the problem that replaces the mux's text.
type replacement struct{ *answer }

func (r replacement) Write(b []byte) (int, error) {
	if r.compressor != nil {
		return r.compressor.Write(b)
	}
	return r.ResponseWriter.Write(b)
}

func muxProblem(status int) (problem.Problem, bool) {
	switch status {
	case http.StatusNotFound:
		return problem.UnknownPath, true
	case http.StatusMethodNotAllowed:
		return problem.MethodNotAllowed, true
	}
	return problem.Problem{}, false
}
