package region

import (
	"github.com/staffetta/staffetta/wire"
)

// A code's ownership here moves along these arrows only; every command may come twice.
//
//	             ClaimIntent            Import
//	(no row) ───────────────▶ Claiming ────────▶ Owned
//	   │   ◀───────────────────  │
//	   │          ClaimAbort     │  Release, on the anchor that lost its own claim
//	   │  Release, on the anchor ▼
//	   └───────────────────▶ Released
//
// claimEpoch is the epoch of the first owner of a code; the anchor's is 0.
const claimEpoch wire.Epoch = 1

// owner reads the row of a code, zero when there is none.
func (c *change) owner(r wire.Recipient) (row ownerRow, err error) {
	_, err = c.getRow(recipientKey(ownerPrefix, r), &row)
	return row, err
}

func (c *change) ownership(r wire.Recipient) (wire.Ownership, error) {
	row, err := c.owner(r)
	return row.Ownership, err
}

// setOwnership writes the row, or removes it when the state is NotOwned. The code has no profile
// here: an owner never becomes anything else.
func (s *State) setOwnership(c *change, r wire.Recipient, own wire.Ownership) error {
	s.remember(r, own, standing{})
	key := recipientKey(ownerPrefix, r)
	if own.State == wire.NotOwned {
		return c.del(key)
	}
	return c.setRow(key, &ownerRow{Ownership: own})
}

// setPending leaves work for the leader, in place of what was pending for the code before.
func (c *change) setPending(r wire.Recipient, state wire.OwnershipState, epoch wire.Epoch,
	active bool) error {
	c.pending = true
	return c.setRow(recipientKey(pendingPrefix, r),
		&pendingRow{State: state, Epoch: epoch, Active: active, Seq: c.index})
}

func (s *State) claimIntent(c *change, m *wire.ClaimIntent) (wire.Result, error) {
	if m.Recipient.IsZero() {
		return failf(wire.Malformed, "claim without recipient")
	}
	own, err := c.ownership(m.Recipient)
	if err != nil {
		return wire.Result{}, err
	}
	switch own.State {
	case wire.Released:
		return wire.Fail(movedTo(own)), nil
	case wire.NotOwned:
		own = wire.Ownership{State: wire.Claiming, Epoch: claimEpoch}
		if err := s.setOwnership(c, m.Recipient, own); err != nil {
			return wire.Result{}, err
		}
		err = c.setPending(m.Recipient, wire.Claiming, claimEpoch, false)
	}
	return wire.OK(&own), err
}

func movedTo(own wire.Ownership) *wire.Error {
	return &wire.Error{Code: wire.Moved, Detail: "another region owns the fiscal code",
		Region: own.Region, Epoch: own.Epoch}
}

func (s *State) claimAbort(c *change, m *wire.ClaimAbort) (wire.Result, error) {
	own, err := c.ownership(m.Recipient)
	if err != nil {
		return wire.Result{}, err
	}
	switch own.State {
	case wire.Owned:
		return failf(wire.Conflict, "the claim succeeded")
	case wire.NotOwned, wire.Released:
		return wire.OK(nil), nil // ended before
	}
	if err := c.del(recipientKey(pendingPrefix, m.Recipient)); err != nil {
		return wire.Result{}, err
	}
	return wire.OK(nil), s.setOwnership(c, m.Recipient, wire.Ownership{})
}

func (s *State) release(c *change, m *wire.Release) (wire.Result, error) {
	if m.Recipient.IsZero() || !m.To.Valid() || m.Epoch < claimEpoch {
		return failf(wire.Malformed, "release without recipient, region or epoch")
	}
	own, err := c.ownership(m.Recipient)
	if err != nil {
		return wire.Result{}, err
	}
	switch {
	case own.State == wire.Released && (own.Region != m.To || own.Epoch != m.Epoch):
		return failf(wire.Conflict, "released to %s at epoch %d", own.Region, own.Epoch)
	case own.State == wire.Owned:
		return failf(wire.Conflict, "claimed by this region at epoch %d", own.Epoch)
	case own.State != wire.Released && m.To == s.cfg.Region:
		return failf(wire.Conflict, "a region does not release to itself")
	case own.State != wire.Released && !s.slots.Load().has(m.Recipient):
		return failf(wire.Conflict, "this region is not the anchor")
	}
	if own.State == wire.Claiming { // the directory decided against this region's own claim
		if err := c.del(recipientKey(pendingPrefix, m.Recipient)); err != nil {
			return wire.Result{}, err
		}
	}
	if own.State != wire.Released {
		own = wire.Ownership{State: wire.Released, Epoch: m.Epoch, Region: m.To}
		if err := s.setOwnership(c, m.Recipient, own); err != nil {
			return wire.Result{}, err
		}
	}
	handover, err := c.handover(m.Recipient, m.After)
	return wire.OK(handover), err
}

// handover collects a page of r's rejections above an id with their idempotency keys. A released
// code gets no new rows, so it is the same every time, but for what expired meanwhile.
func (c *change) handover(r wire.Recipient, above wire.MessageID) (*wire.RowPage, error) {
	first := rejectedKey(r, above)
	upper := after(recipientKey(rejectedPrefix, r))
	rejected, err := c.scan(append(first[:], 0), upper, false, wire.RowPageMax+1)
	if err != nil {
		return nil, err
	}
	h := &wire.RowPage{}
	for _, row := range rejected {
		var rej rejectedRow
		if err := decodeRow(row.Key, row.Value, &rej); err != nil {
			return nil, err
		}
		need := 1
		if !rej.Idempotency.IsZero() {
			need = 2
		}
		if len(h.Rows)+need > wire.RowPageMax {
			h.More = true
			break
		}
		key := wideKey(row.Key)
		h.Rows, h.Last = append(h.Rows, row), key.tail()
		if need == 1 {
			continue
		}
		key = idempotencyKey(r, rej.Idempotency)
		value, ok, err := c.getWide(&key)
		if err != nil {
			return nil, err
		}
		if ok && (c.version < wire.VersionOwners || names(value, h.Last)) {
			h.Rows = append(h.Rows, wire.Row{Key: key[:], Value: append([]byte(nil), value...)})
		}
	}
	return h, nil
}

// importHandover makes this region the owner. Rows that are here already stay: the first
// verdict holds.
func (s *State) importHandover(c *change, m *wire.Import) (wire.Result, error) {
	if m.Recipient.IsZero() || m.Epoch < claimEpoch {
		return failf(wire.Malformed, "import without recipient or epoch")
	}
	own, err := c.ownership(m.Recipient)
	if err != nil {
		return wire.Result{}, err
	}
	switch {
	case own.State == wire.Owned && own.Epoch == m.Epoch:
		return wire.OK(nil), nil
	case own.State != wire.Claiming:
		return failf(wire.Conflict, "no claim is under way; the code is at epoch %d", own.Epoch)
	case m.Anchored && c.version >= wire.VersionAnchored && !s.slots.Load().has(m.Recipient):
		return failf(wire.Conflict, "this region is not the anchor any more")
	case m.Epoch < own.Epoch:
		return failf(wire.Conflict, "import of epoch %d, the claim is of epoch %d", m.Epoch,
			own.Epoch)
	}
	if err := checkHandover(m.Recipient, &m.Page, c.version); err != nil {
		return wire.Fail(err), nil
	}
	for i := range m.Page.Rows {
		if err := s.importRow(c, m.Recipient, &m.Page.Rows[i]); err != nil {
			return wire.Result{}, err
		}
	}
	if m.Page.More { // the claim goes on
		return wire.OK(nil), nil
	}
	own = wire.Ownership{State: wire.Owned, Epoch: m.Epoch}
	if err := s.setOwnership(c, m.Recipient, own); err != nil {
		return wire.Result{}, err
	}
	return wire.OK(nil), c.setPending(m.Recipient, wire.Owned, m.Epoch, false)
}

// importRow takes a rejection or an idempotency key, unless there is a row that stays.
func (s *State) importRow(c *change, r wire.Recipient, row *wire.Row) error {
	key := wideKey(row.Key)
	if key[0] == idempotencyPrefix && c.version >= wire.VersionOwners {
		return s.importKey(c, r, row)
	}
	if _, ok, err := c.getWide(&key); err != nil || ok {
		return err
	}
	if key[0] == rejectedPrefix {
		delivered := inboxKey(r, key.tail())
		if _, ok, err := c.getWide(&delivered); c.version >= wire.VersionOwners && (ok || err != nil) {
			return err // a message has one verdict
		}
		if deleted, err := c.isDeleted(r, key.tail()); deleted || err != nil {
			return err
		}
		c.rejected = append(c.rejected, key[1:]...)
		s.noteID(c, r, key.tail())
	}
	return c.set(row.Key, row.Value)
}

// checkHandover accepts rejections and idempotency keys of r only: what another region hands
// over must not be able to write anything else. Whether a key has a message here is seen when it is
// taken; below VersionOwners, every key must belong to a rejection that comes with it.
func checkHandover(r wire.Recipient, h *wire.RowPage, version uint32) *wire.Error {
	if len(h.Rows) > wire.RowPageMax {
		return wire.Errorf(wire.TooLarge, "handover of %d rows, %d allowed", len(h.Rows),
			wire.RowPageMax)
	}
	uses := map[wideKey]wire.MessageID{} // of the rejections
	keys := map[wideKey]wire.MessageID{}
	for i, row := range h.Rows {
		if !isWide(row.Key) || wire.Recipient(row.Key[1:17]) != r {
			return wire.Malformedf("row %d of a handover is not the citizen's", i)
		}
		key := wideKey(row.Key)
		switch key[0] {
		case rejectedPrefix:
			rej, ok := decodeRejection(row.Value)
			if !ok {
				return wire.Malformedf("row %d of a handover is no rejection", i)
			}
			if !rej.Idempotency.IsZero() {
				uses[idempotencyKey(r, rej.Idempotency)] = key.tail()
			}
		case idempotencyPrefix:
			if len(row.Value) != len(idempotencyRow{}) {
				return wire.Malformedf("row %d of a handover is no idempotency key", i)
			}
			value := idempotencyRow(row.Value)
			keys[key] = value.id()
		default:
			return wire.Malformedf("row %d of a handover is of kind %q", i, key[0])
		}
	}
	for key, id := range keys {
		if version < wire.VersionOwners && uses[key] != id {
			return wire.Malformedf("an idempotency key of a handover belongs to no rejection")
		}
	}
	return nil
}

// decodeRejection reads a rejection that another region made.
func decodeRejection(value []byte) (rej rejectedRow, ok bool) {
	err := wire.Decode(value, &rej)
	return rej, err == nil && string(wire.Encode(&rej)) == string(value) &&
		rej.Service.Valid() && rej.FeatureLevel <= wire.Advanced &&
		(rej.Reason == wire.UserNotFound || rej.Reason == wire.ServiceNotAllowed)
}

func (s *State) pendingDone(c *change, m *wire.PendingDone) (wire.Result, error) {
	key := recipientKey(pendingPrefix, m.Recipient)
	var row pendingRow
	ok, err := c.getRow(key, &row)
	if err != nil || !ok || row.Seq != m.Seq {
		return wire.OK(nil), err // done before, or there is newer work
	}
	return wire.OK(nil), c.del(key)
}

// Pending returns work for the leader, at most limit items.
func (s *State) Pending(limit int) ([]wire.Pending, error) {
	var list []wire.Pending
	lower := []byte{pendingPrefix}
	err := s.db.Iterate(lower, after(lower), false, func(k, v []byte) (bool, error) {
		if len(list) >= limit {
			return false, nil
		}
		var row pendingRow
		if len(k) != 17 {
			return false, errDamaged(k)
		}
		if err := decodeRow(k, v, &row); err != nil {
			return false, err
		}
		list = append(list, wire.Pending{Recipient: wire.Recipient(k[1:]), State: row.State,
			Epoch: row.Epoch, Active: row.Active, Seq: row.Seq})
		return true, nil
	})
	return list, err
}

// PendingChanged returns a channel that is closed when work is added after the call. Take it
// before Pending.
func (s *State) PendingChanged() <-chan struct{} {
	s.pendingMu.Lock()
	defer s.pendingMu.Unlock()
	return s.pending
}

func (s *State) wake() {
	s.pendingMu.Lock()
	defer s.pendingMu.Unlock()
	close(s.pending)
	s.pending = make(chan struct{})
}
