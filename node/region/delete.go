package region

import (
	"bytes"

	"github.com/staffetta/staffetta/internal/codec"
	"github.com/staffetta/staffetta/wire"
)

// A message that its citizen deletes loses its rows at once, and its record with the next rewrite
// of its block, as what remains of a citizen who moved away does. What stays is a row in their
// place: the id keeps its verdict, so that a retry, a late copy of an earlier owner and the
// sender's idempotency key meet it as before, and the message does not come back.

// deletedRow is what is left of a deleted message: what a read by its sender needs.
type deletedRow struct {
	Service      wire.ServiceID
	TimeToLive   uint32
	FeatureLevel wire.FeatureLevel
	At           wire.Time
}

// Fields declares the row.
func (d *deletedRow) Fields(c *codec.Codec) {
	codec.String(c, 1, &d.Service)
	codec.Uint(c, 2, &d.TimeToLive)
	codec.Uint(c, 3, &d.FeatureLevel)
	codec.Int(c, 4, &d.At)
}

func deletedKey(r wire.Recipient, id wire.MessageID) wideKey {
	return newWideKey(deletedPrefix, r, id)
}

// deleteMessage deletes a message of the session's citizen.
func (s *State) deleteMessage(c *change, m *wire.DeleteMessage) (wire.Result, error) {
	r, _, refusal, err := s.citizenOf(c, m.Token)
	if err != nil || refusal != nil {
		return wire.Fail(refusal), err
	}
	key := inboxKey(r, m.ID)
	v, there, err := c.getWide(&key)
	if err != nil {
		return wire.Result{}, err
	}
	if !there {
		deleted, err := c.isDeleted(r, m.ID)
		if err != nil || deleted {
			return wire.OK(nil), err
		}
		return failf(wire.NotFound, "no such message")
	}
	row := wire.Row{Key: key[:], Value: bytes.Clone(v)}
	var at inboxRow
	if err := decodeRow(row.Key, row.Value, &at); err != nil {
		return wire.Result{}, err
	}
	if err := c.eraseRecord(row); err != nil {
		return wire.Result{}, err
	}
	left := deletedKey(r, m.ID)
	err = c.setRow(left[:], &deletedRow{Service: at.Service, TimeToLive: at.TimeToLive,
		FeatureLevel: at.FeatureLevel, At: c.clock.Now})
	if err != nil {
		return wire.Result{}, err
	}
	for _, k := range [][]byte{statusKey(r, m.ID), lateKey(r, m.ID)} {
		if err := c.delIfThere(k); err != nil {
			return wire.Result{}, err
		}
	}
	return wire.OK(nil), c.del(key[:])
}

// isDeleted reports whether the citizen deleted a message.
func (c *change) isDeleted(r wire.Recipient, id wire.MessageID) (bool, error) {
	key := deletedKey(r, id)
	_, ok, err := c.getWide(&key)
	return ok, err
}

// findDeleted is FindMessage of a deleted message: its verdict stays, its content is the citizen's
// to keep or not.
func (s *State) findDeleted(q wire.FindMessage) (view *wire.MessageView, ok bool, err error) {
	key := deletedKey(q.Recipient, q.ID)
	var row deletedRow
	if ok, err = s.getRow(key[:], &row); err != nil || !ok {
		return nil, false, err
	}
	return &wire.MessageView{ID: q.ID, Service: row.Service, Verdict: processed,
		TimeToLive: row.TimeToLive, FeatureLevel: row.FeatureLevel}, true, nil
}

func (p *pageCheck) deleted(row *wire.Row) (ok bool, err error) {
	var d deletedRow
	return isWide(row.Key) && wire.Decode(row.Value, &d) == nil && d.Service.Valid() &&
		d.FeatureLevel <= wire.Advanced, nil
}

// deleted stores what is left of a message that the old owner's citizen deleted, unless the message
// is here: it has one verdict, and no honest region has both.
func (t *taking) deleted(row *wire.Row) error {
	id := wire.MessageID(row.Key[17:])
	if there, err := t.c.delivered(t.r, id); err != nil || there {
		return err
	}
	if err := t.c.delRejection(t.r, id); err != nil {
		return err
	}
	t.s.noteID(t.c, t.r, id)
	return t.asItIs(row)
}

// missingDeleted stores one of a message that the region has not decided.
func (t *taking) missingDeleted(row *wire.Row) error {
	_, known, err := lookUp(t.r, wire.MessageID(row.Key[17:]), t.c.getWide)
	if err != nil || known {
		return err
	}
	return t.deleted(row)
}
