package region

import (
	"github.com/staffetta/staffetta/internal/codec"
	"github.com/staffetta/staffetta/wire"
)

// A region that was restored from a backup has forgotten what came after the copy was made: codes
// that left since, and codes that came. The directory knows of both; the higher epoch wins. Until
// all codes are compared the region serves nothing, so that nothing is decided twice.

// restoreRow is how far the comparison is, of the incarnation that it is about.
type restoreRow struct {
	Incarnation uint32
	Last        wire.Recipient
	Done        bool
	Counts      wire.ReconcileCounts
}

// Fields declares the row.
func (r *restoreRow) Fields(c *codec.Codec) {
	codec.Uint(c, 1, &r.Incarnation)
	codec.Fixed(c, 2, r.Last[:])
	codec.Bool(c, 3, &r.Done)
	codec.Nested(c, 4, &r.Counts)
}

// restored is what the region knows of its own restore, for readers beside Apply.
type restored struct {
	incarnation uint32
	row         restoreRow // of this incarnation
}

func (r *restored) set(row restoreRow) *restored {
	n := &restored{incarnation: r.incarnation}
	if n.row.Incarnation = r.incarnation; row.Incarnation == r.incarnation {
		n.row = row
	}
	return n
}

func restoreKey() []byte { return []byte{restorePrefix} }

// loadRestored reads which incarnation the state is of, and how far its comparison is.
func (s *State) loadRestored() error {
	var row restoreRow
	if _, err := s.getRow(restoreKey(), &row); err != nil {
		return err
	}
	r := &restored{incarnation: s.db.Identity().Incarnation}
	s.restored.Store(r.set(row))
	return nil
}

// Incarnation counts how often the group was restored from a backup.
func (s *State) Incarnation() uint32 { return s.restored.Load().incarnation }

// Reconciled reports whether the region may serve: it was never restored, or its codes have been
// compared with the directory.
func (s *State) Reconciled() bool {
	r := s.restored.Load()
	return r.incarnation == 0 || r.row.Done
}

// Restore says how far the comparison is: up to which code, and with what findings.
func (s *State) RestoreProgress() (last wire.Recipient, r wire.Restore) {
	now, origin := s.restored.Load(), s.db.Origin()
	return now.row.Last, wire.Restore{Group: s.cfg.Store.Identity.Group,
		Incarnation: now.incarnation, Done: s.Reconciled(), Index: origin.Index,
		Time: origin.Taken, Counts: now.row.Counts}
}

// reconcile takes a page of what the directory knows better.
func (s *State) reconcile(c *change, m *wire.Reconcile) (wire.Result, error) {
	at := s.restored.Load()
	switch {
	case m.Incarnation == 0 || m.Incarnation != at.incarnation:
		return failf(wire.Conflict, "for incarnation %d, this is %d", m.Incarnation,
			at.incarnation)
	case len(m.List) > wire.ReconcileMax:
		return failf(wire.TooLarge, "%d codes, %d allowed", len(m.List), wire.ReconcileMax)
	case at.row.Done:
		return wire.OK(nil), nil
	}
	for i := range m.List {
		if k := &m.List[i]; k.Recipient.IsZero() || !k.Region.Valid() || k.Epoch < claimEpoch {
			return failf(wire.Malformed, "code %d of a page has no recipient, region or epoch", i)
		}
	}
	for i := range m.List {
		if err := s.settle(c, &m.List[i]); err != nil {
			return wire.Result{}, err
		}
	}
	if m.Done {
		if err := offerAll(c); err != nil {
			return wire.Result{}, err
		}
	}
	row := at.row
	row.Last, row.Done = m.Last, m.Done
	row.Counts.Add(&m.Counts)
	if err := c.setRow(restoreKey(), &row); err != nil {
		return wire.Result{}, err
	}
	c.pending = true // claims and moves go on from here
	s.restored.Store(at.set(row))
	return wire.OK(nil), nil
}

// settle makes the region agree with the directory about one code, unless it knows better.
func (s *State) settle(c *change, k *wire.Standing) error {
	own, err := c.ownership(k.Recipient)
	if err != nil {
		return err
	}
	switch {
	case s.knowsBetter(c.version, own, k):
		return nil
	case k.Leaving:
		return s.settleLeaving(c, k, own)
	case k.Region != s.cfg.Region:
		return s.settleGone(c, k, own)
	}
	return s.settleHere(c, k, own)
}

// knowsBetter reports whether the log has a later word about a code than the directory, or the same
// one. The same epoch of another region is neither: there the directory's word holds.
func (s *State) knowsBetter(version uint32, own wire.Ownership, k *wire.Standing) bool {
	switch {
	case own.State != wire.Owned && own.State != wire.Released || own.Epoch < k.Epoch:
		return false
	case own.Epoch > k.Epoch || version < wire.VersionOwners:
		return true
	}
	return k.Agrees(own, s.cfg.Region)
}

// settleGone gives up a code that another region has. What is here of the citizen is a copy of what
// that region was given, and goes as after a move; also when the copy has it fenced, and the move's
// end was not in the log yet.
func (s *State) settleGone(c *change, k *wire.Standing, own wire.Ownership) error {
	_, leaving, err := c.get(moveOutKey(k.Recipient))
	if err != nil {
		return err
	}
	if err := s.giveUp(c, k.Recipient, own); err != nil {
		return err
	}
	err = s.setOwnership(c, k.Recipient, wire.Ownership{State: wire.Released, Epoch: k.Epoch,
		Region: k.Region})
	if err != nil || own.State != wire.Owned && !leaving {
		return err
	}
	return c.setRemains(k.Recipient, c.clock.Now)
}

// giveUp ends what is under way for a code, and the session of its citizen here.
func (s *State) giveUp(c *change, r wire.Recipient, own wire.Ownership) error {
	if err := c.delIfThere(recipientKey(pendingPrefix, r)); err != nil {
		return err
	}
	if err := c.delIfThere(moveOutKey(r)); err != nil {
		return err
	}
	if own.State != wire.Owned {
		return nil
	}
	return c.forwardSessions(r)
}

// settleHere takes up a code that had come here, or come back, after the copy was made. What it
// brought is lost; of one that was claimed the anchor still has what it handed over.
func (s *State) settleHere(c *change, k *wire.Standing, own wire.Ownership) error {
	r := k.Recipient
	if err := c.delIfThere(moveOutKey(r)); err != nil {
		return err
	}
	if k.Epoch == claimEpoch {
		if err := s.setOwnership(c, r, wire.Ownership{State: wire.Claiming,
			Epoch: claimEpoch}); err != nil {
			return err
		}
		return c.setPending(r, wire.Claiming, claimEpoch, false)
	}
	var since remainsRow
	remains, err := c.getRow(remainsKey(r), &since)
	if err != nil {
		return err
	}
	if remains { // of the citizen who is back
		if err := c.del(remainsKey(r)); err != nil {
			return err
		}
		if err := c.del(dueRemainsKey(since.Since, r)); err != nil {
			return err
		}
	}
	if err := c.delIfThere(moveInKey(r)); err != nil {
		return err
	}
	if err := s.takeUp(c, r, wire.Ownership{State: wire.Owned, Epoch: k.Epoch}); err != nil {
		return err
	}
	if own.State != wire.Released {
		return nil
	}
	return c.returnSessions(r)
}

// settleLeaving takes up a move away from here that the copy does not know of, or not so far: the
// new owner may have everything, or nothing. Asking for the move's end finds out: its log decides,
// and either the code is gone or it comes back.
func (s *State) settleLeaving(c *change, k *wire.Standing, own wire.Ownership) error {
	if err := s.giveUp(c, k.Recipient, own); err != nil {
		return err
	}
	err := s.setOwnership(c, k.Recipient, wire.Ownership{State: wire.Released, Epoch: k.Epoch,
		Region: k.Region})
	if err != nil {
		return err
	}
	return c.setMoveOut(k.Recipient, &wire.Move{To: k.Region, Epoch: k.Epoch,
		State: wire.MoveFenced, Aborting: true, Since: c.clock.Now})
}

// Owner is what the region's log says of a code.
type Owner struct {
	Recipient wire.Recipient
	wire.Ownership
	Active bool // of a citizen whose code is owned
	// Leaving: the code is fenced, and its new owner may not have it yet.
	Leaving bool
}

// Owners returns codes in their order, from one on, at most limit.
func (s *State) Owners(from wire.Recipient, limit int) (list []Owner, err error) {
	lower := recipientKey(ownerPrefix, from)
	err = s.db.Iterate(lower, []byte{ownerPrefix + 1}, false, func(k, v []byte) (bool, error) {
		if len(list) >= limit {
			return false, nil
		}
		var row ownerRow
		if len(k) != 17 {
			return false, errDamaged(k)
		}
		if err := decodeRow(k, v, &row); err != nil {
			return false, err
		}
		o := Owner{Recipient: wire.Recipient(k[1:]), Ownership: row.Ownership,
			Active: row.Standing.Active}
		if o.State == wire.Released {
			var err error
			if _, o.Leaving, err = s.db.Get(moveOutKey(o.Recipient)); err != nil {
				return false, err
			}
		}
		list = append(list, o)
		return true, nil
	})
	return list, err
}
