package region

import (
	"bytes"
	"slices"

	"github.com/staffetta/staffetta/internal/codec"
	"github.com/staffetta/staffetta/wire"
)

// A region that was restored from a copy which is older than a citizen's arrival owns the code, and
// has nothing. What the old owner keeps of the citizen for a time is fetched: it fills gaps, and
// replaces nothing. What the region has decided since stays as it is.

// copyRow is how far this is, for one citizen.
type copyRow struct {
	Epoch wire.Epoch
	From  wire.RegionID
	Next  []byte // the cursor of the page that is wanted
	// Person: there was no profile here, so that the old one, with its preferences, is taken.
	Person bool
	Done   bool
}

// Fields declares the row.
func (r *copyRow) Fields(c *codec.Codec) {
	codec.Uint(c, 1, &r.Epoch)
	codec.String(c, 2, &r.From)
	codec.Bytes(c, 3, &r.Next)
	if c.Decoding() {
		r.Next = bytes.Clone(r.Next) // rows are read into memory that is used again
	}
	codec.Bool(c, 4, &r.Person)
	codec.Bool(c, 5, &r.Done)
}

// ExportCopy is ExportMove of what remains here of a citizen who moved to a region at an epoch.
// NotFound when nothing does, or not for that region.
func (s *State) ExportCopy(r wire.Recipient, to wire.RegionID, epoch wire.Epoch, at []byte) (
	*wire.MovePage, error) {
	own, _, err := s.Ownership(r)
	if err != nil {
		return nil, err
	}
	kept, err := s.keeps(r)
	if err != nil {
		return nil, err
	}
	if !kept || own != (wire.Ownership{State: wire.Released, Epoch: epoch, Region: to}) {
		return nil, wire.Errorf(wire.NotFound, "nothing is kept here of a citizen who moved to "+
			"region %s at epoch %d", to, epoch)
	}
	return s.export(r, at, copyStages)
}

// keeps reports whether what r left here is still whole.
func (s *State) keeps(r wire.Recipient) (bool, error) {
	var since remainsRow
	ok, err := s.getRow(remainsKey(r), &since)
	return ok && since.Since > 0, err // 0: a part of an import that was refused
}

// Kept returns citizens behind one who moved to a region and of whom everything is still here, at
// most limit, in order; Region is where they are.
func (s *State) Kept(to wire.RegionID, behind wire.Recipient, limit int) ([]wire.MoveStep, error) {
	var list []wire.MoveStep
	lower, upper := append(remainsKey(behind), 0), after([]byte{movePrefix, moveRemains})
	err := s.db.Iterate(lower, upper, false, func(k, v []byte) (bool, error) {
		var since remainsRow
		if len(k) != 18 {
			return false, errDamaged(k)
		}
		if err := decodeRow(k, v, &since); err != nil || since.Since == 0 {
			return true, err
		}
		r := wire.Recipient(k[2:])
		own, _, err := s.Ownership(r)
		if err != nil {
			return false, err
		}
		if own.State == wire.Released && own.Region == to {
			list = append(list, wire.MoveStep{Recipient: r, Epoch: own.Epoch, Region: to})
		}
		return len(list) < limit, nil
	})
	return list, err
}

// CopyProgress says how far the copy of r from an earlier owner is: Owned when it is done.
func (s *State) CopyProgress(r wire.Recipient, epoch wire.Epoch, from wire.RegionID) (
	p wire.MoveProgress, err error) {
	var in copyRow
	if _, err = s.getRow(moveCopyKey(r), &in); err != nil || in.Epoch != epoch || in.From != from {
		return p, err
	}
	return wire.MoveProgress{Owned: in.Done, Next: in.Next}, nil
}

// moveCopy takes a page, in its turn, of a citizen whom this region owns at the page's epoch.
func (s *State) moveCopy(c *change, m *wire.MovePage) (wire.Result, error) {
	if !s.wellFormed(m) {
		return failf(wire.Malformed, "page of a copy without recipient, epoch, region or cursor")
	}
	own, err := c.ownership(m.Recipient)
	if err != nil {
		return wire.Result{}, err
	}
	var in copyRow
	if _, err := c.getRow(moveCopyKey(m.Recipient), &in); err != nil {
		return wire.Result{}, err
	}
	if in.Epoch != m.Epoch || in.From != m.From {
		_, there, err := c.get(recipientKey(profilePrefix, m.Recipient))
		if err != nil {
			return wire.Result{}, err
		}
		in = copyRow{Epoch: m.Epoch, From: m.From, Person: !there}
	}
	switch {
	case s.restored.Load().incarnation == 0:
		return failf(wire.Conflict, "this region was never restored: it has what it was given")
	case own.State != wire.Owned || own.Epoch != m.Epoch:
		return failf(wire.Conflict, "this region does not own the fiscal code at epoch %d", m.Epoch)
	case in.Done:
		return wire.OK(&wire.MoveProgress{Owned: true}), nil
	case !bytes.Equal(in.Next, m.At):
		return wire.OK(&wire.MoveProgress{Next: in.Next}), nil
	}
	block, refusal, err := s.checkPage(c, m)
	if err != nil || refusal != nil {
		return wire.Fail(refusal), err
	}
	if err := s.fillGaps(c, m, block, &in); err != nil {
		return wire.Result{}, err
	}
	in.Next, in.Done = m.Next, m.Last
	return wire.OK(&wire.MoveProgress{Owned: in.Done, Next: in.Next}),
		c.setRow(moveCopyKey(m.Recipient), &in)
}

// fillGaps writes what a page has and the region has not.
func (s *State) fillGaps(c *change, m *wire.MovePage, block *wire.Block, in *copyRow) error {
	if block != nil {
		if err := s.fillMessages(c, m.Recipient, m.Frame, block); err != nil {
			return err
		}
	}
	t := &taking{s: s, c: c, r: m.Recipient, person: in.Person}
	for i := range m.Rows {
		if k := kindOf(m.Rows[i].Key); k.fill != nil {
			if err := k.fill(t, &m.Rows[i]); err != nil {
				return err
			}
		}
	}
	return nil
}

// fillMessages takes messages whose ids the region has not decided. The others leave the block with
// its next rewrite.
func (s *State) fillMessages(c *change, r wire.Recipient, frame []byte, block *wire.Block) error {
	var known positions
	missing := 0
	for i := range block.Records {
		_, ok, err := lookUp(r, block.Records[i].ID, c.getWide)
		if err != nil {
			return err
		}
		if ok {
			known.add(i)
			continue
		}
		missing++
		if err := s.takeMessage(c, r, &block.Records[i], i); err != nil {
			return err
		}
		// Whoever looked before this page came has been told that nothing of its time is left.
		if err := c.noteLate(r, block.Records[i].ID); err != nil {
			return err
		}
	}
	if missing == 0 {
		return nil
	}
	if err := c.setBlock(c.index, frame); err != nil || known.empty() {
		return err
	}
	return c.setRow(erasureKey(c.index), &erasureRow{Positions: known})
}

// unlessKnown stores a rejection of a message that the region has not decided.
func (t *taking) unlessKnown(row *wire.Row) error {
	_, known, err := lookUp(t.r, wire.MessageID(row.Key[17:]), t.c.getWide)
	if err != nil || known {
		return err
	}
	return t.unlessHere(row)
}

// missingPreference stores one that the region has not, for a citizen whose profile is the old one.
func (t *taking) missingPreference(row *wire.Row) error {
	if _, there, err := t.c.get(row.Key); err != nil || there || !t.person {
		return err
	}
	return t.preference(row)
}

// missingProfile stores the profile of a citizen who has none here, and has the directory told.
func (t *taking) missingProfile(row *wire.Row) error {
	if _, there, err := t.c.get(row.Key); err != nil || there {
		return err
	}
	var p profileRow
	if err := wire.Decode(row.Value, &p); err != nil {
		return err
	}
	if err := t.s.putProfile(t.c, t.r, &p); err != nil {
		return err
	}
	own, err := t.c.ownership(t.r)
	if err != nil {
		return err
	}
	return t.c.setPending(t.r, wire.Owned, own.Epoch, p.active())
}

// wellFormed checks what every page of a move has.
func (s *State) wellFormed(m *wire.MovePage) bool {
	return !m.Recipient.IsZero() && m.Epoch > claimEpoch && m.From.Valid() &&
		m.From != s.cfg.Region && len(m.At) <= wire.MoveCursorMax &&
		len(m.Next) <= wire.MoveCursorMax && m.Last == (len(m.Next) == 0)
}

// stageOf is where in a list of stages a cursor stands.
func stageOf(stages []*rowKind, at []byte) (stage int, key []byte, err error) {
	if len(at) == 0 {
		return 0, nil, nil
	}
	stage = slices.IndexFunc(stages, func(k *rowKind) bool { return k.prefix == at[0] })
	key = at[1:]
	if stage < 0 || at[0] == inboxPrefix && len(key) != 0 && len(key) != 9 {
		return 0, nil, wire.Malformedf("no cursor of a move")
	}
	return stage, key, nil
}
