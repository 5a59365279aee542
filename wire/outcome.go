package wire

import "github.com/staffetta/staffetta/internal/codec"

// Status is the contract's message status.
type Status uint8

// The statuses. Accepted and Failed are the contract's; this step never ends in them.
const (
	Accepted Status = 1 + iota
	Throttled
	Processed
	Rejected
	Failed
)

// String is the contract's word.
func (s Status) String() string {
	switch s {
	case Accepted:
		return "ACCEPTED"
	case Throttled:
		return "THROTTLED"
	case Processed:
		return "PROCESSED"
	case Rejected:
		return "REJECTED"
	case Failed:
		return "FAILED"
	}
	return ""
}

// Reason is the contract's rejection_reason; zero when the status is not Rejected.
type Reason uint8

// The reasons.
const (
	UserNotFound Reason = 1 + iota
	ServiceNotAllowed
)

// String is the contract's word.
func (r Reason) String() string {
	switch r {
	case UserNotFound:
		return "USER_NOT_FOUND"
	case ServiceNotAllowed:
		return "SERVICE_NOT_ALLOWED"
	}
	return ""
}

// Verdict is what the owner decided, for ever.
type Verdict struct {
	Status Status
	Reason Reason
}

// Fields declares the message.
func (v *Verdict) Fields(c *codec.Codec) {
	codec.Uint(c, 1, &v.Status)
	codec.Uint(c, 2, &v.Reason)
}

// OutcomeKind says which of an Outcome's fields mean something.
type OutcomeKind uint8

// The kinds of outcomes.
const (
	// Undecided: the block was not proposed, because of other records that have one of the
	// kinds below. Nothing changed; send the record again, without those.
	Undecided OutcomeKind = 0
	// Decided: Verdict holds, and ID is the message's: for a retry, or a second submission under
	// the same idempotency key, the first one's.
	Decided OutcomeKind = iota
	// KeyConflict: the idempotency key was used with another body. Nothing changed.
	KeyConflict
	// NeedContent: the record came redacted and would be accepted. Nothing changed; send the
	// whole record under the same id.
	NeedContent
	// NotOwner: another region owns the code. Nothing changed; Region and Epoch name it, or are
	// empty when this region only knows that it is not the one: resolve again.
	NotOwner
	// OutOfTime: the id's time is too far from the log's. Nothing changed; mint a new one.
	OutOfTime
	// Broken: the owner's state contradicts itself about this record, or the record has no form that
	// can be decided. Nothing changed, and nothing will: every replica found the same.
	Broken
)

// Outcome is what became of one record of a block.
type Outcome struct {
	Kind    OutcomeKind
	ID      MessageID
	Verdict Verdict
	Region  RegionID
	Epoch   Epoch
}

// Fields declares the message.
func (o *Outcome) Fields(c *codec.Codec) {
	codec.Uint(c, 1, &o.Kind)
	codec.Fixed(c, 2, o.ID[:])
	codec.Nested(c, 3, &o.Verdict)
	codec.String(c, 4, &o.Region)
	codec.Uint(c, 5, &o.Epoch)
}

// Outcomes answers a block, in record order.
type Outcomes struct{ List []Outcome }

// Fields declares the message.
func (o *Outcomes) Fields(c *codec.Codec) { codec.Repeated(c, 1, &o.List) }
