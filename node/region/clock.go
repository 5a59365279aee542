package region

import (
	"encoding/binary"

	"github.com/staffetta/staffetta/internal/codec"
	"github.com/staffetta/staffetta/wire"
)

// redateRowsMax bounds the rows that one entry dates anew.
const redateRowsMax = 1024

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
		d.keys} {
		if err := f(); err != nil {
			return wire.Result{}, err
		}
	}
	if d.left > 0 {
		c.clock.Ahead = 0
	}
	return wire.OK(&wire.TimeConfirmed{More: d.left <= 0}), nil
}

// redating gives rows that are dated after at the date at.
type redating struct {
	c    *change
	at   wire.Time
	left int // rows that this entry may still write
}

// due are the due rows of a kind after a time.
func (d *redating) due(kind byte, after wire.Time) ([]wire.Row, error) {
	if d.left <= 0 {
		return nil, nil
	}
	_, lower := dueRange(kind, after)
	return d.c.scan(lower, []byte{duePrefix, kind + 1}, false, d.left)
}

// move dates a due row at, and joins it to one that is there.
func (d *redating) move(kind byte, row *wire.Row) error {
	d.left--
	if err := d.c.del(row.Key); err != nil {
		return err
	}
	key := dueKey(kind, d.at, row.Key[10:])
	there, ok, err := d.c.get(key)
	if err != nil {
		return err
	}
	if ok {
		row.Value = append(append([]byte(nil), there...), row.Value...)
	}
	return d.c.set(key, row.Value)
}

// sessions ends those that last longer than any login may ask for.
func (d *redating) sessions() error {
	rows, err := d.due(dueSession, d.at.Add(SessionMax))
	for i := range rows {
		if err = d.c.expireSession(rows[i].Key, rows[i].Value); err != nil {
			return err
		}
		d.left--
	}
	return err
}

func (d *redating) rejections() error {
	rows, err := d.due(dueRejected, d.at)
	for i := 0; i < len(rows) && d.left > 0 && err == nil; i++ {
		keys, ok := cutDue(rows[i].Value)
		if !ok || len(rows[i].Key) != 18 {
			return errDamaged(rows[i].Key)
		}
		for j := range keys {
			if err := d.rejection(&keys[j]); err != nil {
				return err
			}
		}
		err = d.move(dueRejected, &rows[i])
	}
	return err
}

func (d *redating) rejection(k *wideKey) error {
	v, ok, err := d.c.getWide(k)
	if err != nil || !ok {
		return err
	}
	var r rejectedRow
	if err := decodeRow(k[:], v, &r); err != nil || r.At <= d.at {
		return err
	}
	r.At = d.at
	d.left--
	return d.c.setRow(k[:], &r)
}

func (d *redating) stubs() error {
	rows, err := d.due(dueStub, d.at)
	for i := 0; i < len(rows) && err == nil; i++ {
		if len(rows[i].Key) != 18 {
			return errDamaged(rows[i].Key)
		}
		err = d.move(dueStub, &rows[i])
	}
	return err
}

func (d *redating) remains() error {
	rows, err := d.due(dueRemains, d.at)
	for i := 0; i < len(rows) && err == nil; i++ {
		if len(rows[i].Key) != 26 {
			return errDamaged(rows[i].Key)
		}
		if err := d.c.del(rows[i].Key); err != nil {
			return err
		}
		d.left--
		err = d.c.setRemains(wire.Recipient(rows[i].Key[10:]), d.at)
	}
	return err
}

// erasures come in the order of their blocks, so those of the future are the last ones.
func (d *redating) erasures() error {
	lower := []byte{duePrefix, dueErasure}
	for upper := after(lower); d.left > 0; {
		rows, err := d.c.scan(lower, upper, true, 1)
		if err != nil || len(rows) == 0 {
			return err
		}
		var r erasureRow
		if err := decodeRow(rows[0].Key, rows[0].Value, &r); err != nil || r.At <= d.at {
			return err
		}
		r.At = d.at
		if err := d.c.setRow(rows[0].Key, &r); err != nil {
			return err
		}
		upper, d.left = rows[0].Key, d.left-1
	}
	return nil
}

// keys are the region's own: a new one is made when the newest is old.
func (d *redating) keys() error {
	lower := regionKeyKey(0)
	rows, err := d.c.scan(lower, after(lower[:2]), false, wire.RegionKeysMax)
	for i := 0; i < len(rows) && err == nil; i++ {
		var k wire.PrivateRegionKey
		if err = decodeRow(rows[i].Key, rows[i].Value, &k); err == nil && k.At > d.at {
			k.At = d.at
			err = d.c.setRow(regionKeyKey(binary.BigEndian.Uint32(rows[i].Key[2:])), &k)
		}
	}
	return err
}
