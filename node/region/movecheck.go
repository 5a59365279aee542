package region

import (
	"encoding/binary"

	"github.com/staffetta/staffetta/wire"
)

// checkPage accepts what belongs to the page's citizen only: what another region hands over must
// not be able to write anything else, nor anything that would stop a replica later. It returns the
// page's messages, nil when it has none. The error stops the replica.
func (s *State) checkPage(c *change, m *wire.MovePage) (*wire.Block, *wire.Error, error) {
	p := pageCheck{s: s, c: c, r: m.Recipient, decided: map[wire.MessageID]bool{},
		uses: map[wire.MessageID]wire.Idempotency{}}
	var block *wire.Block
	if len(m.Frame) > 0 {
		if _, taken, err := c.get(blockKey(c.index)); err != nil || taken {
			return nil, wire.Errorf(wire.Unavailable, "one page with messages to an entry"), err
		}
		var err error
		if block, err = s.cfg.Coder.Decode(m.Frame); err != nil {
			return nil, wire.AsError(err), nil
		}
		if err := p.messages(block); err != nil {
			return nil, err, nil
		}
	}
	if len(m.Rows) > wire.MoveRowsMax {
		return nil, wire.Errorf(wire.TooLarge, "page of %d rows, %d allowed", len(m.Rows),
			wire.MoveRowsMax), nil
	}
	for i := range m.Rows {
		if refusal, err := p.row(&m.Rows[i]); err != nil || refusal != nil {
			return nil, refusal, err
		}
	}
	return block, nil, nil
}

// pageCheck checks the parts of a page.
type pageCheck struct {
	s       *State
	c       *change
	r       wire.Recipient
	decided map[wire.MessageID]bool             // messages and rejections of the page
	uses    map[wire.MessageID]wire.Idempotency // of the rejections among them
}

func (p *pageCheck) messages(block *wire.Block) *wire.Error {
	if !block.Erased {
		return wire.Malformedf("a moved block is an excerpt")
	}
	for i := range block.Records {
		rec := &block.Records[i]
		if block.IsErased(i) || rec.Validate() != nil || rec.IsRedacted() ||
			rec.RecipientUnder(p.s.cfg.Hasher) != p.r || p.decided[rec.ID] {
			return wire.Malformedf("record %d of a move is no message of the citizen", i)
		}
		p.decided[rec.ID] = true
	}
	return nil
}

// row checks one row. A key or value that is not of its kind is refused by the name of the kind.
func (p *pageCheck) row(row *wire.Row) (*wire.Error, error) {
	if len(row.Key) < 17 {
		return wire.Malformedf("row of a move without citizen"), nil
	}
	k := kindOf(row.Key)
	if k != nil && k.check != nil && p.c.version >= k.since &&
		(k.byToken || wire.Recipient(row.Key[1:17]) == p.r) {
		if ok, err := k.check(p, row); ok || err != nil {
			return nil, err
		}
	}
	return wire.Malformedf("row of kind %q of a move is not the citizen's, or not in order",
		row.Key[:1]), nil
}

func (p *pageCheck) rejection(row *wire.Row) (ok bool, err error) {
	rej, ok := decodeRejection(row.Value)
	if !ok || !isWide(row.Key) {
		return false, nil
	}
	id := wire.MessageID(row.Key[17:])
	p.decided[id], p.uses[id] = true, rej.Idempotency
	return true, nil
}

// idempotency accepts a key whose message is here, or comes with the page: apply looks it up. One
// of a rejection must be the rejection's own, or it would outlive it.
func (p *pageCheck) idempotency(row *wire.Row) (ok bool, err error) {
	if !isWide(row.Key) || len(row.Value) != len(idempotencyRow{}) {
		return false, nil
	}
	if p.c.version >= wire.VersionOwners {
		return true, nil // whether its message is here is seen when it is taken
	}
	value, key := idempotencyRow(row.Value), wire.Idempotency(row.Key[17:])
	id := value.id()
	if kept, ok, err := p.c.rejection(p.r, id); err != nil || ok {
		return kept.Idempotency == key, err // the row that is here stays
	}
	if used, ok := p.uses[id]; ok {
		return used == key, nil
	}
	if p.decided[id] {
		return true, nil
	}
	_, known, err := lookUp(p.r, id, p.c.getWide)
	return known, err
}

// rejection reads a rejection of r.
func (c *change) rejection(r wire.Recipient, id wire.MessageID) (row rejectedRow, ok bool,
	err error) {
	key := rejectedKey(r, id)
	value, ok, err := c.getWide(&key)
	if err != nil || !ok {
		return row, false, err
	}
	return row, true, decodeRow(key[:], value, &row)
}

func (p *pageCheck) preference(row *wire.Row) (ok bool, err error) {
	var pref wire.Preference
	return len(row.Key) > 25 && wire.Decode(row.Value, &pref) == nil &&
		pref.Service.Valid() && string(pref.Service) == string(row.Key[25:]) &&
		pref.SettingsVersion == int64(binary.BigEndian.Uint64(row.Key[17:])) &&
		pref.ReadStatus <= wire.No, nil
}

func (p *pageCheck) profile(row *wire.Row) (ok bool, err error) {
	var v profileRow
	return len(row.Key) == 17 && wire.Decode(row.Value, &v) == nil &&
		v.Profile.FiscalCode.Valid() && p.s.cfg.Hasher.Recipient(v.Profile.FiscalCode) == p.r &&
		v.Profile.Mode <= wire.Manual && v.Preferences <= preferencesMax &&
		len(v.Profile.Blocked) <= blockedMax && len(v.Profile.Languages) <= languagesMax, nil
}

func (p *pageCheck) session(row *wire.Row) (ok bool, err error) {
	var t wire.Session
	return len(row.Key) == 33 && wire.Decode(row.Value, &t) == nil &&
		t.Token == wire.TokenHash(row.Key[1:]) && t.Token != wire.TokenHash{} &&
		t.FiscalCode.Valid() && p.s.cfg.Hasher.Recipient(t.FiscalCode) == p.r &&
		(p.c.version >= wire.VersionOwners || t.ExpiresAt <= p.c.clock.Now.Add(SessionMax)), nil
}
