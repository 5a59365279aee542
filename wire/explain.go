package wire

import "github.com/staffetta/staffetta/internal/codec"

// Explain asks a replica of a region for all that it knows of a message. No body is in the answer.
type Explain struct {
	Recipient Recipient
	ID        MessageID
}

// Fields declares the message.
func (e *Explain) Fields(c *codec.Codec) {
	codec.Fixed(c, 1, e.Recipient[:])
	codec.Fixed(c, 2, e.ID[:])
}

// Explanation answers Explain, as of the entry Applied of the region's log.
type Explanation struct {
	Node    NodeID
	Region  RegionID
	Leader  bool // the answer is the leader's
	Applied uint64
	// Ownership is what the region's log says of the recipient; Anchor whether it holds the
	// recipient's anchor slot.
	Ownership Ownership
	Anchor    bool
	// Found: the region has a row of the message, and the fields below hold.
	Found   bool
	Service ServiceID
	Verdict Verdict
	// Block is the index of the entry whose block holds the message, Position its place in it,
	// Term the entry's term, 0 when the log no longer has it. A rejected message has none: its
	// content is not kept.
	Block    uint64
	Position uint32
	Term     uint64
	Rejected Time // when a rejection was decided, by the log's time; 0: delivered
	// Keyed: the message has an idempotency key, as far as its row says.
	Keyed bool
	// Basis is how the citizen stands with the service now, which may differ from then.
	Basis VerdictBasis
}

// Fields declares the message.
func (e *Explanation) Fields(c *codec.Codec) {
	codec.String(c, 1, &e.Node)
	codec.String(c, 2, &e.Region)
	codec.Bool(c, 3, &e.Leader)
	codec.Uint(c, 4, &e.Applied)
	codec.Nested(c, 5, &e.Ownership)
	codec.Bool(c, 6, &e.Anchor)
	codec.Bool(c, 7, &e.Found)
	codec.String(c, 8, &e.Service)
	codec.Nested(c, 9, &e.Verdict)
	codec.Uint(c, 10, &e.Block)
	codec.Uint(c, 11, &e.Position)
	codec.Uint(c, 12, &e.Term)
	codec.Int(c, 13, &e.Rejected)
	codec.Bool(c, 14, &e.Keyed)
	codec.Nested(c, 15, &e.Basis)
}

// VerdictBasis is what the rule of the verdict looks at: is there a profile, is its inbox on and
// are the terms accepted, and what do the preferences say of the service.
type VerdictBasis struct {
	HasProfile bool
	Active     bool
	Mode       Mode
	Blocked    bool // LEGACY: the profile blocks the service's inbox
	Choice     Tri  // AUTO and MANUAL: what the citizen said of the service
}

// Fields declares the message.
func (s *VerdictBasis) Fields(c *codec.Codec) {
	codec.Bool(c, 1, &s.HasProfile)
	codec.Bool(c, 2, &s.Active)
	codec.Uint(c, 3, &s.Mode)
	codec.Bool(c, 4, &s.Blocked)
	codec.Uint(c, 5, &s.Choice)
}

// The bounds of FindRecipients, which reads blocks and rejections around the time of the id.
const (
	FindBlocksMax = 4096
	FindRowsMax   = 1 << 20
)

// FindRecipients asks a replica of a region to which recipients it has a message with the id, for
// who knows the id alone. It is a search over what was logged about the time of the id.
type FindRecipients struct{ ID MessageID }

// Fields declares the message.
func (f *FindRecipients) Fields(c *codec.Codec) { codec.Fixed(c, 1, f.ID[:]) }

// FoundRecipients answers FindRecipients, and says what was searched.
type FoundRecipients struct {
	Region     RegionID
	Recipients []Recipient
	Blocks     uint64 // that were read
	Rejections uint64 // that were looked at
	// Whole: everything that can hold the message was searched; false: a bound ended it.
	Whole bool
}

// Fields declares the message.
func (f *FoundRecipients) Fields(c *codec.Codec) {
	codec.String(c, 1, &f.Region)
	list := make([]byte, 0, 16*len(f.Recipients))
	for _, r := range f.Recipients {
		list = append(list, r[:]...)
	}
	codec.Bytes(c, 2, &list)
	if c.Decoding() {
		f.Recipients = cutRecipients(c, list)
	}
	codec.Uint(c, 3, &f.Blocks)
	codec.Uint(c, 4, &f.Rejections)
	codec.Bool(c, 5, &f.Whole)
}
