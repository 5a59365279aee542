package region

import (
	"encoding/binary"
	"slices"

	"github.com/staffetta/staffetta/wire"
)

// slotTable is what the log says of the anchor slots: the epoch of the last grant or fence of
// each, plus one (0: there was none), and whether the region holds it.
type slotTable struct {
	next [wire.Slots]uint64
	held [wire.Slots]bool
}

func (t *slotTable) has(r wire.Recipient) bool { return t.held[r.Slot()] }

// put reads a row of the state.
func (t *slotTable) put(key, value []byte) error {
	epoch, held, ok := decodeSlot(value)
	if len(key) != 3 || !ok {
		return errDamaged(key)
	}
	slot := binary.BigEndian.Uint16(key[1:])
	if slot >= wire.Slots {
		return errDamaged(key)
	}
	t.next[slot], t.held[slot] = epoch+1, held
	return nil
}

// A slot's row is its epoch, and for a fenced one a zero behind it.
func encodeSlot(epoch uint64, held bool) []byte {
	v := binary.BigEndian.AppendUint64(nil, epoch)
	if !held {
		v = append(v, 0)
	}
	return v
}

func decodeSlot(v []byte) (epoch uint64, held, ok bool) {
	if len(v) != 8 && (len(v) != 9 || v[8] != 0) {
		return 0, false, false
	}
	return binary.BigEndian.Uint64(v), len(v) == 8, true
}

// setSlots logs grants or fences of slots at an epoch; those that are at it, or past it, stay.
func (s *State) setSlots(c *change, slots []wire.Slot, epoch uint64, held bool) error {
	table := *s.slots.Load()
	for _, slot := range slots {
		if table.next[slot] > epoch {
			continue
		}
		table.next[slot], table.held[slot] = epoch+1, held
		if err := c.set(slotKey(slot), encodeSlot(epoch, held)); err != nil {
			return err
		}
	}
	s.slots.Store(&table)
	return nil
}

// grantSlots makes the region the anchor of slots that the founding map deals to it.
func (s *State) grantSlots(c *change, m *wire.GrantSlots) (wire.Result, error) {
	if len(m.Slots) > wire.Slots {
		return failf(wire.TooLarge, "%d slots, there are %d", len(m.Slots), wire.Slots)
	}
	for _, slot := range m.Slots {
		if err := checkSlot(slot, m.SlotEpoch); err != nil {
			return wire.Fail(err), nil
		}
	}
	return wire.OK(nil), s.setSlots(c, m.Slots, m.SlotEpoch, true)
}

func checkSlot(slot wire.Slot, epoch uint64) *wire.Error {
	if slot >= wire.Slots {
		return wire.Malformedf("no slot %d, there are %d", slot, wire.Slots)
	}
	if epoch+1 == 0 {
		return wire.Malformedf("slot epoch %d", epoch)
	}
	return nil
}

// fenceSlot ends the region's hold on a slot: from here on it decides nothing for the slot's
// unclaimed codes.
func (s *State) fenceSlot(c *change, m *wire.FenceSlot) (wire.Result, error) {
	if err := checkSlot(m.Slot, m.Epoch); err != nil {
		return wire.Fail(err), nil
	}
	if t := s.slots.Load(); t.next[m.Slot] == m.Epoch+1 && t.held[m.Slot] {
		return failf(wire.Conflict, "this region holds slot %d at epoch %d itself", m.Slot, m.Epoch)
	}
	return wire.OK(nil), s.setSlots(c, []wire.Slot{m.Slot}, m.Epoch, false)
}

// importSlot takes over what the old holder of a slot knew, or what the directory says; the last
// page makes the region the holder.
func (s *State) importSlot(c *change, m *wire.ImportSlot) (wire.Result, error) {
	if err := checkSlot(m.Slot, m.Epoch); err != nil {
		return wire.Fail(err), nil
	}
	if t := s.slots.Load(); t.next[m.Slot] > m.Epoch &&
		(t.next[m.Slot] != m.Epoch+1 || !t.held[m.Slot]) {
		return failf(wire.Conflict, "slot %d is at epoch %d", m.Slot, t.next[m.Slot]-1)
	}
	marks, err := s.checkSlotRows(m, c.version)
	if err != nil {
		return wire.Fail(err), nil
	}
	for i := range marks {
		if err := s.importMark(c, &marks[i]); err != nil {
			return wire.Result{}, err
		}
	}
	for i := range m.Rows {
		row := &m.Rows[i]
		if row.Key[0] == ownerPrefix {
			continue
		}
		r := wire.Recipient(row.Key[1:17])
		own, err := c.ownership(r)
		if err != nil {
			return wire.Result{}, err
		}
		if own.State != wire.NotOwned && own.State != wire.Claiming {
			continue // claimed since: its owner has what there was to have
		}
		if err := s.importRow(c, r, row); err != nil {
			return wire.Result{}, err
		}
	}
	if m.More {
		return wire.OK(nil), nil
	}
	return wire.OK(nil), s.setSlots(c, []wire.Slot{m.Slot}, m.Epoch, true)
}

// importMark notes that another region has a code of the slot. A claim of this region that is
// under way has lost against it.
func (s *State) importMark(c *change, m *wire.SlotMark) error {
	own, err := c.ownership(m.Recipient)
	if err != nil || m.Region == s.cfg.Region {
		return err
	}
	switch own.State {
	case wire.NotOwned:
	case wire.Claiming:
		if err := c.del(recipientKey(pendingPrefix, m.Recipient)); err != nil {
			return err
		}
	default:
		return nil
	}
	return s.setOwnership(c, m.Recipient, wire.Ownership{State: wire.Released, Epoch: m.Epoch,
		Region: m.Region})
}

// checkSlotRows accepts marks, rejections and idempotency keys of codes of the slot only: what
// another region hands over must not be able to write anything else.
func (s *State) checkSlotRows(m *wire.ImportSlot, version uint32) ([]wire.SlotMark,
	*wire.Error) {
	if len(m.Rows) > 2*wire.SlotRowsMax || len(m.Marks) > wire.SlotRowsMax {
		return nil, wire.Errorf(wire.TooLarge, "page of a slot of %d rows and %d marks",
			len(m.Rows), len(m.Marks))
	}
	marks := slices.Clone(m.Marks)
	byCode := map[wire.Recipient]*wire.RowPage{}
	for i, row := range m.Rows {
		if len(row.Key) < 17 {
			return nil, wire.Malformedf("row %d of a slot has no code", i)
		}
		r := wire.Recipient(row.Key[1:17])
		if r.Slot() != m.Slot {
			return nil, wire.Malformedf("row %d of a slot is another slot's", i)
		}
		if row.Key[0] == ownerPrefix && len(row.Key) == 17 {
			var o ownerRow
			if err := wire.Decode(row.Value, &o); err != nil ||
				o.Ownership.State != wire.Released {
				return nil, wire.Malformedf("row %d of a slot is no mark", i)
			}
			marks = append(marks, wire.SlotMark{Recipient: r, Region: o.Ownership.Region,
				Epoch: o.Ownership.Epoch})
			continue
		}
		if byCode[r] == nil {
			byCode[r] = &wire.RowPage{}
		}
		byCode[r].Rows = append(byCode[r].Rows, row)
	}
	for i := range marks {
		if k := &marks[i]; k.Recipient.Slot() != m.Slot || !k.Region.Valid() ||
			k.Epoch < claimEpoch {
			return nil, wire.Malformedf("mark %d of a slot is another slot's, or names no owner", i)
		}
	}
	for r, h := range byCode {
		if err := checkHandover(r, h, version); err != nil {
			return nil, err
		}
	}
	return marks, nil
}

// HandOverSlot returns a page of what the region knows about a slot that it has fenced for the
// holder of an epoch: marks, then rejections with their idempotency keys. Conflict when it has not.
func (s *State) HandOverSlot(q wire.HandOverSlot) (*wire.SlotPage, error) {
	if err := checkSlot(q.Slot, q.Epoch); err != nil {
		return nil, err
	}
	if t := s.slots.Load(); t.next[q.Slot] <= q.Epoch || t.held[q.Slot] {
		return nil, wire.Errorf(wire.Conflict, "slot %d is not fenced for epoch %d", q.Slot, q.Epoch)
	}
	page := &wire.SlotPage{}
	if len(q.After) == 0 || q.After[0] == ownerPrefix {
		if err := s.slotMarks(page, q); err != nil || page.More {
			return page, err
		}
	}
	return page, s.slotRejections(page, q)
}

// slotRange holds the keys of a prefix whose codes are of a slot, above the one given if it is of
// the same prefix.
func slotRange(prefix byte, slot wire.Slot, above []byte) (lower, upper []byte) {
	lower = binary.BigEndian.AppendUint16([]byte{prefix}, uint16(slot)<<6)
	upper = []byte{prefix + 1}
	if slot+1 < wire.Slots {
		upper = binary.BigEndian.AppendUint16([]byte{prefix}, uint16(slot+1)<<6)
	}
	if len(above) > 0 && above[0] == prefix {
		lower = append(slices.Clone(above), 0)
	}
	return lower, upper
}

func (s *State) slotMarks(page *wire.SlotPage, q wire.HandOverSlot) error {
	lower, upper := slotRange(ownerPrefix, q.Slot, q.After)
	return s.db.Iterate(lower, upper, false, func(k, v []byte) (bool, error) {
		if page.More = len(page.Rows) >= wire.SlotRowsMax; page.More {
			return false, nil
		}
		var row ownerRow
		if err := decodeRow(k, v, &row); err != nil {
			return false, err
		}
		page.Last = slices.Clone(k)
		own, claimed := s.mark(row.Ownership)
		if claimed {
			page.Rows = append(page.Rows, wire.Row{Key: page.Last,
				Value: wire.Encode(&ownerRow{Ownership: own})})
		}
		return true, nil
	})
}

// mark is what another anchor has to know of a code: who owns it, unless nobody does.
func (s *State) mark(own wire.Ownership) (mark wire.Ownership, claimed bool) {
	switch own.State {
	case wire.NotOwned, wire.Claiming:
		return own, false
	case wire.Released:
		return own, true
	}
	return wire.Ownership{State: wire.Released, Epoch: own.Epoch, Region: s.cfg.Region}, true
}

func (s *State) slotRejections(page *wire.SlotPage, q wire.HandOverSlot) error {
	lower, upper := slotRange(rejectedPrefix, q.Slot, q.After)
	var of wire.Recipient // whose rows are being read
	skip := false
	return s.db.Iterate(lower, upper, false, func(k, v []byte) (bool, error) {
		if page.More = len(page.Rows) >= wire.SlotRowsMax; page.More {
			return false, nil
		}
		var rej rejectedRow
		if err := decodeRow(k, v, &rej); err != nil {
			return false, err
		}
		page.Last = slices.Clone(k)
		if r := wire.Recipient(k[1:17]); r != of {
			own, _, err := s.Ownership(r)
			if err != nil {
				return false, err
			}
			_, claimed := s.mark(own)
			of, skip = r, claimed
		}
		if skip {
			return true, nil
		}
		page.Rows = append(page.Rows, wire.Row{Key: page.Last, Value: slices.Clone(v)})
		if rej.Idempotency.IsZero() {
			return true, nil
		}
		key := idempotencyKey(of, rej.Idempotency)
		value, ok, err := s.db.Get(key[:])
		if err != nil || !ok {
			return err == nil, err
		}
		if names(value, wire.MessageID(k[17:])) {
			page.Rows = append(page.Rows, wire.Row{Key: key[:], Value: slices.Clone(value)})
		}
		return true, nil
	})
}

// Slots is how many anchor slots the region holds.
func (s *State) Slots() int {
	n := 0
	for _, held := range s.slots.Load().held {
		if held {
			n++
		}
	}
	return n
}

// SlotAt is the epoch of a slot's last grant or fence in the region's log, 0 for none, and
// whether the region holds it.
func (s *State) SlotAt(slot wire.Slot) (epoch uint64, held bool) {
	t := s.slots.Load()
	if t.next[slot] == 0 {
		return 0, false
	}
	return t.next[slot] - 1, t.held[slot]
}

// SlotsChanged returns a value that differs from earlier ones when slots were granted or fenced.
func (s *State) SlotsChanged() any { return s.slots.Load() }
