package wire

import "github.com/staffetta/staffetta/internal/codec"

// What operators order of a region's leader after a loss: to give up what nobody can read, and to
// fetch what another region still has. The federation's log has a line of each order first.

const (
	// DiscardReasonsMax bounds the reasons that a DiscardedSpooled tells.
	DiscardReasonsMax = 8
	// FetchMovedMax bounds the citizens of one FetchMoved, MovedListMax those of one list.
	FetchMovedMax = 64
	MovedListMax  = 1024
)

// OrderKind says what is ordered.
type OrderKind uint8

// The orders.
const (
	// OrderDiscard: Region gives up blocks of its spool that Other cannot read.
	OrderDiscard OrderKind = 1 + iota
	// OrderFetch: Region fetches what Other still has of citizens who moved from there.
	OrderFetch
)

// Action is the order in the words of the command line; empty for one that is none.
func (k OrderKind) Action() string {
	switch k {
	case OrderDiscard:
		return "spool discard"
	case OrderFetch:
		return "restore moved"
	}
	return ""
}

// RegionOrder is an order to a region that is about another one.
type RegionOrder struct {
	Kind   OrderKind
	Region RegionID
	Other  RegionID
}

// Fields declares the message.
func (o *RegionOrder) Fields(c *codec.Codec) {
	codec.Uint(c, 1, &o.Kind)
	codec.String(c, 2, &o.Region)
	codec.String(c, 3, &o.Other)
}

// AuditSubject is what the operators' log shows.
func (o *RegionOrder) AuditSubject() string {
	return "region " + string(o.Region) + ", of region " + string(o.Other)
}

// DiscardSpooled asks a home region to give up the blocks of its spool which Owner answered that it
// cannot read: their messages end as FAILED.
type DiscardSpooled struct {
	Owner  RegionID
	DryRun bool
}

// Fields declares the message.
func (d *DiscardSpooled) Fields(c *codec.Codec) {
	codec.String(c, 1, &d.Owner)
	codec.Bool(c, 2, &d.DryRun)
}

// DiscardedSpooled says what was given up, or would be.
type DiscardedSpooled struct {
	Blocks  uint64
	Records uint64
	// Left are blocks that may be with the owner at this moment, once more: ask again.
	Left uint64
	// Reasons are what the owner said, each once.
	Reasons []string
}

// Fields declares the message.
func (d *DiscardedSpooled) Fields(c *codec.Codec) {
	codec.Uint(c, 1, &d.Blocks)
	codec.Uint(c, 2, &d.Records)
	codec.Uint(c, 3, &d.Left)
	codec.Strings(c, 4, &d.Reasons)
}

// FetchMoved asks a restored region to fetch what From still has of citizens who moved from there
// to here, of those behind After.
type FetchMoved struct {
	From   RegionID
	After  Recipient
	DryRun bool
}

// Fields declares the message.
func (f *FetchMoved) Fields(c *codec.Codec) {
	codec.String(c, 1, &f.From)
	codec.Fixed(c, 2, f.After[:])
	codec.Bool(c, 3, &f.DryRun)
}

// FetchedMoved says how far a FetchMoved came.
type FetchedMoved struct {
	Citizens uint64 // of whom everything that is still there is here, or would be
	// Failed are those of whom it is not, for Reason: ask again.
	Failed uint64
	Reason string
	Last   Recipient // to go on behind, when More
	More   bool
}

// Fields declares the message.
func (f *FetchedMoved) Fields(c *codec.Codec) {
	codec.Uint(c, 1, &f.Citizens)
	codec.Uint(c, 2, &f.Failed)
	codec.String(c, 3, &f.Reason)
	codec.Fixed(c, 4, f.Last[:])
	codec.Bool(c, 5, &f.More)
}

// ListMoved asks for citizens behind After who moved to the caller's region and of whom the region
// that answers still has everything.
type ListMoved struct {
	After Recipient
	Limit uint32 // at most MovedListMax
}

// Fields declares the message.
func (l *ListMoved) Fields(c *codec.Codec) {
	codec.Fixed(c, 1, l.After[:])
	codec.Uint(c, 2, &l.Limit)
}

// MovedList answers ListMoved, in order of the recipients; More follow behind the last.
type MovedList struct {
	List []MoveStep
	More bool
}

// Fields declares the message.
func (l *MovedList) Fields(c *codec.Codec) {
	codec.Repeated(c, 1, &l.List)
	codec.Bool(c, 2, &l.More)
}

// CopyMoved asks for a page of what an earlier owner still has of a citizen: profile first, then as
// a move hands over.
type CopyMoved struct {
	Recipient Recipient
	Epoch     Epoch  // of the caller's ownership
	At        []byte // cursor, empty for the first page
}

// Fields declares the message.
func (q *CopyMoved) Fields(c *codec.Codec) {
	codec.Fixed(c, 1, q.Recipient[:])
	codec.Uint(c, 2, &q.Epoch)
	codec.Bytes(c, 3, &q.At)
}
