package region

import (
	"github.com/staffetta/staffetta/internal/codec"
	"github.com/staffetta/staffetta/wire"
)

// placeRow is where the record of an inbox row is, and when it came: the log numbers blocks.
type placeRow struct {
	Block    uint64
	Position uint8
}

// Fields declares the beginning of an inbox row, which may be read without the rest.
func (p *placeRow) Fields(c *codec.Codec) {
	codec.Uint(c, 1, &p.Block)
	codec.Uint(c, 2, &p.Position)
}

// inboxRow is a delivered message: where its record is, and what a list shows of it.
type inboxRow struct {
	placeRow
	Service      wire.ServiceID
	Subject      string
	TimeToLive   uint32
	FeatureLevel wire.FeatureLevel
	Category     wire.Category
	Notice       string
	Payee        wire.InstitutionID
	Attachments  bool
	Precondition string
}

// Fields declares the row.
func (r *inboxRow) Fields(c *codec.Codec) {
	r.placeRow.Fields(c)
	codec.String(c, 3, &r.Service)
	codec.String(c, 4, &r.Subject)
	codec.Uint(c, 5, &r.TimeToLive)
	codec.Uint(c, 6, &r.FeatureLevel)
	codec.Uint(c, 7, &r.Category)
	codec.String(c, 8, &r.Notice)
	codec.String(c, 9, &r.Payee)
	codec.Bool(c, 10, &r.Attachments)
	codec.String(c, 11, &r.Precondition)
}

// fill sets the row from a record and the summary of its content.
func (r *inboxRow) fill(block uint64, position int, rec *wire.Record, s *wire.Summary) {
	*r = inboxRow{placeRow: placeRow{block, uint8(position)}, Service: rec.Service,
		Subject: s.Subject, TimeToLive: rec.TimeToLive, FeatureLevel: rec.FeatureLevel}
	if s.Payment != nil {
		r.Notice, r.Payee = s.Payment.NoticeNumber, s.Payment.Payee
	}
	if s.ThirdParty != nil {
		r.Attachments, r.Precondition = s.ThirdParty.HasAttachments, s.ThirdParty.HasPrecondition
	}
	switch { // the contract's precedence
	case s.EUCovidCert != nil:
		r.Category = wire.EUCovidCertCategory
	case s.ThirdParty != nil:
		r.Category = wire.Generic
	case s.Payment != nil:
		r.Category = wire.PaymentCategory
	}
}

// item is the row as a list shows it.
func (r *inboxRow) item(id wire.MessageID) wire.InboxItem {
	return wire.InboxItem{ID: id, Service: r.Service, Subject: r.Subject,
		TimeToLive: r.TimeToLive, FeatureLevel: r.FeatureLevel, Category: r.Category,
		Notice: r.Notice, Payee: r.Payee, Attachments: r.Attachments,
		Precondition: r.Precondition}
}

// rejectedRow is a refused message: what a retry and a read by its sender need.
type rejectedRow struct {
	Service      wire.ServiceID
	Reason       wire.Reason
	TimeToLive   uint32
	FeatureLevel wire.FeatureLevel
	// Idempotency is the key that goes when the row goes.
	Idempotency wire.Idempotency
	At          wire.Time // when it was decided
}

// Fields declares the row.
func (r *rejectedRow) Fields(c *codec.Codec) {
	codec.String(c, 1, &r.Service)
	codec.Uint(c, 2, &r.Reason)
	codec.Uint(c, 3, &r.TimeToLive)
	codec.Uint(c, 4, &r.FeatureLevel)
	codec.Fixed(c, 5, r.Idempotency[:])
	codec.Int(c, 6, &r.At)
}

func (r *rejectedRow) verdict() wire.Verdict {
	return wire.Verdict{Status: wire.Rejected, Reason: r.Reason}
}

// idempotencyRow is a used idempotency key: the message it made and the digest of its body.
type idempotencyRow [48]byte

func newIdempotencyRow(id wire.MessageID, digest wire.Digest) (r idempotencyRow) {
	copy(r[:], id[:])
	copy(r[16:], digest[:])
	return r
}

func (r *idempotencyRow) id() wire.MessageID  { return wire.MessageID(r[:16]) }
func (r *idempotencyRow) digest() wire.Digest { return wire.Digest(r[16:]) }

// ownerRow is what the log says of a code. It repeats what a verdict needs of the profile, so
// that a verdict whose citizen is not cached reads one small row.
type ownerRow struct {
	Ownership wire.Ownership
	Standing  standing
}

// Fields declares the row.
func (r *ownerRow) Fields(c *codec.Codec) {
	codec.Nested(c, 1, &r.Ownership)
	codec.Nested(c, 2, &r.Standing)
	r.Standing.State = r.Ownership.State
}

// profileRow is a citizen's registry entry.
type profileRow struct {
	Profile wire.Profile
	// Preferences counts those under the profile's settings version.
	Preferences uint32
}

// Fields declares the row.
func (r *profileRow) Fields(c *codec.Codec) {
	codec.Nested(c, 1, &r.Profile)
	codec.Uint(c, 2, &r.Preferences)
}

// active reports whether messages reach the citizen.
func (r *profileRow) active() bool { return r.Profile.InboxEnabled && r.Profile.AcceptedTos > 0 }

// standing is what a verdict needs of the profile of a code that the region owns.
func (r *profileRow) standing() standing {
	st := standing{State: wire.Owned, HasProfile: true, Active: r.active(),
		Mode: r.Profile.Mode, Version: r.Profile.SettingsVersion, Preferences: r.Preferences > 0}
	for _, b := range r.Profile.Blocked {
		st.Blocks = st.Blocks || b.Channels&wire.ChannelInbox != 0
	}
	return st
}

// pendingRow is a wire.Pending without its recipient, which is in the key.
type pendingRow struct {
	State  wire.OwnershipState
	Epoch  wire.Epoch
	Active bool
	Seq    uint64
}

// Fields declares the row.
func (r *pendingRow) Fields(c *codec.Codec) {
	codec.Uint(c, 1, &r.State)
	codec.Uint(c, 2, &r.Epoch)
	codec.Bool(c, 3, &r.Active)
	codec.Uint(c, 4, &r.Seq)
}

// positions is a set of positions in a block.
type positions [wire.BlockRecordsMax / 8]byte

func (p *positions) add(i int)      { p[i/8] |= 1 << (i % 8) }
func (p *positions) has(i int) bool { return p[i/8]&(1<<(i%8)) != 0 }
func (p *positions) empty() bool    { return *p == positions{} }

func (p *positions) list() []int {
	var list []int
	for i := range wire.BlockRecordsMax {
		if p.has(i) {
			list = append(list, i)
		}
	}
	return list
}

// erasureRow says what to erase from a block, and since when.
type erasureRow struct {
	At        wire.Time
	Positions positions
}

// Fields declares the row.
func (r *erasureRow) Fields(c *codec.Codec) {
	codec.Int(c, 1, &r.At)
	codec.Fixed(c, 2, r.Positions[:])
}

// cutDue splits the list of rejections that one entry decided: the keys of their rows, without
// prefix, one after the other.
func cutDue(list []byte) (keys []wideKey, ok bool) {
	if len(list)%32 != 0 {
		return nil, false
	}
	for ; len(list) > 0; list = list[32:] {
		k := wideKey{rejectedPrefix}
		copy(k[1:], list[:32])
		keys = append(keys, k)
	}
	return keys, true
}
