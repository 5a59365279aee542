package region

import (
	"encoding/binary"
	"fmt"

	"github.com/staffetta/staffetta/wire"
)

// export makes one page. Its cursor is a stage, named by the prefix of its kind of row, and where
// in it the page before ended: the block and position of a message, since messages go in log order,
// or the key of the last row.
//
// Whoever exports the same code again, from the same fenced state, finds the same rows behind a
// cursor, so a page may be made by another leader than the one before it.
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

func (s *State) export(r wire.Recipient, at []byte, stages []*rowKind) (*wire.MovePage, error) {
	e := &export{s: s, r: r, page: &wire.MovePage{Recipient: r, At: at}}
	stage, key, err := stageOf(stages, at)
	if err != nil {
		return nil, err
	}
	for ; stage < len(stages); stage++ {
		full, err := stages[stage].export(e, stages[stage], key)
		if err != nil || full {
			return e.page, err
		}
		key = nil
	}
	e.page.Last = true
	return e.page, nil
}

// messages adds an excerpt of the blocks that hold the citizen's messages.
func (e *export) messages(k *rowKind, key []byte) (full bool, err error) {
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
			next := binary.BigEndian.AppendUint64(k.begins(), last.Block)
			e.page.Next, full = append(next, byte(last.Position)), true
			break
		}
	}
	if x.Len() > 0 {
		e.page.Frame = x.Seal(e.s.cfg.Coder)
	}
	return full, nil
}

// lastRows are the rows for which every page has room: the profile, the session that a Login
// opened, the set, and the lock.
const lastRows = 3 + wire.SessionsMax

// rows adds the citizen's rows of one kind above a key.
func (e *export) rows(k *rowKind, above []byte) (full bool, err error) {
	lower := k.key(e.r)
	upper := after(lower)
	if len(above) > 0 {
		lower = append(append([]byte(nil), above...), 0)
	}
	err = e.s.db.Iterate(lower, upper, false, func(key, v []byte) (bool, error) {
		if len(e.page.Rows) >= wire.MoveRowsMax-lastRows || e.size >= wire.MovePageBytes {
			full = true
			return false, nil
		}
		above = e.put(key, v)
		return true, nil
	})
	if full {
		e.page.Next = append(k.begins(), above...)
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

// one adds the citizen's only row of a kind. Every page has room for it.
func (e *export) one(k *rowKind, _ []byte) (full bool, err error) {
	key := k.key(e.r)
	v, ok, err := e.s.db.Get(key)
	if err == nil && ok {
		e.put(key, v)
	}
	return false, err
}

// session adds what the fence turned into a forward.
func (e *export) session(*rowKind, []byte) (full bool, err error) {
	token, ok, err := e.s.db.Get(recipientKey(currentPrefix, e.r))
	if err != nil || !ok || len(token) != len(wire.TokenHash{}) {
		return false, err
	}
	var f forwardRow
	if ok, err = e.s.getRow(forwardKey(wire.TokenHash(token)), &f); err != nil || !ok {
		return false, err
	}
	e.put(sessionKey(f.Session.Token), wire.Encode(&f.Session))
	return false, nil
}
