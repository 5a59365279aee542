package wire

import (
	"errors"
	"fmt"

	"github.com/staffetta/staffetta/internal/codec"
)

// Code says what went wrong, in one word that means the same in every process. The list is
// closed and append-only: numbers are on the wire.
type Code uint16

// The codes.
const (
	// Internal: a broken invariant of the answering process. Not the caller's fault.
	Internal Code = 1 + iota
	// Malformed: the request cannot be decoded or breaks a rule. Nothing changed.
	Malformed
	// TooLarge: a bound of limits.go. Nothing changed.
	TooLarge
	// Unauthenticated: no valid session, key or certificate.
	Unauthenticated
	// Forbidden: the identity may not do this.
	Forbidden
	// WrongFederation: the peer belongs to another federation.
	WrongFederation
	// NotLeader: ask the leader; Detail names it when known. Nothing was appended.
	NotLeader
	// Unavailable: no leader, no quorum, or overloaded. Nothing was appended; retry later.
	Unavailable
	// OutcomeUnknown: it may or may not be applied. Retry with the same bytes.
	OutcomeUnknown
	// NotFound: no such thing.
	NotFound
	// Conflict: compare-and-set failed, or the state forbids the change. Nothing changed.
	Conflict
	// Moved: another region owns the fiscal code; Region and Epoch say which.
	Moved
	// TooOld: the message id's time is more than SkewMax away from the log's.
	TooOld
	// NotReady: the process is starting, draining or cut off.
	NotReady
	// UnknownKind: the request or entry is of a version or kind that this process lacks.
	UnknownKind
	// Overloaded: a queue is full. Nothing was appended; retry later.
	Overloaded
	// AwaitsApproval: the request was logged, and waits for a second operator. Nothing else changed.
	AwaitsApproval
	// Locked: the citizen has locked access, and the login's level does not open it. Nothing changed.
	Locked

	codesEnd
)

type codeInfo struct {
	name   string
	status int    // the HTTP status that a gateway answers when nothing more precise applies
	title  string // the problem's title
}

var codeTable = [codesEnd]codeInfo{
	Internal:        {"internal", 500, "Internal server error"},
	Malformed:       {"malformed", 400, "Malformed request"},
	TooLarge:        {"too-large", 413, "Payload too large"},
	Unauthenticated: {"unauthenticated", 401, "Unauthorized"},
	Forbidden:       {"forbidden", 403, "You are not allowed here"},
	WrongFederation: {"wrong-federation", 503, "Service unavailable"},
	NotLeader:       {"not-leader", 503, "Service unavailable"},
	Unavailable:     {"unavailable", 503, "Service unavailable"},
	OutcomeUnknown:  {"outcome-unknown", 503, "Service unavailable"},
	NotFound:        {"not-found", 404, "Not found"},
	Conflict:        {"conflict", 409, "Conflict"},
	Moved:           {"moved", 503, "Service unavailable"},
	TooOld:          {"too-old", 503, "Service unavailable"},
	NotReady:        {"not-ready", 503, "Service unavailable"},
	UnknownKind:     {"unknown-kind", 503, "Service unavailable"},
	Overloaded:      {"overloaded", 503, "Service unavailable"},
	AwaitsApproval:  {"awaits-approval", 409, "Conflict"},
	Locked:          {"locked", 403, "Access is locked"},
}

// Error makes a Code usable as a target of errors.Is, and as an error without detail.
func (c Code) Error() string { return c.String() }

// String is the code's word, the last part of a problem's type.
func (c Code) String() string {
	if c == 0 || c >= codesEnd {
		return fmt.Sprintf("code-%d", uint16(c))
	}
	return codeTable[c].name
}

// HTTPStatus is the status that a gateway answers when nothing more precise applies.
func (c Code) HTTPStatus() int {
	if c == 0 || c >= codesEnd {
		return 500
	}
	return codeTable[c].status
}

// Title is the title of the problem that a gateway answers.
func (c Code) Title() string {
	if c == 0 || c >= codesEnd {
		return codeTable[Internal].title
	}
	return codeTable[c].title
}

// Error is the one error that crosses process borders. Detail is for people; it never carries a
// fiscal code, body or key.
type Error struct {
	Code   Code
	Detail string
	// Leader is the node to ask instead, with NotLeader; empty when unknown.
	Leader NodeID
	// Region and Epoch name the owner, with Moved.
	Region RegionID
	Epoch  Epoch
}

// Errorf makes an Error. Use %w for nothing: the detail is all that travels.
func Errorf(code Code, format string, args ...any) *Error {
	detail := fmt.Sprintf(format, args...)
	if len(detail) > DetailBytesMax {
		detail = detail[:DetailBytesMax]
	}
	return &Error{Code: code, Detail: detail}
}

// Error shows code and detail.
func (e *Error) Error() string {
	if e.Detail == "" {
		return e.Code.String()
	}
	return e.Code.String() + ": " + e.Detail
}

// Is lets errors.Is(err, wire.NotLeader) work on both sides of a link.
func (e *Error) Is(target error) bool {
	code, ok := target.(Code)
	return ok && e.Code == code
}

// Fields declares the message.
func (e *Error) Fields(c *codec.Codec) {
	codec.Uint(c, 1, &e.Code)
	codec.String(c, 2, &e.Detail)
	codec.String(c, 3, &e.Leader)
	codec.String(c, 4, &e.Region)
	codec.Uint(c, 5, &e.Epoch)
}

// AsError gives err a form that can travel: an *Error stays, a bare Code gets one, anything else
// becomes Internal without its text, which might name what must not leave the process.
func AsError(err error) *Error {
	if err == nil {
		return nil
	}
	var e *Error
	if errors.As(err, &e) {
		return e
	}
	var code Code
	if errors.As(err, &code) {
		return &Error{Code: code}
	}
	return &Error{Code: Internal}
}

// Retriable reports whether the same bytes may be sent again: the request was not the caller's
// fault, and either nothing was appended or a second copy is harmless.
func Retriable(err error) bool {
	switch AsError(err).Code {
	case NotLeader, Unavailable, OutcomeUnknown, NotReady, Overloaded:
		return true
	}
	return false
}

// Malformedf is Errorf(Malformed, …), for decoders.
func Malformedf(format string, args ...any) *Error { return Errorf(Malformed, format, args...) }

// Decode unmarshals b into m; any failure is Malformed.
func Decode(b []byte, m codec.Message) error {
	if err := codec.Unmarshal(b, m); err != nil {
		return Malformedf("%s", err)
	}
	return nil
}

// Encode is codec.Marshal into a fresh slice.
func Encode(m codec.Message) []byte { return codec.Marshal(nil, m) }
