package wire

import (
	"time"

	"github.com/staffetta/staffetta/internal/codec"
)

// The bounds of requests that wait.
const (
	// ApprovalWait is how long a request waits, by the log's time: long enough to ring somebody up,
	// too short for anybody to forget what for.
	ApprovalWait = time.Hour
	// PendingMax bounds how many are kept; beyond it another one is TooLarge.
	PendingMax = 64
	// PendingBytesMax bounds a request: a deal of all slots and an authority are the longest.
	PendingBytesMax = 16 << 10
	// ApprovalsMax is the most operators that a request can need.
	ApprovalsMax = 2
)

// PendingRequest is an operator's request that is carried out when another operator approves it.
type PendingRequest struct {
	ID      string // of the log's place and the request; set when it is logged
	Method  Method
	Request []byte
	Kind    CommandKind // of the command that carries it out
	// Operator, Action and Subject are as in the audit.
	Operator, Action, Subject string
	Asked, Expires            Time // by the log's time
	// Approved is who approved it, once it was carried out; it is kept until it expires, so that
	// an approval may be repeated.
	Approved string
}

// Fields declares the message.
func (p *PendingRequest) Fields(c *codec.Codec) {
	codec.String(c, 1, &p.ID)
	codec.Uint(c, 2, &p.Method)
	codec.Bytes(c, 3, &p.Request)
	codec.Uint(c, 4, &p.Kind)
	codec.String(c, 5, &p.Operator)
	codec.String(c, 6, &p.Action)
	codec.String(c, 7, &p.Subject)
	codec.Int(c, 8, &p.Asked)
	codec.Int(c, 9, &p.Expires)
	codec.String(c, 10, &p.Approved)
}

// AuditSubject is what the request is about.
func (p *PendingRequest) AuditSubject() string { return p.Subject }

// PendingRef names a request that waits.
type PendingRef struct{ ID string }

// Fields declares the message.
func (p *PendingRef) Fields(c *codec.Codec) { codec.String(c, 1, &p.ID) }

// AuditSubject is what the audit shows.
func (p *PendingRef) AuditSubject() string { return p.ID }

// PendingList answers MethodListPending: what waits, oldest first, without the requests' bytes.
type PendingList struct {
	List      []PendingRequest
	Approvals uint32 // the federation's setting: how many operators it takes
	Fresh     Freshness
}

// Fields declares the message.
func (p *PendingList) Fields(c *codec.Codec) {
	codec.Repeated(c, 1, &p.List)
	codec.Uint(c, 2, &p.Approvals)
	codec.Nested(c, 3, &p.Fresh)
}

// Approvals sets how many operators it takes to do what hurts a region: one or two.
type Approvals struct{ Operators uint32 }

// Fields declares the message.
func (a *Approvals) Fields(c *codec.Codec) { codec.Uint(c, 1, &a.Operators) }

// AuditSubject is what the audit shows.
func (a *Approvals) AuditSubject() string {
	if a.Operators == 1 {
		return "1 operator"
	}
	return "2 operators"
}

// OperatorsNeeded is how many operators it takes to do what hurts a region.
func (m *Map) OperatorsNeeded() uint32 {
	if m.ActiveVersion < VersionApprovals {
		return 1
	}
	return max(m.Approvals, 1)
}
