package region

import (
	"bytes"
	"encoding/binary"

	"github.com/staffetta/staffetta/wire"
)

// spoolDone takes a block out of the spool, after its owner has decided every record or sealed it
// to another region. Nothing changes when the block is gone already: the first one was logged.
func (s *State) spoolDone(c *change, m *wire.SpoolDone) (wire.Result, error) {
	key := spoolBlockKey(m.Seq)
	value, ok, err := c.get(key)
	if err != nil || !ok {
		return wire.OK(nil), err
	}
	var row spoolBlockRow
	if err := decodeRow(key, bytes.Clone(value), &row); err != nil {
		return wire.Result{}, err
	}
	if refused := s.checkDone(m, &row); refused != nil {
		return wire.Fail(refused), nil
	}
	offered, err := blockOffered(c.get, c.version, row.Sealed.Owner, m.Seq)
	if err != nil {
		return wire.Result{}, err
	}
	if err := dropSpooled(c, m.Seq, &row); err != nil {
		return wire.Result{}, err
	}
	for i := range m.Resealed {
		if err := replaceSpooled(c, &m.Resealed[i], &row, offered); err != nil {
			return wire.Result{}, err
		}
	}
	var decided []byte
	for i, o := range m.Outcomes {
		if o.Kind == wire.NotOwner {
			continue
		}
		k := row.message(i)
		ok, err := s.settleStub(c, &k, o, row.Sealed.Owner)
		if err != nil {
			return wire.Result{}, err
		}
		if ok {
			decided = append(decided, k[1:]...)
		}
	}
	if len(decided) == 0 {
		return wire.OK(nil), nil
	}
	return wire.OK(nil), c.set(dueStubKey(c.clock.Now, m.Seq), decided)
}

// checkDone finds out whether every record of the block is accounted for.
func (s *State) checkDone(m *wire.SpoolDone, row *spoolBlockRow) *wire.Error {
	if m.Owner != row.Sealed.Owner || len(m.Outcomes) != row.records() {
		return wire.Malformedf("%d outcomes of region %s for spooled block %d, which has %d of %s",
			len(m.Outcomes), m.Owner, m.Seq, row.records(), row.Sealed.Owner)
	}
	var elsewhere positions
	for i := range m.Resealed {
		sealed := &m.Resealed[i].Sealed
		if err := sealed.Validate(); err != nil {
			return wire.AsError(err)
		}
		if sealed.Home != s.cfg.Region {
			return wire.Malformedf("spooled block %d was sealed for another spool", m.Seq)
		}
		for _, p := range m.Resealed[i].Positions {
			if int(p) >= len(m.Outcomes) || elsewhere.has(int(p)) {
				return wire.Malformedf("spooled block %d was sealed anew with record %d", m.Seq, p)
			}
			elsewhere.add(int(p))
		}
	}
	for i := range m.Outcomes {
		o := &m.Outcomes[i]
		settled := o.Kind == wire.KeyConflict || o.Kind == wire.Decided && !o.ID.IsZero() &&
			(o.Verdict.Status == wire.Processed || o.Verdict.Status == wire.Rejected)
		moved := o.Kind == wire.NotOwner && elsewhere.has(i)
		if !settled && !moved || settled && elsewhere.has(i) {
			return wire.Malformedf("record %d of spooled block %d is not accounted for", i, m.Seq)
		}
	}
	return nil
}

// dropSpooled removes a block from its queue, with its bytes.
func dropSpooled(c *change, seq uint64, row *spoolBlockRow) error {
	owner := row.Sealed.Owner
	var n spoolCounter
	if _, err := c.getRow(spoolCounterKey(), &n); err != nil {
		return err
	}
	n.Bytes -= row.size()
	if err := c.setRow(spoolCounterKey(), &n); err != nil {
		return err
	}
	var total spoolTotalRow
	if _, err := c.getRow(spoolTotalKey(owner), &total); err != nil {
		return err
	}
	total.Blocks--
	total.Records -= uint64(row.records())
	total.Bytes -= row.size()
	if total.First == seq {
		total.First++
	}
	var err error
	if total.Blocks == 0 {
		err = c.del(spoolTotalKey(owner))
	} else {
		err = c.setRow(spoolTotalKey(owner), &total)
	}
	if err != nil {
		return err
	}
	if err := c.del(spoolQueueKey(owner, seq)); err != nil {
		return err
	}
	return c.del(spoolBlockKey(seq))
}

// replaceSpooled keeps a block that the old owner made of some records for a new one. They have
// waited since the old block came. What was offered stays so: the old owner may have decided it
// before the code went on, and the new one has that then.
func replaceSpooled(c *change, m *wire.Resealed, old *spoolBlockRow, offered bool) error {
	row := spoolBlockRow{Sealed: m.Sealed, At: min(old.At, c.clock.Now)} // see redate.go
	for _, p := range m.Positions {
		k := old.message(int(p))
		row.Messages = append(row.Messages, k[1:]...)
	}
	seq, err := putSpooled(c, &row, offered)
	if err != nil {
		return err
	}
	for i := range row.records() {
		k := row.message(i)
		stub, ok, err := getStub(c.get, k)
		if err != nil {
			return err
		}
		if !ok || stub.RelayedAt != 0 {
			continue
		}
		stub.Owner, stub.Seq, stub.KeyID = m.Sealed.Owner, seq, m.Sealed.KeyID
		if err := c.setRow(k[:], &stub); err != nil {
			return err
		}
	}
	return nil
}

// settleStub notes what the owner decided of a message; false when there is nothing to note.
func (s *State) settleStub(c *change, k *wideKey, o wire.Outcome, owner wire.RegionID) (bool,
	error) {
	stub, ok, err := getStub(c.get, *k)
	if err != nil || !ok || stub.RelayedAt != 0 {
		return false, err
	}
	stub.Owner, stub.RelayedAt = owner, max(c.clock.Now, 1)
	if o.Kind == wire.KeyConflict {
		// The key is another message's, so this one must not answer for it any more.
		stub.Verdict, stub.Alias = wire.Verdict{Status: wire.Failed}, wire.MessageID{}
		if err := c.dropStubIdempotency(k, &stub); err != nil {
			return false, err
		}
	} else if stub.Verdict = o.Verdict; o.ID != k.tail() {
		stub.Alias = o.ID
	}
	return true, c.setRow(k[:], &stub)
}

// dropStubIdempotency removes a stub's idempotency key if it names the stub.
func (c *change) dropStubIdempotency(k *wideKey, stub *stubRow) error {
	if stub.Idempotency.IsZero() {
		return nil
	}
	key := stubIdempotencyKey(wire.Recipient(k[1:17]), stub.Idempotency)
	v, ok, err := c.get(key[:])
	if err != nil || !ok {
		return err
	}
	if len(v) != len(idempotencyRow{}) {
		return errDamaged(key[:])
	}
	if row := idempotencyRow(v); row.id() != k.tail() {
		return nil
	}
	return c.del(key[:])
}

func dueStubKey(at wire.Time, seq uint64) []byte {
	return dueKey(dueStub, at, binary.BigEndian.AppendUint64(nil, seq))
}

// DueSpoolExpiry returns the command that removes the stubs that are past their time at now; due is
// false when there are none. They are kept as long as rejections are.
func (s *State) DueSpoolExpiry(now wire.Time) (e wire.SpoolExpire, due bool) {
	e.Before = now.Add(-s.cfg.RejectionRetention)
	lower, upper := dueRange(dueStub, e.Before)
	err := s.db.Iterate(lower, upper, false, func(_, _ []byte) (bool, error) {
		due = true
		return false, nil
	})
	return e, due && err == nil
}

// spoolExpire removes stubs of messages that were decided before a time, the leader's setting.
func (s *State) spoolExpire(c *change, e *wire.SpoolExpire) (wire.Result, error) {
	if e.Before < 0 {
		return wire.OK(nil), nil
	}
	lower, upper := dueRange(dueStub, min(e.Before, c.clock.Expiry))
	for left := expireRowsMax; left > 0; {
		rows, err := c.scan(lower, upper, false, 1)
		if err != nil || len(rows) == 0 {
			return wire.OK(nil), err
		}
		list := rows[0].Value
		if len(list)%32 != 0 {
			return wire.Result{}, errDamaged(rows[0].Key)
		}
		for ; len(list) > 0; list = list[32:] {
			if err := c.expireStub(list[:32]); err != nil {
				return wire.Result{}, err
			}
			left--
		}
		if err := c.del(rows[0].Key); err != nil {
			return wire.Result{}, err
		}
	}
	return wire.OK(nil), nil
}

func (c *change) expireStub(message []byte) error {
	k := wideKey{stubPrefix}
	copy(k[1:], message)
	stub, ok, err := getStub(c.get, k)
	if err != nil || !ok {
		return err
	}
	if err := c.dropStubIdempotency(&k, &stub); err != nil {
		return err
	}
	return c.del(k[:])
}
