package problem

import (
	"net/http"
	"strconv"
	"time"

	"github.com/go-json-experiment/json"
)

// MediaType is that of problem details.
const MediaType = "application/problem+json"

// TypePrefix begins every problem's type.
const TypePrefix = "urn:staffetta:problem:"

// Type is what a problem is, for ever: the last part of its URN, of [a-z0-9-].
type Type string

// URN is the type as it is answered.
func (t Type) URN() string { return TypePrefix + string(t) }

// Problem is a refusal or failure as its HTTP client sees it. It is an error, so that what reads
// a request can return it through ordinary code.
type Problem struct {
	Type   Type
	Title  string
	Status int
	Detail string
	// RetryAfter is sent as a header, in whole seconds, rounded up; zero: none.
	RetryAfter time.Duration
}

// Error shows title and detail.
func (p Problem) Error() string {
	if p.Detail == "" {
		return p.Title
	}
	return p.Title + ": " + p.Detail
}

// With returns the problem with another detail.
func (p Problem) With(detail string) Problem {
	p.Detail = detail
	return p
}

// The problems that every API can answer, besides those of the wire's codes.
var (
	// BodyTooLarge is answered before the body is read where its length was announced.
	BodyTooLarge = Problem{Type: "body-too-large", Status: http.StatusRequestEntityTooLarge,
		Title: "Payload too large"}
	// BodyUnreadable: the connection ended or slept within the body.
	BodyUnreadable = Problem{Type: "body-unreadable", Status: http.StatusBadRequest,
		Title: "Bad request", Detail: "The request body could not be read to its end."}
	// UnsupportedMediaType: a body of another type, or in an encoding.
	UnsupportedMediaType = Problem{Type: "unsupported-media-type",
		Status: http.StatusUnsupportedMediaType, Title: "Unsupported media type"}
	// UnknownPath: nothing is served there.
	UnknownPath = Problem{Type: "unknown-path", Status: http.StatusNotFound,
		Title: "Not Found", Detail: "Nothing is served at this path."}
	// MethodNotAllowed: something is served there, under another method.
	MethodNotAllowed = Problem{Type: "method-not-allowed",
		Status: http.StatusMethodNotAllowed, Title: "Method Not Allowed",
		Detail: "The path does not answer to this method."}
	// NotServed: IO's contract has the operation and this federation does not. A status that the
	// contract gives a meaning, 404 above all, would be taken for that meaning.
	NotServed = Problem{Type: "not-served", Status: http.StatusNotImplemented,
		Title: "Not Implemented", Detail: "The contract has this operation; it is not served here."}
	// Unexpected: a fault of ours, without a word about its cause.
	Unexpected = Problem{Type: "internal", Status: http.StatusInternalServerError,
		Title: "Internal server error", Detail: "The request could not be served."}
)

// body is the contract's order of members.
type body struct {
	Detail string `json:"detail"`
	Status int    `json:"status"`
	Title  string `json:"title"`
	Type   string `json:"type"`
}

// Header values that answers share; nobody may change their elements. Names are canonical, as
// Header.Set would make them.
var (
	typeProblem = []string{MediaType}
	typeJSON    = []string{"application/json"}
	noStore     = []string{"no-store"}
)

// Write answers with p. Headers that the caller has set stay.
func Write(w http.ResponseWriter, p Problem) {
	h := w.Header()
	h["Content-Type"] = typeProblem
	h["Cache-Control"] = noStore
	if p.RetryAfter > 0 {
		seconds := (p.RetryAfter + time.Second - 1) / time.Second
		h.Set("Retry-After", strconv.Itoa(int(seconds)))
	}
	b, err := json.Marshal(body{Detail: p.Detail, Status: p.Status, Title: p.Title,
		Type: p.Type.URN()})
	if err != nil { // a detail that is not UTF-8
		b = []byte(`{"detail":"","status":500,"title":"Internal server error",` +
			`"type":"` + Unexpected.Type.URN() + `"}`)
		p.Status = http.StatusInternalServerError
	}
	send(w, p.Status, b)
}

// shortBytes is what the server holds back until the handler has returned, and then announces
// the length of by itself, without a header of ours.
const shortBytes = 2 << 10

func send(w http.ResponseWriter, status int, b []byte) {
	if len(b) > shortBytes {
		w.Header()["Content-Length"] = []string{strconv.Itoa(len(b))}
	}
	w.WriteHeader(status)
	w.Write(b) // a client that left is nobody to tell
}
