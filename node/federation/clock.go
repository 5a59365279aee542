package federation

import (
	"encoding/binary"
	"fmt"

	"github.com/staffetta/staffetta/internal/codec"
	"github.com/staffetta/staffetta/wire"
)

// clock is the state's time: now is the latest of any entry. Once a time was confirmed it is at
// most wire.TimeStepMax ahead of that one, and only another confirmed one sets it back.
type clock struct {
	now       wire.Time
	confirmed wire.Time // by a majority; 0: none was yet
}

func decodeClock(now, confirmed []byte) (k clock, err error) {
	for _, f := range []struct {
		row []byte
		at  *wire.Time
	}{{now, &k.now}, {confirmed, &k.confirmed}} {
		if len(f.row) != 0 && len(f.row) != 8 {
			return k, fmt.Errorf("damaged row of the time: %d bytes", len(f.row))
		}
		if len(f.row) == 8 {
			*f.at = wire.Time(binary.LittleEndian.Uint64(f.row))
		}
	}
	return k, nil
}

// Clock is the state's time, and the last one that a majority confirmed, 0 for none. Nothing is
// ever left dated in the future.
func (s *State) Clock() (now, confirmed wire.Time, ahead bool) {
	row, _, err := s.db.Get(timeKey)
	if err != nil {
		return 0, 0, false // the store ends the node
	}
	other, _, err := s.db.Get(confirmedKey)
	if err != nil {
		return 0, 0, false
	}
	k, _ := decodeClock(row, other)
	return k.now, k.confirmed, false
}

func (t *tx) loadClock() {
	now, _ := t.get(timeKey)
	confirmed, _ := t.get(confirmedKey)
	k, err := decodeClock(now, confirmed)
	t.now, t.confirmed = k.now, k.confirmed
	t.fail(err)
}

// advance takes the time of an entry.
func (t *tx) advance(to wire.Time) {
	if t.confirmed > 0 {
		to = min(to, t.confirmed.Add(wire.TimeStepMax))
	}
	if to > t.now {
		t.setNow(to)
	}
}

func (t *tx) setNow(to wire.Time) {
	t.now = to
	t.set(timeKey, binary.LittleEndian.AppendUint64(nil, uint64(to)))
}

// confirmTime takes a time that a majority confirmed, and dates anew what was dated in the future.
func (t *tx) confirmTime(m *wire.ConfirmTime) (codec.Message, *wire.Error) {
	if m.At <= 0 {
		return nil, wire.Malformedf("no time")
	}
	ahead := t.now > m.At.Add(wire.TimeBackMin)
	if ahead && t.founded != nil {
		if err := t.redate(m.At); err != nil {
			return nil, err
		}
	}
	if ahead || m.At > t.now {
		t.setNow(m.At)
	}
	t.confirmed = m.At
	t.set(confirmedKey, binary.LittleEndian.AppendUint64(nil, uint64(m.At)))
	return &wire.TimeConfirmed{}, nil
}

// redate gives what is dated later than can be the date at: deals of slots wait from there,
// revocations end there, and no token lasts longer than one that is made now.
func (t *tx) redate(at wire.Time) *wire.Error {
	err := t.changeMap(func(m *wire.Map) *wire.Error {
		for s := range wire.Slot(wire.Slots) {
			if deal, moving := m.SlotDeal(s); moving && deal.At > at {
				deal.At = at
				m.PutSlotDeal(deal)
			}
		}
		for i := range m.Trust.Revoked {
			if r := &m.Trust.Revoked[i]; r.Before > at.Add(wire.SkewMax) {
				r.Before = at
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	t.redatePending(at)
	tokens, failed := listTokens(t.batch)
	t.fail(failed)
	for i := range tokens {
		if k := &tokens[i]; k.Expires > at.Add(wire.TokenAgeMax) {
			k.Expires = at.Add(wire.TokenAgeMax)
			t.set(tokenKey(k.Hash), wire.Encode(k))
		}
	}
	return nil
}
