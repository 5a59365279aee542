package region

import (
	"bytes"
	"encoding/binary"
	"slices"
	"time"

	"github.com/staffetta/staffetta/wire"
)

// Explain returns all that the rows say of a message, but for its content. A message that is not
// here is no error: what the log says of its recipient tells where to look.
func (s *State) Explain(q *wire.Explain) (*wire.Explanation, error) {
	e := &wire.Explanation{Applied: s.Position().Index}
	var err error
	if e.Ownership, e.Anchor, err = s.Ownership(q.Recipient); err != nil {
		return nil, err
	}
	var delivered inboxRow
	key := inboxKey(q.Recipient, q.ID)
	if e.Found, err = s.getRow(key[:], &delivered); err != nil {
		return nil, err
	}
	if e.Found {
		e.Service, e.Verdict = delivered.Service, processed
		e.Block, e.Position = delivered.Block, uint32(delivered.Position)
	} else if view, deleted, err := s.findDeleted(wire.FindMessage{Recipient: q.Recipient,
		ID: q.ID}); deleted || err != nil {
		if err != nil {
			return e, err
		}
		e.Found, e.Service, e.Verdict = true, view.Service, view.Verdict
	} else {
		var refused rejectedRow
		key = rejectedKey(q.Recipient, q.ID)
		if e.Found, err = s.getRow(key[:], &refused); err != nil || !e.Found {
			return e, err
		}
		e.Service, e.Verdict, e.Rejected = refused.Service, refused.verdict(), refused.At
		e.Keyed = !refused.Idempotency.IsZero()
	}
	return e, s.basis(q.Recipient, e.Service, &e.Basis)
}

// basis reads what the rule of the verdict would look at now, see judge.
func (s *State) basis(r wire.Recipient, service wire.ServiceID, b *wire.VerdictBasis) error {
	var row profileRow
	var err error
	if b.HasProfile, err = s.getRow(recipientKey(profilePrefix, r), &row); err != nil {
		return err
	}
	if !b.HasProfile {
		return nil
	}
	p := &row.Profile
	b.Active, b.Mode = row.active(), p.Mode
	if p.Mode == wire.Legacy {
		b.Blocked = blocksInbox(p, service)
		return nil
	}
	var pref wire.Preference
	ok, err := s.getRow(preferenceKey(r, p.SettingsVersion, service), &pref)
	if ok {
		b.Choice = wire.TriOf(pref.Inbox)
	}
	return err
}

// FindRecipients searches for a message of which only the id is known: in the region's spool,
// which is that of the ids with its tag, in the blocks and among the rejections that were logged
// about the time of the id. A delivered message that came by another way (a move, another region's
// spool where it waited for longer) is not found.
func (s *State) FindRecipients(id wire.MessageID) (*wire.FoundRecipients, error) {
	f := &wire.FoundRecipients{Whole: true}
	if err := s.findStubs(id, f); err != nil {
		return nil, err
	}
	if err := s.findRejections(id, f); err != nil {
		return nil, err
	}
	// Nearly every id is logged within moments; only if this one was not, all that may hold it is
	// read, from where the most wrong clock that is admitted would have put it.
	_, err := s.findInBlocks(id, wire.ClockSkewMax, f)
	if err == nil && len(f.Recipients) == 0 {
		var whole bool
		whole, err = s.findInBlocks(id, 2*wire.SkewMax, f)
		f.Whole = f.Whole && whole
	}
	slices.SortFunc(f.Recipients, func(a, b wire.Recipient) int { return bytes.Compare(a[:], b[:]) })
	f.Recipients = slices.Compact(f.Recipients) // a rejected one may still be in its block
	return f, err
}

// findStubs looks through what the spool keeps of each message, by recipient.
func (s *State) findStubs(id wire.MessageID, f *wire.FoundRecipients) error {
	lower, rows := []byte{stubPrefix}, 0
	return s.db.Iterate(lower, after(lower), false, func(k, _ []byte) (bool, error) {
		if rows++; rows > wire.FindRowsMax {
			f.Whole = false
			return false, nil
		}
		if len(k) == 1+len(wire.Recipient{})+len(id) && wire.MessageID(k[len(k)-len(id):]) == id {
			f.Recipients = append(f.Recipients, wire.Recipient(k[1:]))
			return false, nil
		}
		return true, nil
	})
}

// findRejections looks through the lists of rejections that entries decided within the skew that
// ids are allowed, on either side of the id's time.
func (s *State) findRejections(id wire.MessageID, f *wire.FoundRecipients) error {
	lower := dueKey(dueRejected, max(id.Time().Add(-wire.SkewMax), 0), nil)
	upper := dueKey(dueRejected, id.Time().Add(wire.SkewMax)+1, nil)
	return s.db.Iterate(lower, upper, false, func(k, v []byte) (bool, error) {
		rejected, ok := cutDue(v)
		if !ok {
			return false, errDamaged(k)
		}
		for i := range rejected {
			if rejected[i].tail() == id {
				f.Recipients = append(f.Recipients, wire.Recipient(rejected[i][1:17]))
			}
		}
		f.Rejections += uint64(len(rejected))
		f.Whole = f.Whole && f.Rejections <= wire.FindRowsMax
		return f.Rejections <= wire.FindRowsMax, nil
	})
}

// findInBlocks reads blocks from the first whose ids may be so much older than the id, until they
// are younger by more than ids of one log entry can be; whole is false when the bound ended it.
func (s *State) findInBlocks(id wire.MessageID, before time.Duration, f *wire.FoundRecipients) (
	whole bool, err error) {
	first, err := s.firstBlock(id.Time().Add(-before))
	if err != nil {
		return false, err
	}
	end, left := id.Time().Add(2*wire.SkewMax), wire.FindBlocksMax
	whole = true
	err = s.readBlocks(first, func(_ uint64, b *wire.Block) bool {
		if left--; left < 0 {
			whole = false
			return false
		}
		f.Blocks++
		late := true
		for i := range b.Records {
			rec := &b.Records[i]
			if b.IsErased(i) || rec.ID != id {
				late = late && (b.IsErased(i) || rec.ID.Time() > end)
				continue
			}
			late = false
			f.Recipients = append(f.Recipients, rec.RecipientUnder(s.cfg.Hasher))
		}
		return !late
	})
	return whole, err
}

// bisectBlocks is how many blocks one step of a bisection looks at: some hold ids that are much
// older than their neighbours', since they waited in a spool, or none, since all was erased.
const bisectBlocks = 8

// firstBlock is an index before which there is no block with ids as young as at, by bisection.
func (s *State) firstBlock(at wire.Time) (uint64, error) {
	low, high := uint64(1), s.Position().Index+1
	for low < high {
		middle, last := low+(high-low)/2, uint64(0)
		young, count := false, 0
		err := s.readBlocks(middle, func(index uint64, b *wire.Block) bool {
			last = index
			count++
			for i := range b.Records {
				young = young || !b.IsErased(i) && b.Records[i].ID.Time() >= at
			}
			return !young && count < bisectBlocks
		})
		if err != nil {
			return 0, err
		}
		if young || count == 0 {
			high = middle
		} else {
			low = max(middle, last) + 1
		}
	}
	return low, nil
}

// readBlocks calls f for the blocks from an index on, in log order, until it wants no more. The
// block is valid during the call only.
func (s *State) readBlocks(from uint64, f func(index uint64, b *wire.Block) bool) error {
	block := new(wire.Block)
	return s.db.Iterate(blockKey(from), after([]byte{blockPrefix}), false,
		func(k, v []byte) (bool, error) {
			if len(k) != 9 || s.cfg.Coder.DecodeInto(block, v) != nil {
				return false, errDamaged(k)
			}
			return f(binary.BigEndian.Uint64(k[1:]), block), nil
		})
}
