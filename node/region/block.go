package region

import (
	"errors"
	"fmt"

	"github.com/staffetta/staffetta/wire"
)

// applyBlock decides every record of a block, in order, each seeing the ones before it.
func (s *State) applyBlock(c *change, entry, frame []byte) (*wire.Outcomes, error) {
	b, err := s.block(entry, frame)
	if err != nil {
		return nil, err
	}
	if b.Erased && c.version < wire.VersionOwners {
		return nil, wire.Malformedf("a rewritten block was submitted")
	}
	out := &wire.Outcomes{List: make([]wire.Outcome, len(b.Records))}
	var refused positions // whole records whose content must not stay
	accepted := 0
	for i := range b.Records {
		rec := &b.Records[i]
		if c.version >= wire.VersionOwners && (b.Erased || !s.decidable(rec)) {
			out.List[i] = c.brokenOutcome(rec) // no leader lets it pass
			refused.add(i)
			continue
		}
		outcome, delivered, err := s.applyRecord(c, rec, i)
		if err != nil {
			return nil, err
		}
		out.List[i] = outcome
		if delivered {
			accepted++
		} else if !rec.IsRedacted() {
			refused.add(i)
		}
	}
	if accepted == 0 {
		return out, nil
	}
	if err := c.setBlock(c.index, frame); err != nil {
		return nil, err
	}
	if refused.empty() {
		return out, nil
	}
	return out, c.setRow(erasureKey(c.index), &erasureRow{At: c.clock.Now, Positions: refused})
}

// applyRecord decides one record; delivered says that its content stays, at this position.
func (s *State) applyRecord(c *change, rec *wire.Record, position int) (o wire.Outcome,
	delivered bool, err error) {
	r := rec.RecipientUnder(s.cfg.Hasher)
	if c.version < wire.VersionOwners && !s.decidable(rec) {
		return o, false, wire.Malformedf("record %d has not the form that a leader lets pass",
			position)
	}
	st, err := s.citizen(c, r)
	if err != nil {
		return o, false, err
	}
	if !s.decides(st, r) {
		o, err = s.notOwner(c, st, r)
		return o, false, err
	}
	verdict, known, err := s.known(c, r, rec.ID)
	if err != nil || known {
		return wire.Outcome{Kind: wire.Decided, ID: rec.ID, Verdict: verdict}, false, err
	}
	if !rec.Idempotency.IsZero() && !plantedAgain() {
		o, used, err := s.earlier(c, r, rec)
		if err != nil || used {
			return o, false, err
		}
	}
	verdict, err = s.judge(c, r, st, rec.Service)
	if err != nil {
		return o, false, err
	}
	if verdict.Status == wire.Processed && rec.IsRedacted() {
		return wire.Outcome{Kind: wire.NeedContent}, false, nil
	}
	o = wire.Outcome{Kind: wire.Decided, ID: rec.ID, Verdict: verdict}
	err = s.keepRecord(c, r, rec, position, verdict)
	if c.version >= wire.VersionOwners && errors.Is(err, errContent) {
		return c.brokenOutcome(rec), false, nil
	}
	return o, verdict.Status == wire.Processed, err
}

// errContent is a record whose content has no summary. Nothing was written.
var errContent = errors.New("content cannot be read")

// decidable reports whether a record has the form that a leader lets pass.
func (s *State) decidable(rec *wire.Record) bool {
	return !rec.ID.IsZero() && !rec.RecipientUnder(s.cfg.Hasher).IsZero() &&
		rec.IsRedacted() == (len(rec.Content) == 0)
}

// brokenOutcome is the outcome of a record about which the state contradicts itself. Every replica
// finds the same, so that none of them is damaged: the record fails, the group goes on, and who
// operates it hears of it.
func (c *change) brokenOutcome(rec *wire.Record) wire.Outcome {
	c.broken++
	return wire.Outcome{Kind: wire.Broken, ID: rec.ID}
}

// keepRecord writes the rows of a record that was decided.
func (s *State) keepRecord(c *change, r wire.Recipient, rec *wire.Record, position int,
	verdict wire.Verdict) error {
	if verdict.Status == wire.Processed {
		var summary wire.Summary
		if err := wire.Decode(rec.Content, &summary); err != nil {
			return fmt.Errorf("%w: %w", errContent, err)
		}
		var row inboxRow
		row.fill(c.index, position, rec, &summary)
		plantedByte(&row)
		key := inboxKey(r, rec.ID)
		if err := c.setRow(key[:], &row); err != nil {
			return err
		}
		if err := c.noteLate(r, rec.ID); err != nil {
			return err
		}
	} else {
		row := rejectedRow{Service: rec.Service, Reason: verdict.Reason,
			TimeToLive: rec.TimeToLive, FeatureLevel: rec.FeatureLevel,
			Idempotency: rec.Idempotency, At: c.clock.Now}
		key := rejectedKey(r, rec.ID)
		if err := c.setRow(key[:], &row); err != nil {
			return err
		}
		c.rejected = append(c.rejected, key[1:]...)
	}
	s.noteID(c, r, rec.ID)
	if rec.Idempotency.IsZero() {
		return nil
	}
	key, row := idempotencyKey(r, rec.Idempotency), newIdempotencyRow(rec.ID, rec.Digest)
	return c.set(key[:], row[:])
}

// noteID tells the filter of recent ids about a new row.
func (s *State) noteID(c *change, r wire.Recipient, id wire.MessageID) {
	s.recent.add(r, id)
	c.clock.NewestID = max(c.clock.NewestID, id.Time())
}

// known returns the verdict of an id that has one.
func (s *State) known(c *change, r wire.Recipient, id wire.MessageID) (v wire.Verdict, ok bool,
	err error) {
	if s.recent.unknown(r, id) {
		return v, false, nil
	}
	return lookUp(r, id, c.getWide)
}

// lookUp reads the verdict of an id from the rows.
func lookUp(r wire.Recipient, id wire.MessageID,
	get func(*wideKey) ([]byte, bool, error)) (v wire.Verdict, ok bool, err error) {
	key := inboxKey(r, id)
	if _, ok, err = get(&key); err != nil || ok {
		return processed, ok, err
	}
	key = rejectedKey(r, id)
	value, ok, err := get(&key)
	if err != nil {
		return v, false, err
	}
	if !ok {
		key = deletedKey(r, id)
		_, ok, err = get(&key)
		return processed, ok, err
	}
	var row rejectedRow
	if err := decodeRow(key[:], value, &row); err != nil {
		return v, false, err
	}
	return row.verdict(), true, nil
}

// earlier answers a record whose idempotency key was used before.
func (s *State) earlier(c *change, r wire.Recipient, rec *wire.Record) (o wire.Outcome, used bool,
	err error) {
	key := idempotencyKey(r, rec.Idempotency)
	value, ok, err := c.getWide(&key)
	if err != nil || !ok {
		return o, false, err
	}
	if len(value) != len(idempotencyRow{}) {
		return o, false, errDamaged(key[:])
	}
	row := idempotencyRow(value)
	if row.digest() != rec.Digest {
		return wire.Outcome{Kind: wire.KeyConflict}, true, nil
	}
	verdict, ok, err := lookUp(r, row.id(), c.getWide)
	if err == nil && !ok { // the key lives exactly as long as its message
		if c.version >= wire.VersionOwners {
			return c.brokenOutcome(rec), true, nil
		}
		err = errDamaged(key[:])
	}
	return wire.Outcome{Kind: wire.Decided, ID: row.id(), Verdict: verdict}, true, err
}
