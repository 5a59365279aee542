package region

import (
	"bytes"

	"github.com/staffetta/staffetta/internal/codec"
	"github.com/staffetta/staffetta/wire"
)

// The new owner's side of a move. It takes pages in their turn, and with the last one owns the
// code; or it refuses the move, and from then on takes none. Its log decides which came first.

// moveInRow is how far a move to here is.
type moveInRow struct {
	Epoch   wire.Epoch
	From    wire.RegionID
	Next    []byte // the cursor of the page that is wanted
	Refused bool
}

// Fields declares the row.
func (m *moveInRow) Fields(c *codec.Codec) {
	codec.Uint(c, 1, &m.Epoch)
	codec.String(c, 2, &m.From)
	codec.Bytes(c, 3, &m.Next)
	if c.Decoding() {
		m.Next = bytes.Clone(m.Next) // rows are read into memory that is used again
	}
	codec.Bool(c, 4, &m.Refused)
}

// moveIn reads how far the move of r to here is, and what its end was if it has ended: progress is
// nil while it goes on or has not begun.
func (c *change) moveIn(r wire.Recipient, epoch wire.Epoch) (in moveInRow,
	progress *wire.MoveProgress, err error) {
	if _, err = c.getRow(moveInKey(r), &in); err != nil {
		return in, nil, err
	}
	own, err := c.ownership(r)
	if err != nil {
		return in, nil, err
	}
	return in, movedIn(&in, own, epoch, c.version), nil
}

// movedIn is the end of the move of an epoch: nil when it has not ended. What this region refused
// it never had, whatever mark of a later owner has reached it since.
func movedIn(in *moveInRow, own wire.Ownership, epoch wire.Epoch,
	version uint32) *wire.MoveProgress {
	switch {
	case in.Epoch == epoch && in.Refused && version >= wire.VersionOwners:
		return &wire.MoveProgress{Refused: true}
	case own.State == wire.Owned && own.Epoch >= epoch,
		own.State == wire.Released && own.Epoch > epoch: // and moved on since
		return &wire.MoveProgress{Owned: true}
	case in.Epoch > epoch || in.Epoch == epoch && in.Refused:
		return &wire.MoveProgress{Refused: true}
	}
	return nil
}

// begun reports whether the row is of an import that was neither finished nor refused.
func (m *moveInRow) begun() bool { return m.Epoch != 0 && !m.Refused }

func (s *State) movePage(c *change, m *wire.MovePage) (wire.Result, error) {
	r := m.Recipient
	if !s.wellFormed(m) {
		return failf(wire.Malformed, "page of a move without recipient, epoch, region or cursor")
	}
	in, ended, err := c.moveIn(r, m.Epoch)
	if err != nil {
		return wire.Result{}, err
	}
	if ended != nil {
		return wire.OK(ended), nil
	}
	remain, err := c.remain(r, &in, m.Epoch)
	if err != nil {
		return wire.Result{}, err
	}
	if !remain && c.version >= wire.VersionOwners {
		if _, remain, err = c.moveOut(r); err != nil {
			return wire.Result{}, err
		}
	}
	if in.Epoch != m.Epoch {
		in = moveInRow{Epoch: m.Epoch, From: m.From}
	}
	switch {
	case remain:
		return failf(wire.Unavailable, "what remains here of an earlier stay of the citizen "+
			"is not erased yet")
	case in.From != m.From:
		return failf(wire.Conflict, "the move of this epoch comes from region %s", in.From)
	case !bytes.Equal(in.Next, m.At):
		return wire.OK(&wire.MoveProgress{Next: in.Next}), nil
	}
	block, refusal, err := s.checkPage(c, m)
	if err != nil || refusal != nil {
		return wire.Fail(refusal), err
	}
	if err := s.takePage(c, m, block); err != nil {
		return wire.Result{}, err
	}
	if !m.Last {
		in.Next = m.Next
		return wire.OK(&wire.MoveProgress{Next: in.Next}), c.setRow(moveInKey(r), &in)
	}
	if err := c.delIfThere(moveInKey(r)); err != nil {
		return wire.Result{}, err
	}
	own := wire.Ownership{State: wire.Owned, Epoch: m.Epoch}
	return wire.OK(&wire.MoveProgress{Owned: true}), s.takeUp(c, r, own)
}

func (c *change) delIfThere(key []byte) error {
	_, ok, err := c.get(key)
	if err != nil || !ok {
		return err
	}
	return c.del(key)
}

// moveRefuse is the abort of a move, decided here: no page of the epoch is taken any more, unless
// this region owns the code already. What came before goes.
func (s *State) moveRefuse(c *change, m *wire.MoveStep) (wire.Result, error) {
	if m.Recipient.IsZero() || m.Epoch <= claimEpoch || !m.Region.Valid() {
		return failf(wire.Malformed, "refusal of a move without recipient, epoch or region")
	}
	in, ended, err := c.moveIn(m.Recipient, m.Epoch)
	if err != nil {
		return wire.Result{}, err
	}
	if ended != nil {
		return wire.OK(ended), nil
	}
	if in.begun() {
		if err := c.setRemains(m.Recipient, 0); err != nil {
			return wire.Result{}, err
		}
	}
	in = moveInRow{Epoch: m.Epoch, From: m.Region, Refused: true}
	return wire.OK(&wire.MoveProgress{Refused: true}), c.setRow(moveInKey(m.Recipient), &in)
}

// takePage writes a page that was checked.
func (s *State) takePage(c *change, m *wire.MovePage, block *wire.Block) error {
	if block != nil {
		if err := s.takeMessages(c, m.Recipient, m.Frame, block); err != nil {
			return err
		}
	}
	t := &taking{s: s, c: c, r: m.Recipient}
	for i := range m.Rows {
		if err := kindOf(m.Rows[i].Key).take(t, &m.Rows[i]); err != nil {
			return err
		}
	}
	return nil
}

// takeMessages stores a block of the citizen's messages, and makes their inbox rows anew: all that
// is in them is the record's.
func (s *State) takeMessages(c *change, r wire.Recipient, frame []byte, block *wire.Block) error {
	if err := c.setBlock(c.index, frame); err != nil {
		return err
	}
	for i := range block.Records {
		if err := s.takeMessage(c, r, &block.Records[i], i); err != nil {
			return err
		}
	}
	return nil
}

func (s *State) takeMessage(c *change, r wire.Recipient, rec *wire.Record, position int) error {
	var summary wire.Summary
	if err := wire.Decode(rec.Content, &summary); err != nil {
		return err
	}
	var row inboxRow
	row.fill(c.index, position, rec, &summary)
	if c.version >= wire.VersionOwners {
		if err := c.delRejection(r, rec.ID); err != nil {
			return err
		}
	}
	key := inboxKey(r, rec.ID)
	if deleted, err := c.isDeleted(r, rec.ID); err != nil {
		return err
	} else if deleted { // no honest region hands over both
		return c.eraseRecord(wire.Row{Key: key[:], Value: wire.Encode(&row)})
	}
	if err := c.setRow(key[:], &row); err != nil {
		return err
	}
	s.noteID(c, r, rec.ID)
	return nil
}

// delRejection removes the rejection of a message that another region accepted. It was refused here
// once, as an anchor that had lost what another one decided: a message has one verdict, and its key
// must not go when the rejection would.
func (c *change) delRejection(r wire.Recipient, id wire.MessageID) error {
	key := rejectedKey(r, id)
	if _, ok, err := c.getWide(&key); err != nil || !ok {
		return err
	}
	return c.del(key[:])
}

// taking stores the rows of a page that was checked.
type taking struct {
	s      *State
	c      *change
	r      wire.Recipient
	person bool // of a copy: the profile is the old owner's
}

func (t *taking) asItIs(row *wire.Row) error { return t.c.set(row.Key, row.Value) }

// unlessHere stores a rejection or an idempotency key. What is here already stays: of a rejection,
// the region was the anchor then.
func (t *taking) unlessHere(row *wire.Row) error { return t.s.importRow(t.c, t.r, row) }

func (t *taking) idempotency(row *wire.Row) error {
	if t.c.version < wire.VersionOwners {
		return t.asItIs(row)
	}
	return t.s.importKey(t.c, t.r, row)
}

func (t *taking) preference(row *wire.Row) error {
	var p wire.Preference
	if err := wire.Decode(row.Value, &p); err != nil {
		return err
	}
	return t.s.putPreference(t.c, t.r, &p)
}

// session stores the citizen's session, unless it has ended, or the token is another's here.
func (t *taking) session(row *wire.Row) error {
	c := t.c
	var s wire.Session
	if err := wire.Decode(row.Value, &s); err != nil {
		return err
	}
	if s.ExpiresAt <= c.clock.Now {
		return nil
	}
	if c.version >= wire.VersionOwners { // the old owner's clock may be ahead of this region's
		s.ExpiresAt = min(s.ExpiresAt, c.clock.Now.Add(SessionMax))
	}
	var there wire.Session
	taken, err := c.getRow(sessionKey(s.Token), &there)
	if err != nil || taken && there.FiscalCode != s.FiscalCode {
		return err
	}
	if err := c.delIfThere(forwardKey(s.Token)); err != nil { // the citizen is back
		return err
	}
	return c.beginSession(t.r, &s)
}

// MoveProgress says how far the move of r to here, for an epoch, is.
func (s *State) MoveProgress(r wire.Recipient, epoch wire.Epoch) (*wire.MoveProgress, error) {
	var in moveInRow
	if _, err := s.getRow(moveInKey(r), &in); err != nil {
		return nil, err
	}
	own, _, err := s.Ownership(r)
	if err != nil {
		return nil, err
	}
	if ended := movedIn(&in, own, epoch, s.ActiveVersion()); ended != nil {
		return ended, nil
	}
	if in.Epoch != epoch {
		return &wire.MoveProgress{}, nil
	}
	return &wire.MoveProgress{Next: in.Next}, nil
}

// Imports returns moves to here that were begun and have not ended, at most limit; Region is the
// old owner.
func (s *State) Imports(limit int) ([]wire.MoveStep, error) {
	var list []wire.MoveStep
	lower := []byte{movePrefix, moveIn}
	err := s.db.Iterate(lower, after(lower), false, func(k, v []byte) (bool, error) {
		var in moveInRow
		if len(k) != 18 {
			return false, errDamaged(k)
		}
		if err := decodeRow(k, v, &in); err != nil {
			return false, err
		}
		if in.begun() {
			list = append(list, wire.MoveStep{Recipient: wire.Recipient(k[2:]), Epoch: in.Epoch,
				Region: in.From})
		}
		return len(list) < limit, nil
	})
	return list, err
}
