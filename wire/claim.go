package wire

import "github.com/staffetta/staffetta/internal/codec"

// OwnershipState is what a region's log says about its hold on one fiscal code.
type OwnershipState uint8

// The ownership states. A code without an entry is not the region's, unless the region holds its
// anchor slot: then it is the region's at epoch 0.
const (
	NotOwned OwnershipState = iota
	// Claiming: the intent is logged, the leader drives the rest. The anchor still owns.
	Claiming
	// Owned: this region decides verdicts for the code.
	Owned
	// Released: Region owns from Epoch on. Never erased.
	Released
)

// Ownership is a region's entry for one fiscal code.
type Ownership struct {
	State  OwnershipState
	Epoch  Epoch
	Region RegionID // with Released: the next owner
}

// Fields declares the message.
func (o *Ownership) Fields(c *codec.Codec) {
	codec.Uint(c, 1, &o.State)
	codec.Uint(c, 2, &o.Epoch)
	codec.String(c, 3, &o.Region)
}

// GrantSlots makes the region the anchor of slots, each from SlotEpoch on.
type GrantSlots struct {
	Slots     []Slot
	SlotEpoch uint64
}

// Fields declares the message.
func (g *GrantSlots) Fields(c *codec.Codec) {
	codec.Uints(c, 1, &g.Slots)
	codec.Uint(c, 2, &g.SlotEpoch)
}

// ClaimIntent logs that the region wants the code: step 1 of a claim. It answers the Ownership
// after it: Owned when it already is, Claiming otherwise. Moved when the region released it.
type ClaimIntent struct{ Recipient Recipient }

// Fields declares the message.
func (m *ClaimIntent) Fields(c *codec.Codec) { codec.Fixed(c, 1, m.Recipient[:]) }

// ClaimAbort ends an intent that lost the compare-and-set in the directory. Region and Epoch
// name the winner, so that a waiting login can be told.
type ClaimAbort struct {
	Recipient Recipient
	Region    RegionID
	Epoch     Epoch
}

// Fields declares the message.
func (m *ClaimAbort) Fields(c *codec.Codec) {
	codec.Fixed(c, 1, m.Recipient[:])
	codec.String(c, 2, &m.Region)
	codec.Uint(c, 3, &m.Epoch)
}

// Release makes an anchor give the code to a region: step 3 of a claim. From its apply on the
// anchor answers NotOwner. It answers a RowPage: the rejections above After and
// their keys, the same every time.
type Release struct {
	Recipient Recipient
	To        RegionID
	Epoch     Epoch
	After     MessageID
}

// Fields declares the message.
func (m *Release) Fields(c *codec.Codec) {
	codec.Fixed(c, 1, m.Recipient[:])
	codec.String(c, 2, &m.To)
	codec.Uint(c, 3, &m.Epoch)
	codec.Fixed(c, 4, m.After[:])
}

// RowPage is a page of what an anchor knows about a code: rows of its state below the recipient's
// prefixes (rejections and idempotency keys), which have no content, in order of the
// rejections' ids.
type RowPage struct {
	Rows []Row
	// More pages follow; Last is the id to go on from.
	More bool
	Last MessageID
}

// Fields declares the message.
func (m *RowPage) Fields(c *codec.Codec) {
	codec.Repeated(c, 1, &m.Rows)
	codec.Bool(c, 2, &m.More)
	codec.Fixed(c, 3, m.Last[:])
}

// RowPageMax bounds a page of a handover: some 400 KB, a fifth of what a frame holds.
const RowPageMax = 4096

// Row is one key and value of a region's state, in its own encoding.
type Row struct {
	Key   []byte
	Value []byte
}

// Fields declares the message.
func (m *Row) Fields(c *codec.Codec) {
	codec.Bytes(c, 1, &m.Key)
	codec.Bytes(c, 2, &m.Value)
}

// Import takes over a page of a handover, and with the last one makes the region the owner from
// Epoch on: step 4 of a claim. A second one of the same epoch changes nothing.
type Import struct {
	Recipient Recipient
	Epoch     Epoch
	Page      RowPage
	// Anchored: the region is the code's anchor itself, and nothing is handed over. Conflict when
	// it is not, any more, at apply.
	Anchored bool
}

// Fields declares the message.
func (m *Import) Fields(c *codec.Codec) {
	codec.Fixed(c, 1, m.Recipient[:])
	codec.Uint(c, 2, &m.Epoch)
	codec.Nested(c, 3, &m.Page)
	codec.Bool(c, 15, &m.Anchored)
}

// Pending is work for the region's leader that its log has not yet seen done: a claim to drive
// (State Claiming), or a directory entry to bring up to date (State Owned).
type Pending struct {
	Recipient Recipient
	State     OwnershipState
	Epoch     Epoch
	Active    bool   // with Owned: whether the citizen is active
	Seq       uint64 // log index of the change, so that a newer one is not noted away
}

// PendingDone logs that the directory knows: the Pending with this Seq is done.
type PendingDone struct {
	Recipient Recipient
	Seq       uint64
}

// Fields declares the message.
func (m *PendingDone) Fields(c *codec.Codec) {
	codec.Fixed(c, 1, m.Recipient[:])
	codec.Uint(c, 2, &m.Seq)
}

// EraseBlock replaces a stored block by its rewritten frame, made by the leader (Block.Erase).
// Conflict when the stored block changed since Sum, its CRC-32C, was taken.
type EraseBlock struct {
	Block uint64 // log index of the block
	Sum   uint32
	Frame []byte
}

// Fields declares the message.
func (m *EraseBlock) Fields(c *codec.Codec) {
	codec.Uint(c, 1, &m.Block)
	codec.Uint(c, 2, &m.Sum)
	codec.Bytes(c, 3, &m.Frame)
}

// Expire makes due work happen: sessions past their time, rejections past their retention. The
// entry's time says how far, at most ExpiryStepMax on.
type Expire struct {
	// RejectionsBefore is the time up to which rejections go; zero: the contract's three years
	// before the entry's time. It is the leader's setting, so it travels with the command.
	RejectionsBefore Time
}

// Fields declares the message.
func (m *Expire) Fields(c *codec.Codec) { codec.Int(c, 1, &m.RejectionsBefore) }
