package wire

import (
	"strconv"
	"time"

	"github.com/staffetta/staffetta/internal/codec"
)

// Store and forward. While the region that owns a recipient is away, the gateway seals whole
// records to that region's public key and brings them to its home region, whose log keeps them,
// unreadable to it, until the owner takes them.

const (
	// SpoolAfter is how long a region may leave a block without an answer before what is for it
	// is spooled: longer than most elections, and well within OwnerWait.
	SpoolAfter = 2 * time.Second
	// SealedBytesMax bounds a sealed block. A gateway closes a block at BlockCloseBytes and one
	// record more, so it never comes near, and with its stubs it stays within a command.
	SealedBytesMax = 768 << 10
	// RelayBlocksMax and RelayBytesMax bound one Relay, but for a single block, which may be as
	// large as SealedBytesMax. Small blocks travel together, and the owner packs them anew.
	RelayBlocksMax = 128
	RelayBytesMax  = 512 << 10
	// RegionKeysPublic is how many public keys of a region the map holds. Blocks are sealed to
	// the newest; one before it is there for gateways that have not heard of it.
	RegionKeysPublic = 2
	// RegionKeysMax is how many private keys a region keeps. At one a month that is ten years;
	// the oldest is forgotten for the next.
	RegionKeysMax = 128
)

// PrivateRegionKey is a key pair of a region. Its private half is in the region's log and state,
// and nowhere else.
type PrivateRegionKey struct {
	ID      uint32 // counts up
	Private []byte
	Public  []byte
	At      Time // when it was made; set at apply
}

// Fields declares the message.
func (k *PrivateRegionKey) Fields(c *codec.Codec) {
	codec.Uint(c, 1, &k.ID)
	codec.Bytes(c, 2, &k.Private)
	codec.Bytes(c, 3, &k.Public)
	codec.Int(c, 4, &k.At)
}

// PublishRegionKey puts a region's newest public key on the map.
type PublishRegionKey struct {
	Region RegionID
	Key    RegionKey
}

// Fields declares the message.
func (p *PublishRegionKey) Fields(c *codec.Codec) {
	codec.String(c, 1, &p.Region)
	codec.Nested(c, 2, &p.Key)
}

// AuditSubject is what the operators' log shows.
func (p *PublishRegionKey) AuditSubject() string {
	return "region " + string(p.Region) + ", key " + strconv.FormatUint(uint64(p.Key.ID), 10)
}

// RotateRegionKey asks for a key newer than After. When there is one already nothing happens, so
// that the same request again makes no second one.
type RotateRegionKey struct {
	Region RegionID
	After  uint32
	DryRun bool // make none
}

// Fields declares the message.
func (r *RotateRegionKey) Fields(c *codec.Codec) {
	codec.String(c, 1, &r.Region)
	codec.Uint(c, 2, &r.After)
	codec.Bool(c, 3, &r.DryRun)
}

// RegionKeyInfo is a region's newest key, but for its private half.
type RegionKeyInfo struct {
	ID        uint32
	At        Time
	Published bool // the map has it
	Public    []byte
}

// Fields declares the message.
func (r *RegionKeyInfo) Fields(c *codec.Codec) {
	codec.Uint(c, 1, &r.ID)
	codec.Int(c, 2, &r.At)
	codec.Bool(c, 3, &r.Published)
	codec.Bytes(c, 4, &r.Public)
}

// SealedBlock is a block's frame that only Owner can read, see Seal.
type SealedBlock struct {
	Owner RegionID // whose key it is sealed to
	KeyID uint32
	Home  RegionID // in whose spool it waits
	Bytes []byte   // encapsulated key and ciphertext
}

// Fields declares the message.
func (s *SealedBlock) Fields(c *codec.Codec) {
	codec.String(c, 1, &s.Owner)
	codec.Uint(c, 2, &s.KeyID)
	codec.String(c, 3, &s.Home)
	codec.Bytes(c, 4, &s.Bytes)
}

// SpoolBlock asks a home region to keep a sealed block. Stubs are its records, redacted, in
// their order: what a retry and a read are answered with meanwhile.
type SpoolBlock struct {
	Sealed SealedBlock
	Stubs  []Record
	// Offered are the positions of records that the gateway brought to an owner whose answer was
	// lost. From VersionOffered on.
	Offered []uint8
}

// Fields declares the message.
func (s *SpoolBlock) Fields(c *codec.Codec) {
	codec.Nested(c, 1, &s.Sealed)
	codec.Repeated(c, 2, &s.Stubs)
	codec.Uints(c, 3, &s.Offered)
}

// Spool is a SpoolBlock with the bounds that hold for it. They are the leader's setting, so they
// travel with the command.
type Spool struct {
	Block SpoolBlock
	// BytesMax is what the spool may hold, this block included.
	BytesMax uint64
	// OldestAfter: refused when the owner's oldest block was spooled before.
	OldestAfter Time
}

// Fields declares the message.
func (s *Spool) Fields(c *codec.Codec) {
	codec.Nested(c, 1, &s.Block)
	codec.Uint(c, 2, &s.BytesMax)
	codec.Int(c, 3, &s.OldestAfter)
}

// SpoolRefusal says why a spool took no block.
type SpoolRefusal uint8

// The refusals. With any of them nothing changed.
const (
	SpoolTook   SpoolRefusal = iota
	SpoolFull                // BytesMax is reached
	SpoolTooOld              // the owner has been away for longer than blocks may wait
)

// Spooled answers SpoolBlock: in record order Decided with status THROTTLED for a record that is
// kept; Decided with an earlier message's id, and its status now, for one whose id or idempotency
// key the spool knew; KeyConflict; OutOfTime. When any record is of the last three kinds the
// block was not kept, and the others are Undecided.
type Spooled struct {
	Outcomes []Outcome
	Refused  SpoolRefusal // then there are no outcomes
}

// Fields declares the message.
func (s *Spooled) Fields(c *codec.Codec) {
	codec.Repeated(c, 1, &s.Outcomes)
	codec.Uint(c, 2, &s.Refused)
}

// Relay brings blocks from a spool to their owner's leader, oldest first.
type Relay struct{ Blocks []SealedBlock }

// Fields declares the message.
func (r *Relay) Fields(c *codec.Codec) { codec.Repeated(c, 1, &r.Blocks) }

// Relayed answers Relay, in order.
type Relayed struct{ Blocks []RelayedBlock }

// Fields declares the message.
func (r *Relayed) Fields(c *codec.Codec) { codec.Repeated(c, 1, &r.Blocks) }

// RelayedBlock is what became of one relayed block.
type RelayedBlock struct {
	// Err says why the block could not be read here: nothing of it was applied, and it stays
	// where it is.
	Err *Error
	// Outcomes are in record order. Undecided: the owner cannot say yet.
	Outcomes []Outcome
	// Resealed holds the records with outcome NotOwner, sealed to their new owners.
	Resealed []Resealed
}

// Fields declares the message.
func (r *RelayedBlock) Fields(c *codec.Codec) {
	codec.Optional(c, 1, &r.Err)
	codec.Repeated(c, 2, &r.Outcomes)
	codec.Repeated(c, 3, &r.Resealed)
}

// Resealed is a block made of some records of another one, by an owner that they have left.
type Resealed struct {
	Sealed SealedBlock
	// Positions are those of the records in the block that they come from.
	Positions []uint8
}

// Fields declares the message.
func (r *Resealed) Fields(c *codec.Codec) {
	codec.Nested(c, 1, &r.Sealed)
	codec.Uints(c, 2, &r.Positions)
}

// SpoolDone logs what became of a spooled block: it goes, its stubs tell the outcomes, and what
// was sealed anew takes its place for the records that it holds. A second one changes nothing.
type SpoolDone struct {
	Owner    RegionID
	Seq      uint64
	Outcomes []Outcome
	Resealed []Resealed
}

// Fields declares the message.
func (s *SpoolDone) Fields(c *codec.Codec) {
	codec.String(c, 1, &s.Owner)
	codec.Uint(c, 2, &s.Seq)
	codec.Repeated(c, 3, &s.Outcomes)
	codec.Repeated(c, 4, &s.Resealed)
}

// SpoolOffer logs that blocks go to their owner: from here on it may decide their messages at any
// moment, and only it can say whether it has. Blocks that are gone are none.
type SpoolOffer struct {
	Owner  RegionID
	Blocks []uint64
}

// Fields declares the message.
func (s *SpoolOffer) Fields(c *codec.Codec) {
	codec.String(c, 1, &s.Owner)
	codec.Uints(c, 2, &s.Blocks)
}

// SpoolExpire removes the stubs of messages that were relayed before a time.
type SpoolExpire struct{ Before Time }

// Fields declares the message.
func (s *SpoolExpire) Fields(c *codec.Codec) { codec.Int(c, 1, &s.Before) }

// SpooledView answers MethodFindSpooled.
type SpooledView struct {
	ID           MessageID
	Service      ServiceID
	TimeToLive   uint32
	FeatureLevel FeatureLevel
	// Verdict is THROTTLED while the message waits for Owner, else what Owner decided; FAILED
	// when the idempotency key turned out to be another message's.
	Verdict Verdict
	Owner   RegionID
	// Alias is the message that came first under the same idempotency key, and is the only one;
	// zero: none.
	Alias     MessageID
	SpooledAt Time
	RelayedAt Time   // 0: not yet
	Seq       uint64 // of the block in the spool; 0: it is gone
	KeyID     uint32 // that the block is sealed to
	// Offered: an owner may have the message already, and have decided it. While it waits and is
	// not, nobody has.
	Offered bool
}

// Fields declares the message.
func (s *SpooledView) Fields(c *codec.Codec) {
	codec.Fixed(c, 1, s.ID[:])
	codec.String(c, 2, &s.Service)
	codec.Uint(c, 3, &s.TimeToLive)
	codec.Uint(c, 4, &s.FeatureLevel)
	codec.Nested(c, 5, &s.Verdict)
	codec.String(c, 6, &s.Owner)
	codec.Fixed(c, 7, s.Alias[:])
	codec.Int(c, 8, &s.SpooledAt)
	codec.Int(c, 9, &s.RelayedAt)
	codec.Uint(c, 10, &s.Seq)
	codec.Uint(c, 11, &s.KeyID)
	codec.Bool(c, 12, &s.Offered)
}

// CountSpooled asks what waits in a region's spool for an owner.
type CountSpooled struct {
	Owner RegionID // empty: for anyone
	// MapVersion that the answering leader knows by then: on a map on which Owner is closing, or
	// gone, nothing is spooled for it any more, so that a count of 0 stays true.
	MapVersion uint64
}

// Fields declares the message.
func (q *CountSpooled) Fields(c *codec.Codec) {
	codec.String(c, 1, &q.Owner)
	codec.Uint(c, 2, &q.MapVersion)
}

// SpoolStatus is what waits in a spool for one owner.
type SpoolStatus struct {
	Owner   RegionID `json:"owner"`
	Blocks  uint64   `json:"blocks"`
	Records uint64   `json:"records"`
	Bytes   uint64   `json:"bytes"`
	Oldest  Time     `json:"oldest_ms"` // when the oldest block was spooled; 0: none waits
	Refused uint64   `json:"refused"`
}

// Fields declares the message.
func (s *SpoolStatus) Fields(c *codec.Codec) {
	codec.String(c, 1, &s.Owner)
	codec.Uint(c, 2, &s.Blocks)
	codec.Uint(c, 3, &s.Records)
	codec.Uint(c, 4, &s.Bytes)
	codec.Int(c, 5, &s.Oldest)
	codec.Uint(c, 6, &s.Refused)
}
