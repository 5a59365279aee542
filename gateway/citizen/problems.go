package citizen

import (
	"context"
	"errors"
	"fmt"

	"github.com/staffetta/staffetta/gateway/operation"
	"github.com/staffetta/staffetta/internal/problem"
	"github.com/staffetta/staffetta/wire"
)

// The problems of this API, documented in docs/problems.md.
var (
	problemBody      = problem.Problem{Type: "citizen-body", Status: 400, Title: "Bad request"}
	problemParameter = problem.Problem{Type: "citizen-parameter", Status: 400,
		Title: "Bad request"}
	problemSignature = problem.Problem{Type: "citizen-signature", Status: 400,
		Title: "Bad request"}
	problemRegion = problem.Problem{Type: "citizen-region-unknown", Status: 400,
		Title: "Bad request"}
	problemSession     = problem.Problem{Type: "citizen-session", Status: 401, Title: "Unauthorized"}
	problemCredentials = problem.Problem{Type: "citizen-credentials", Status: 401,
		Title: "Unauthorized"}
	problemLocked = problem.Problem{Type: "citizen-locked", Status: 403,
		Title: "Access is locked"}
	problemMissing = problem.Problem{Type: "citizen-not-found", Status: 404,
		Title: "Not found"}
	problemConflict = problem.Problem{Type: "citizen-conflict", Status: 409,
		Title: "Conflict"}
	problemOtherRegion = problem.Problem{Type: "citizen-other-region", Status: 409,
		Title: "Conflict"}
	problemBusy = problem.Problem{Type: "citizen-busy", Status: 429,
		Title: "Too many requests", RetryAfter: retryAfter}
	problemUnavailable = problem.Problem{Type: "citizen-unavailable", Status: 500,
		Title: "Internal server error", RetryAfter: retryAfter}
	problemRemoteGone = problem.Problem{Type: "remote-gone", Status: 410, Title: "Gone",
		Detail: "The institution no longer gives the content of this message."}
	problemRemoteFailed = problem.Problem{Type: "remote-failed", Status: 500,
		Title: "Internal server error"}
	problemRemoteLate = problem.Problem{Type: "remote-late", Status: 504,
		Title: "Gateway timeout"}
	problemRemoteForbidden = problem.Problem{Type: "remote-forbidden", Status: 403,
		Title: "Forbidden"}
	problemRemoteMissing = problem.Problem{Type: "remote-missing", Status: 404,
		Title: "Not found"}
	problemRemoteBusy = problem.Problem{Type: "remote-busy", Status: 429,
		Title: "Too many requests", RetryAfter: retryAfter}
	problemRemoteNotReady = problem.Problem{Type: "remote-not-ready", Status: 503,
		Title: "Service unavailable", RetryAfter: remoteRetry}
	// The titles of the next ones are the contract's: clients compare them.
	problemNoPDF = problem.Problem{Type: "remote-no-pdf", Status: 415,
		Title: "The requested file is not a valid PDF"}
	problemNoAttachments = problem.Problem{Type: "remote-no-attachments", Status: 502,
		Title: "ATTACHMENTS_NOT_PRESENT", Detail: "ATTACHMENTS_NOT_PRESENT"}
	problemNoContent = problem.Problem{Type: "remote-no-content", Status: 502,
		Title: "REMOTE_CONTENT_NOT_PRESENT", Detail: "REMOTE_CONTENT_NOT_PRESENT"}
	problemBadMarkdown = problem.Problem{Type: "remote-bad-markdown", Status: 502,
		Title: "MARKDOWN_VALIDATION_ERROR", Detail: "MARKDOWN_VALIDATION_ERROR"}
	problemBadSubject = problem.Problem{Type: "remote-bad-subject", Status: 502,
		Title: "SUBJECT_VALIDATION_ERROR", Detail: "SUBJECT_VALIDATION_ERROR"}
	problemInternal = problem.Problem{Type: "citizen-internal", Status: 500,
		Title: "Internal server error"}

	problems = []problem.Problem{problemBody, problemParameter, problemSignature,
		problemRegion, problemSession,
		problemCredentials, problemLocked, problemMissing, problemConflict, problemOtherRegion,
		problemBusy, problemUnavailable, problemRemoteGone, problemRemoteFailed, problemRemoteLate,
		problemRemoteForbidden, problemRemoteMissing, problemRemoteBusy, problemRemoteNotReady,
		problemNoPDF, problemNoAttachments, problemNoContent, problemBadMarkdown,
		problemBadSubject, problemInternal}
)

// Problems lists what this API can answer: of package problem's, only that nobody serves an
// operation.
func Problems() []problem.Problem { return problems }

// refuse gives a problem its detail, which goes to the citizen's client and names nothing
// personal.
func refuse(p problem.Problem, format string, args ...any) problem.Problem {
	return p.With(fmt.Sprintf(format, args...))
}

// problemOf turns any error of an operation into a problem that the operation may answer.
func problemOf(op *operation.Operation, err error) problem.Problem {
	var p problem.Problem
	switch {
	case errors.As(err, &p):
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, context.Canceled):
		p = fromWire(op, &wire.Error{Code: wire.OutcomeUnknown})
	default:
		p = fromWire(op, wire.AsError(err))
	}
	switch {
	case op.Has(p.Status):
		return p
	case p.Type == problemBusy.Type:
		return problemUnavailable.With(p.Detail)
	}
	return problemInternal.With("The request could not be completed.")
}

// fromWire is the table from what a region answers. The contract has no 503: what is away now is
// 500 with Retry-After, and a full queue is 429.
func fromWire(op *operation.Operation, e *wire.Error) problem.Problem {
	switch e.Code {
	case wire.Unauthenticated, wire.Moved: // Moved: of a login that found no end
		return problemSession.With("The session does not exist or has ended.")
	case wire.Locked:
		return problemLocked.With("The citizen has locked access. A login of level 3 is let in.")
	case wire.NotFound:
		return problemMissing.With(op.Missing)
	case wire.Conflict:
		if e.Detail == "" {
			return problemConflict.With(op.Conflict)
		}
		return problemConflict.With(e.Detail)
	case wire.Malformed, wire.TooLarge:
		return refuse(problemBody, "The citizen's region refused the request: %s.", e.Detail)
	case wire.Overloaded:
		return problemBusy.With("The citizen's region is busy.")
	case wire.NotLeader, wire.Unavailable, wire.NotReady:
		return problemUnavailable.With("The citizen's region cannot be reached now.")
	case wire.UnknownKind: // its program, or its log, is of a version before the operation
		return problemUnavailable.With("The citizen's region cannot do this yet.")
	case wire.OutcomeUnknown:
		return problemUnavailable.With(
			"The citizen's region did not answer in time. The change may have been made.")
	}
	return problemInternal.With("The request could not be completed.")
}
