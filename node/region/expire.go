package region

import (
	"github.com/staffetta/staffetta/wire"
)

// Expire returns the command that removes what is past its time at now, for the leader to
// propose; due is false when there is nothing to remove, so that an idle region writes no ticks.
// One command may not reach it all: ask again.
func (s *State) DueExpiry(now wire.Time) (e wire.Expire, due bool) {
	e.RejectionsBefore = now.Add(-s.cfg.RejectionRetention)
	found := func(kind byte, until wire.Time) bool {
		lower, upper := dueRange(kind, until)
		any := false
		err := s.db.Iterate(lower, upper, false, func(_, _ []byte) (bool, error) {
			any = true
			return false, nil
		})
		return any && err == nil
	}
	return e, found(dueSession, now) || found(dueRejected, e.RejectionsBefore)
}

// Due reports whether an Expire has work at now.
func (s *State) Due(now wire.Time) bool {
	_, due := s.DueExpiry(now)
	return due
}

// expire removes sessions and rejections that are due. How long rejections are kept is the
// leader's setting, so the command carries it: replicas that were configured differently still
// do the same. The state's own clock bounds it, which an entry moves by an hour at most.
func (s *State) expire(c *change, e *wire.Expire) (wire.Result, error) {
	left := expireRowsMax
	lower, upper := dueRange(dueSession, c.clock.Expiry)
	rows, err := c.scan(lower, upper, false, left)
	if err != nil {
		return wire.Result{}, err
	}
	for _, row := range rows {
		if err := c.expireSession(row.Key, row.Value); err != nil {
			return wire.Result{}, err
		}
	}
	left -= len(rows)
	before := e.RejectionsBefore
	if before == 0 {
		before = c.clock.Now.Add(-RejectionRetention)
	}
	lower, upper = dueRange(dueRejected, min(before, c.clock.Expiry))
	if before < 0 {
		return wire.OK(nil), nil
	}
	for left > 0 {
		rows, err := c.scan(lower, upper, false, 1)
		if err != nil || len(rows) == 0 {
			return wire.OK(nil), err
		}
		n, err := c.expireRejections(rows[0].Key, rows[0].Value)
		if err != nil {
			return wire.Result{}, err
		}
		left -= n
	}
	return wire.OK(nil), nil
}

func (c *change) expireSession(key, value []byte) error {
	if len(key) != 42 || len(value) != len(wire.Recipient{}) {
		return errDamaged(key)
	}
	token, r := wire.TokenHash(key[10:]), wire.Recipient(value)
	if err := c.expireMember(r, token); err != nil {
		return err
	}
	if err := c.del(key); err != nil {
		return err
	}
	if err := c.del(sessionKey(token)); err != nil {
		return err
	}
	if err := c.delIfThere(forwardKey(token)); err != nil {
		return err
	}
	current := recipientKey(currentPrefix, r)
	v, ok, err := c.get(current)
	if err != nil || !ok || string(v) != string(token[:]) {
		return err // a newer session took its place
	}
	return c.del(current)
}

// expireMember removes a session that is due, or left, from its citizen's set.
func (c *change) expireMember(r wire.Recipient, token wire.TokenHash) error {
	var t wire.Session
	ok, err := c.getRow(sessionKey(token), &t)
	if err == nil && !ok {
		var f forwardRow
		_, err = c.getRow(forwardKey(token), &f)
		t = f.Session
	}
	if err != nil || t.ID == (wire.SessionID{}) {
		return err
	}
	return c.del(memberKey(r, t.ID))
}

// expireRejections removes the rejections of a due row with their idempotency keys.
func (c *change) expireRejections(key, value []byte) (n int, err error) {
	keys, ok := cutDue(value)
	if !ok {
		return 0, errDamaged(key)
	}
	for i := range keys {
		k := &keys[i]
		v, ok, err := c.getWide(k)
		if err != nil {
			return n, err
		}
		if !ok {
			continue
		}
		var row rejectedRow
		if err := decodeRow(k[:], v, &row); err != nil {
			return n, err
		}
		if err := c.del(k[:]); err != nil {
			return n, err
		}
		n++
		if row.Idempotency.IsZero() {
			continue
		}
		if err := c.dropIdempotency(wire.Recipient(k[1:17]), row.Idempotency, k.tail()); err != nil {
			return n, err
		}
	}
	return n + 1, c.del(key)
}

// dropIdempotency removes a key if it still names the message.
func (c *change) dropIdempotency(r wire.Recipient, i wire.Idempotency, id wire.MessageID) error {
	key := idempotencyKey(r, i)
	v, ok, err := c.getWide(&key)
	if err != nil || !ok {
		return err
	}
	if len(v) != len(idempotencyRow{}) {
		return errDamaged(key[:])
	}
	if row := idempotencyRow(v); row.id() != id {
		return nil
	}
	return c.del(key[:])
}
