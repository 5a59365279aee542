package federation

import (
	"encoding/binary"
	"fmt"

	"github.com/staffetta/staffetta/internal/codec"
	"github.com/staffetta/staffetta/wire"
)

// dealSlots names new holders of anchor slots on the map; see wire.DealSlots.
func (t *tx) dealSlots(d *wire.DealSlots) (codec.Message, *wire.Error) {
	if len(d.Slots) > wire.Slots {
		return nil, wire.Errorf(wire.TooLarge, "%d slots, there are %d", len(d.Slots), wire.Slots)
	}
	for _, s := range d.Slots {
		if s >= wire.Slots {
			return nil, wire.Malformedf("no anchor slot %d, there are %d", s, wire.Slots)
		}
	}
	if err := checkRedeal(t.awaited()); err != nil {
		return nil, err
	}
	return nil, t.changeMap(func(m *wire.Map) *wire.Error {
		to, ok := m.RegionByID(d.To)
		if !ok {
			return wire.Errorf(wire.NotFound, "no region %q on the map", d.To)
		}
		for _, s := range d.Slots {
			if err := t.dealSlot(m, s, to, d.Force); err != nil {
				return err
			}
		}
		return nil
	})
}

func (t *tx) dealSlot(m *wire.Map, s wire.Slot, to wire.Region, force bool) *wire.Error {
	deal, moving := m.SlotDeal(s)
	switch ours := m.SlotOwners[s] == to.Tag; {
	case moving && !ours && !force:
		return wire.Errorf(wire.Conflict, "anchor slot %d is on its way to region %s: let it "+
			"arrive first, or, if that region is lost, take it by force", s, m.Anchor(s))
	case moving && ours && force && !deal.Forced:
		deal.Forced, deal.At = true, t.now
		m.PutSlotDeal(deal)
		return nil
	case ours:
		return nil
	}
	if len(m.SlotEpochs) == 0 {
		m.SlotEpochs = make([]uint64, wire.Slots)
		for i := range m.SlotEpochs {
			m.SlotEpochs[i] = wire.SlotEpochFounding
		}
	}
	m.PutSlotDeal(wire.SlotDeal{Slot: s, From: m.SlotOwners[s], At: t.now, Forced: force,
		Stray: moving && !deal.Granted})
	m.SlotOwners[s] = to.Tag
	m.SlotEpochs[s]++
	return nil
}

// settleSlots ends deals; see wire.SettleSlots.
func (t *tx) settleSlots(d *wire.SettleSlots) (codec.Message, *wire.Error) {
	if len(d.Slots) > wire.Slots || len(d.Slots) != len(d.Epochs) {
		return nil, wire.Malformedf("%d slots with %d epochs", len(d.Slots), len(d.Epochs))
	}
	return nil, t.changeMap(func(m *wire.Map) *wire.Error {
		for i, s := range d.Slots {
			deal, moving := m.SlotDeal(s)
			switch {
			case !moving || m.Anchor(s) != d.Region || m.SlotEpoch(s) != d.Epochs[i]:
			case !d.Granted:
				m.DropSlotDeal(s)
			case deal.Forced:
				deal.Granted = true
				m.PutSlotDeal(deal)
			}
		}
		return nil
	})
}

// SlotMarks returns a page of the codes of a slot that are claimed, or being claimed, in order
// after the one given, and whether there are more.
func (s *State) SlotMarks(slot wire.Slot, above wire.Recipient, limit int) (
	marks []wire.SlotMark, more bool, err error) {
	f := s.founded.Load()
	if f == nil {
		return nil, false, wire.Errorf(wire.NotReady, "the federation is not founded yet")
	}
	lower := appendDirectoryKey(nil, wire.Recipient{})
	binary.BigEndian.PutUint16(lower[2:], uint16(slot)<<6)
	if !above.IsZero() {
		lower = append(appendDirectoryKey(nil, above), 0)
	}
	upper := []byte("d0") // above every directory row
	if slot+1 < wire.Slots {
		upper = appendDirectoryKey(nil, wire.Recipient{})
		binary.BigEndian.PutUint16(upper[2:], uint16(slot+1)<<6)
	}
	err = s.db.Iterate(lower, upper, false, func(k, v []byte) (bool, error) {
		if more = len(marks) == limit; more {
			return false, nil
		}
		row, err := decodeDirectoryRow(v)
		if err != nil || len(k) != 2+len(above) {
			return false, fmt.Errorf("federation: damaged directory: %w", err)
		}
		e := row.entry(f)
		marks = append(marks, wire.SlotMark{Recipient: wire.Recipient(k[2:]), Region: e.Region,
			Epoch: e.Epoch})
		return true, nil
	})
	return marks, more, err
}
