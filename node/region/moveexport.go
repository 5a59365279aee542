package region

import (
	"encoding/binary"
	"fmt"

	"github.com/staffetta/staffetta/wire"
)

// A cursor of an export is a stage, and where in it the page before ended. The order matters: the
// new owner takes an idempotency key only once it has its message, and the last page ends the move.
//
//	i <block 8> <position 1>   messages, in log order
//	j, k, p <key>              rejections, idempotency keys, preferences, in order of their keys
//	r                          session and profile
//
// Whoever exports the same code again, from the same fenced state, finds the same rows behind a
// cursor, so a page may be made by another leader than the one before it.
var moveStages = []byte{inboxPrefix, rejectedPrefix, idempotencyPrefix, preferencePrefix,
	profilePrefix}

// export makes one page.
type export struct {
	s    *State
	r    wire.Recipient
	page *wire.MovePage
	size int // of the rows
}

// ExportMove returns the page of what this region has of r that begins at a cursor; the epoch and
// the region are the caller's to fill in. The code must be fenced here. Malformed for a cursor that
// no page gave.
func (s *State) ExportMove(r wire.Recipient, at []byte) (*wire.MovePage, error) {
	return s.export(r, at, moveStages)
}

func (s *State) export(r wire.Recipient, at, stages []byte) (*wire.MovePage, error) {
	e := &export{s: s, r: r, page: &wire.MovePage{Recipient: r, At: at}}
	stage, key, err := stageOf(stages, at)
	if err != nil {
		return nil, err
	}
	for ; stage < len(stages); stage++ {
		full, err := e.add(stages[stage], key)
		if err != nil || full {
			return e.page, err
		}
		key = nil
	}
	e.page.Last = true
	return e.page, nil
}

func (e *export) add(stage byte, key []byte) (full bool, err error) {
	switch stage {
	case inboxPrefix:
		return e.messages(key)
	case profilePrefix:
		return false, e.person()
	}
	return e.rows(stage, key)
}

// messages adds an excerpt of the blocks that hold the citizen's messages.
func (e *export) messages(key []byte) (full bool, err error) {
	list, err := e.s.Messages(e.r)
	if err != nil {
		return false, err
	}
	if len(key) > 0 {
		block, position := binary.BigEndian.Uint64(key), int(key[8])
		for len(list) > 0 && (list[0].Block < block ||
			list[0].Block == block && list[0].Position <= position) {
			list = list[1:]
		}
	}
	var x wire.Excerpt
	for i, p := range list {
		b, err := e.s.blockAt(p.Block)
		if err != nil {
			return false, err
		}
		if p.Position >= len(b.Records) || b.IsErased(p.Position) {
			return false, fmt.Errorf("region state is damaged: block %d has no record %d",
				p.Block, p.Position)
		}
		if !x.Add(b, p.Position) {
			last := list[i-1]
			next := binary.BigEndian.AppendUint64([]byte{inboxPrefix}, last.Block)
			e.page.Next, full = append(next, byte(last.Position)), true
			break
		}
	}
	if x.Len() > 0 {
		e.page.Frame = x.Seal(e.s.cfg.Coder)
	}
	return full, nil
}

// rows adds the citizen's rows of one kind above a key.
func (e *export) rows(kind byte, above []byte) (full bool, err error) {
	lower := recipientKey(kind, e.r)
	upper := after(lower)
	if len(above) > 0 {
		lower = append(append([]byte(nil), above...), 0)
	}
	err = e.s.db.Iterate(lower, upper, false, func(k, v []byte) (bool, error) {
		if len(e.page.Rows) >= wire.MoveRowsMax-2 || e.size >= wire.MovePageBytes {
			full = true
			return false, nil
		}
		above = e.put(k, v)
		return true, nil
	})
	if full {
		e.page.Next = append([]byte{kind}, above...)
	}
	return full, err
}

// put adds a copy of a row and returns its key.
func (e *export) put(key, value []byte) []byte {
	row := wire.Row{Key: append([]byte(nil), key...), Value: append([]byte(nil), value...)}
	e.page.Rows = append(e.page.Rows, row)
	e.size += len(key) + len(value)
	return row.Key
}

// person adds session and profile, for which every page has room.
func (e *export) person() error {
	profile := recipientKey(profilePrefix, e.r)
	v, ok, err := e.s.db.Get(profile)
	if err != nil {
		return err
	}
	if ok {
		e.put(profile, v)
	}
	token, ok, err := e.s.db.Get(recipientKey(currentPrefix, e.r))
	if err != nil || !ok || len(token) != len(wire.TokenHash{}) {
		return err
	}
	var f forwardRow
	if ok, err = e.s.getRow(forwardKey(wire.TokenHash(token)), &f); err != nil || !ok {
		return err
	}
	e.put(sessionKey(f.Session.Token), wire.Encode(&f.Session))
	return nil
}
