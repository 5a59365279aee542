package region

import (
	"github.com/staffetta/staffetta/internal/codec"
	"github.com/staffetta/staffetta/wire"
)

// What was dated in the future is dated anew when the state's time goes back. Every stored time is
// here, or stands in times_test.go with why it may stay as it is.

// redateRowsMax bounds the rows that one entry dates anew.
const redateRowsMax = 1024

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
	lower := regionKeyKey(0)[:2]
	return redate(d, lower, func(k *wire.PrivateRegionKey) *wire.Time { return &k.At })
}

// moves are under way: one that hangs is noticed by its age.
func (d *redating) moves() error {
	return redate(d, []byte{movePrefix, moveOut}, func(m *wire.Move) *wire.Time { return &m.Since })
}

// waiting are the blocks of the spool: it takes no more for an owner whose oldest is old.
func (d *redating) waiting() error {
	lower := []byte{spoolPrefix, spoolQueues}
	return redate(d, lower, func(q *spoolQueueRow) *wire.Time { return &q.At })
}

// redate dates the rows anew whose keys begin with prefix; at is where one has its date.
func redate[T any, R interface {
	*T
	codec.Message
}](d *redating, prefix []byte, at func(R) *wire.Time) error {
	for lower, upper := prefix, after(prefix); d.left > 0; {
		rows, err := d.c.scan(lower, upper, false, redateRowsMax)
		if err != nil || len(rows) == 0 {
			return err
		}
		for i := 0; i < len(rows) && d.left > 0; i++ {
			r := R(new(T))
			if err := decodeRow(rows[i].Key, rows[i].Value, r); err != nil {
				return err
			}
			if t := at(r); *t > d.at {
				*t = d.at
				d.left--
				if err := d.c.setRow(rows[i].Key, r); err != nil {
					return err
				}
			}
		}
		lower = append(rows[len(rows)-1].Key, 0)
	}
	return nil
}
