package region

import (
	"github.com/staffetta/staffetta/internal/codec"
	"github.com/staffetta/staffetta/wire"
)

// clock is the state's time.
type clock struct {
	// Now is the latest time of any entry. Once a time was confirmed it is at most
	// wire.TimeStepMax ahead of that one, and only another confirmed one sets it back.
	Now wire.Time
	// Expiry follows Now by at most an hour per entry: one leader with a wrong clock cannot make
	// everything expire at once.
	Expiry wire.Time
	// NewestID is the latest time in any message id, for the filter of recent ids.
	NewestID wire.Time
	// Confirmed is the last time that a majority confirmed; 0: none was yet.
	Confirmed wire.Time
	// Ahead is how far in the future rows may be dated, since Now was; 0: none is.
	Ahead wire.Time
}

// Fields declares the row.
func (t *clock) Fields(c *codec.Codec) {
	codec.Int(c, 1, &t.Now)
	codec.Int(c, 2, &t.Expiry)
	codec.Int(c, 3, &t.NewestID)
	codec.Int(c, 4, &t.Confirmed)
	codec.Int(c, 5, &t.Ahead)
}

// advance takes the time of an entry.
func (t *clock) advance(to wire.Time) {
	if t.Confirmed > 0 {
		to = min(to, t.Confirmed.Add(wire.TimeStepMax))
	}
	t.Now = max(t.Now, to)
	if t.Expiry == 0 {
		t.Expiry = t.Now // the first entry: nothing can be due yet
		return
	}
	t.Expiry = min(t.Now, t.Expiry.Add(wire.ExpiryStepMax))
}

// confirm takes a time that a majority confirmed.
func (t *clock) confirm(at wire.Time) {
	t.Confirmed = at
	if t.Now <= at.Add(wire.TimeBackMin) {
		t.Now = max(t.Now, at)
		return
	}
	t.Ahead = max(t.Ahead, t.Now)
	t.Now, t.Expiry = at, min(t.Expiry, at)
	t.NewestID = min(t.NewestID, at.Add(wire.SkewMax))
}

// Clock is the state's time, the last one that a majority confirmed, 0 for none, and whether rows
// may be dated in the future.
func (s *State) Clock() (now, confirmed wire.Time, ahead bool) {
	t := s.clock.Load()
	return t.Now, t.Confirmed, t.Ahead > 0
}

// confirmTime sets the state's time, and dates anew what was dated in the future.
func (s *State) confirmTime(c *change, m *wire.ConfirmTime) (wire.Result, error) {
	if m.At <= 0 {
		return failf(wire.Malformed, "no time")
	}
	c.clock.confirm(m.At)
	if c.clock.Ahead == 0 {
		return wire.OK(&wire.TimeConfirmed{}), nil
	}
	d := redating{c: c, at: c.clock.Now, left: redateRowsMax}
	for _, f := range []func() error{d.sessions, d.rejections, d.stubs, d.remains, d.erasures,
		d.keys, d.moves, d.waiting} {
		if err := f(); err != nil {
			return wire.Result{}, err
		}
	}
	if d.left > 0 {
		c.clock.Ahead = 0
	}
	return wire.OK(&wire.TimeConfirmed{More: d.left <= 0}), nil
}
