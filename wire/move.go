package wire

import (
	"encoding/hex"

	"github.com/staffetta/staffetta/internal/codec"
)

// A citizen's move from region A, the owner at epoch e, to region B. A's leader drives it, whoever
// that is; each step is logged before the next, and safe to repeat:
//
//	A's log      MoveIntent: A wants to give the code to B, and decides as before
//	directory    OpMove: compare-and-set on e, from here on the move has epoch e+1
//	A's log      MoveFence: from here on A answers NotOwner, with B and e+1
//	B's log      MovePage, page by page; with the last one B owns the code at e+1
//	directory    OpOwn, by B
//	A's log      MoveDone: A keeps what it has for a time, and then erases it
//
// Until B's last page the move can be aborted. B's log decides, since only there an abort and the
// last page have an order:
//
//	A's log      MoveAbort: somebody wants it back
//	B's log      MoveRefuse: no page of epoch e+1 is taken any more (unless B owns already)
//	directory    OpMoveAborted: A owns at e+2
//	A's log      MoveUndo: A decides again, at e+2

const (
	// MoveRowsMax bounds the rows of a page, MovePageBytes, roughly, their size: one entry's
	// worth together with a block.
	MoveRowsMax   = 1024
	MovePageBytes = 256 << 10
	// MoveCursorMax bounds a cursor: a stage and a key of the state.
	MoveCursorMax = 128
)

// MoveState says how far a move is, in the log of the region that gives the code up.
type MoveState uint8

// The states.
const (
	// MoveNone: no move is under way.
	MoveNone MoveState = iota
	// MoveIntended: the region decides as before.
	MoveIntended
	// MoveFenced: the region does not decide any more, and hands over.
	MoveFenced
)

// String is the word that operators and citizens see.
func (s MoveState) String() string {
	switch s {
	case MoveNone:
		return "settled"
	case MoveIntended:
		return "intended"
	case MoveFenced:
		return "moving"
	}
	return "unknown"
}

// MoveIntent logs that a citizen moves to a region. By Token, of a session of the citizen, or by
// Recipient, from an operator. It answers the Move: of state MoveNone when To owns the code, the
// move under way when that leads to To. Moved when another region owns the code, Conflict while
// it moves elsewhere or nobody has claimed it.
type MoveIntent struct {
	Token     TokenHash
	Recipient Recipient
	To        RegionID
}

// Fields declares the message.
func (m *MoveIntent) Fields(c *codec.Codec) {
	codec.Fixed(c, 1, m.Token[:])
	codec.Fixed(c, 2, m.Recipient[:])
	codec.String(c, 3, &m.To)
}

// MoveOrder is an operator's order to move a citizen, or to abort the move.
type MoveOrder struct {
	Recipient Recipient
	To        RegionID
	Abort     bool
}

// Fields declares the message.
func (m *MoveOrder) Fields(c *codec.Codec) {
	codec.Fixed(c, 1, m.Recipient[:])
	codec.String(c, 2, &m.To)
	codec.Bool(c, 3, &m.Abort)
}

// AuditSubject is what the operators' log shows.
func (m *MoveOrder) AuditSubject() string {
	return "recipient " + hex.EncodeToString(m.Recipient[:]) + " to " + string(m.To)
}

// MoveRef names a citizen's move, as MoveIntent does. As a command it asks for the move's end:
// Conflict when there is none.
type MoveRef struct {
	Token     TokenHash
	Recipient Recipient
}

// Fields declares the message.
func (m *MoveRef) Fields(c *codec.Codec) {
	codec.Fixed(c, 1, m.Token[:])
	codec.Fixed(c, 2, m.Recipient[:])
}

// Move is how a citizen's move stands, as the region that answers knows. With MoveNone, Region
// owns the code at Epoch and the rest is zero; otherwise Region gives it up, and To owns it from
// Epoch on.
type Move struct {
	Recipient Recipient
	Region    RegionID
	To        RegionID
	Epoch     Epoch
	State     MoveState
	Aborting  bool // somebody wants the move to end without effect
	Since     Time // of the intent
}

// Fields declares the message.
func (m *Move) Fields(c *codec.Codec) {
	codec.Fixed(c, 1, m.Recipient[:])
	codec.String(c, 2, &m.Region)
	codec.String(c, 3, &m.To)
	codec.Uint(c, 4, &m.Epoch)
	codec.Uint(c, 5, &m.State)
	codec.Bool(c, 6, &m.Aborting)
	codec.Int(c, 7, &m.Since)
}

// MoveStep is one step of the move of Recipient at Epoch. Region is the other side: the new owner
// in the old one's log, the old one in the new one's.
type MoveStep struct {
	Recipient Recipient
	Epoch     Epoch
	Region    RegionID
}

// Fields declares the message.
func (m *MoveStep) Fields(c *codec.Codec) {
	codec.Fixed(c, 1, m.Recipient[:])
	codec.Uint(c, 2, &m.Epoch)
	codec.String(c, 3, &m.Region)
}

// MovePage is a part of what the old owner has of a citizen: messages in log order, then
// rejections, then idempotency keys, then preferences, then session and profile. It is taken only
// in its turn: At must be where the new owner's log stands. It answers MoveProgress.
type MovePage struct {
	Recipient Recipient
	Epoch     Epoch
	From      RegionID
	At, Next  []byte // cursors; At is empty for the first page, Next for the last
	// Frame holds delivered messages, an Excerpt; empty: none in this page.
	Frame []byte
	// Rows are of the state, in its own encoding.
	Rows []Row
	Last bool
}

// Fields declares the message.
func (m *MovePage) Fields(c *codec.Codec) {
	codec.Fixed(c, 1, m.Recipient[:])
	codec.Uint(c, 2, &m.Epoch)
	codec.String(c, 3, &m.From)
	codec.Bytes(c, 4, &m.At)
	codec.Bytes(c, 5, &m.Next)
	codec.Bytes(c, 6, &m.Frame)
	codec.Repeated(c, 7, &m.Rows)
	codec.Bool(c, 8, &m.Last)
}

// MoveProgress says how far the new owner's log is with a move.
type MoveProgress struct {
	// Owned: it has everything, and decides.
	Owned bool
	// Refused: the move was aborted before that; no page is taken any more.
	Refused bool
	// Next is the cursor of the page that is wanted.
	Next []byte
}

// Fields declares the message.
func (m *MoveProgress) Fields(c *codec.Codec) {
	codec.Bool(c, 1, &m.Owned)
	codec.Bool(c, 2, &m.Refused)
	codec.Bytes(c, 3, &m.Next)
}

// MoveErase erases a part of what is left of a citizen who moved away.
type MoveErase struct{ Recipient Recipient }

// Fields declares the message.
func (m *MoveErase) Fields(c *codec.Codec) { codec.Fixed(c, 1, m.Recipient[:]) }

// MoveErased answers MoveErase: More is left.
type MoveErased struct{ More bool }

// Fields declares the message.
func (m *MoveErased) Fields(c *codec.Codec) { codec.Bool(c, 1, &m.More) }

// Excerpt collects records of stored blocks into a rewritten block of its own: each keeps its
// salt, so its leaf stays what it was, and nothing else of the blocks goes along. The zero value
// is empty and ready.
type Excerpt struct {
	body  []byte
	count int
}

// Add appends the record at position of b, which must not be erased there, or reports false when
// the excerpt is full and must be sealed first. An empty one takes any record.
func (e *Excerpt) Add(b *Block, position int) bool {
	if e.count == BlockRecordsMax || e.count > 0 && len(e.body) >= BlockCloseBytes {
		return false
	}
	e.body = b.appendKept(e.body, position)
	e.count++
	return true
}

// Len is the number of records.
func (e *Excerpt) Len() int { return e.count }

// Seal compresses the records and returns the frame. Sealing an empty excerpt panics.
func (e *Excerpt) Seal(c *Coder) []byte {
	if e.count == 0 {
		panic("wire: seal of an empty excerpt")
	}
	frame := frameBlock(c, e.body, e.count, blockErased)
	e.body, e.count = e.body[:0], 0
	return frame
}

// appendKept appends the element of a record that stays.
func (b *Block) appendKept(body []byte, position int) []byte {
	salt := b.Salt(position)
	body = append(append(body, elementKept), salt[:]...)
	at := len(body)
	body = append(body, 0, 0, 0)
	putLength(body[at:], len(b.raw[position]))
	return append(body, b.raw[position]...)
}
