package operation

import (
	"net/http"
	"slices"

	"github.com/staffetta/staffetta/internal/contract"
)

// By says by what a caller is known.
type By uint8

const (
	Anyone  By = iota // nobody is asked who they are
	Key               // a service's subscription key
	Session           // a citizen's session
)

// Body is what an operation reads. Without a type it reads nothing.
type Body struct {
	Type string // media type
	// Max bounds it, in bytes. 0: a stream, which its handler bounds.
	Max int64
	// Insists is the subject of the refusal of a body that is declared as another type. "": the
	// declaration is not looked at, as in IO's contract.
	Insists string
}

// Operation is what is true of one operation.
type Operation struct {
	// ID is the operationId in the API's document. "": no document has it.
	ID     string
	Method string
	Path   string // whole, as http.ServeMux takes it
	By     By
	// Scopes are those of which the caller needs one. None: no scope is needed.
	Scopes []string
	// Bars is a scope that shuts its holders out, whatever else they have.
	Bars string
	// Metered is true of what counts against the gateway's capacity.
	Metered bool
	Body    Body
	// Reads is true of what changes nothing though it is no GET.
	Reads bool
	// Answers are the only statuses that it has; the first is its success.
	Answers []int
	// Type is the media type of its success. "": JSON.
	Type string
	// Missing and Conflict are the details of 404 and 409 where whoever was asked gave none.
	Missing, Conflict string
}

// Pattern is the operation as http.ServeMux takes it.
func (o *Operation) Pattern() string { return o.Method + " " + o.Path }

// Success is the status of an answer that is no refusal.
func (o *Operation) Success() int { return o.Answers[0] }

// Served reports whether anybody serves the operation.
func (o *Operation) Served() bool { return o.Success() != http.StatusNotImplemented }

// Has reports whether the operation may answer a status.
func (o *Operation) Has(status int) bool { return slices.Contains(o.Answers, status) }

// Row is an operation and what serves it, which is given a C.
type Row[C any] struct {
	Operation
	// Serve answers, or returns the refusal. nil: nobody serves the operation, which is 501.
	Serve func(C) error
}

// Complete returns the rows, and one for each of IO's operations that they lack: it is answered
// that it is not served, to whom By lets in.
func Complete[C any](rows []Row[C], all []contract.Operation, by By) []Row[C] {
	for i := range all {
		o := &all[i]
		if !slices.ContainsFunc(rows, func(r Row[C]) bool { return r.Pattern() == o.Pattern() }) {
			rows = append(rows, Row[C]{Operation: Operation{Method: o.Method, Path: o.Path, By: by,
				Answers: []int{http.StatusNotImplemented}}})
		}
	}
	return rows
}

// Of returns what the rows declare.
func Of[C any](rows []Row[C]) []Operation {
	list := make([]Operation, len(rows))
	for i := range rows {
		list[i] = rows[i].Operation
	}
	return list
}
