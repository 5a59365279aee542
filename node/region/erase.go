package region

import (
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"log/slog"

	"github.com/staffetta/staffetta/wire"
)

// A block is stored as it travelled, so one that holds a delivered message may also hold records
// that were refused all the same: the citizen switched the service off, the code moved, or the
// record is a second copy. No row leads to them, so nobody can read them; a day later the leader
// rewrites the block without them. The salts of the other records stay, so root and proofs do
// too (see wire.Block.Erase).

// DueErasures returns the rewritten frames of blocks whose refused content is due at now, oldest
// first: at most limit, and as many as fit into one entry. The leader proposes each as a
// CmdErase.
func (s *State) DueErasures(now wire.Time, limit int) ([]wire.EraseBlock, error) {
	var list []wire.EraseBlock
	size := 0
	for from := uint64(0); len(list) < limit; {
		index, row, ok, err := s.nextErasure(from)
		if err != nil || !ok || row.At.Add(s.cfg.EraseAfter) > now {
			return list, err
		}
		e, err := s.rewrite(index, &row)
		if err != nil {
			return nil, err
		}
		from = index + 1
		if e == nil {
			continue // cannot be rewritten, or was since
		}
		if size += len(e.Frame); size > eraseBytesMax && len(list) > 0 {
			break
		}
		list = append(list, *e)
	}
	return list, nil
}

// nextErasure returns the first block from an index on that has content to erase.
func (s *State) nextErasure(from uint64) (index uint64, row erasureRow, ok bool, err error) {
	upper := after([]byte{duePrefix, dueErasure})
	err = s.db.Iterate(erasureKey(from), upper, false, func(k, v []byte) (bool, error) {
		if len(k) != 10 {
			return false, errDamaged(k)
		}
		index, ok = binary.BigEndian.Uint64(k[2:]), true
		return false, decodeRow(k, v, &row)
	})
	return index, row, ok, err
}

// rewrite makes the frame of a block without what its due row names.
func (s *State) rewrite(index uint64, due *erasureRow) (*wire.EraseBlock, error) {
	frame, ok, err := s.db.Get(blockKey(index))
	if err != nil || !ok {
		return nil, err
	}
	b, err := s.cfg.Coder.Decode(frame)
	if err != nil {
		return nil, s.db.Damaged(fmt.Errorf("block %d: %w", index, err))
	}
	e := &wire.EraseBlock{Block: index, Sum: crc32.Checksum(frame, castagnoli),
		Frame: b.Erase(s.cfg.Coder, due.Positions.list()...)}
	if len(e.Frame) > wire.BlockBytesMax {
		// Random bytes up to the cap, with so little refused that the salts of the rest weigh
		// more. No gateway of ours makes such a block.
		s.cfg.Logger.Error("block does not fit its bound once rewritten",
			slog.Uint64("block", index))
		return nil, nil
	}
	return e, nil
}

// erase replaces a block by its rewritten frame, when that says the same of every message that
// was delivered and nothing of those to be erased.
func (s *State) erase(c *change, m *wire.EraseBlock) (wire.Result, error) {
	frame, ok, err := c.get(blockKey(m.Block))
	if err != nil {
		return wire.Result{}, err
	}
	if !ok || crc32.Checksum(frame, castagnoli) != m.Sum {
		return failf(wire.Conflict, "block %d is not the one that was rewritten", m.Block)
	}
	old, err := s.cfg.Coder.Decode(frame)
	if err != nil {
		return wire.Result{}, fmt.Errorf("stored block %d: %w", m.Block, err)
	}
	var due erasureRow
	if ok, err = c.getRow(erasureKey(m.Block), &due); err != nil {
		return wire.Result{}, err
	}
	if !ok {
		return failf(wire.Conflict, "nothing is to be erased from block %d", m.Block)
	}
	b, err := s.cfg.Coder.Decode(m.Frame)
	if err != nil {
		return wire.Fail(wire.AsError(err)), nil
	}
	if refusal, err := s.checkRewrite(c, m.Block, old, b, &due); err != nil || refusal != nil {
		return wire.Fail(refusal), err
	}
	if err := c.setBlock(m.Block, m.Frame); err != nil {
		return wire.Result{}, err
	}
	c.erased = append(c.erased, m.Block)
	return wire.OK(nil), c.del(erasureKey(m.Block))
}

func (s *State) checkRewrite(c *change, index uint64, old, b *wire.Block, due *erasureRow) (
	*wire.Error, error) {
	if len(b.Records) != len(old.Records) || b.Root() != old.Root() {
		return wire.Malformedf("the rewritten block has another root"), nil
	}
	for i := range b.Records {
		if !b.IsErased(i) {
			if due.Positions.has(i) {
				return wire.Malformedf("the rewritten block still has record %d", i), nil
			}
			continue
		}
		if old.IsErased(i) {
			continue
		}
		rec := &old.Records[i]
		key := inboxKey(rec.RecipientUnder(s.cfg.Hasher), rec.ID)
		v, ok, err := c.getWide(&key)
		if err != nil {
			return nil, err
		}
		if !ok {
			continue
		}
		var row inboxRow
		if err := decodeRow(key[:], v, &row); err != nil {
			return nil, err
		}
		if row.Block == index && int(row.Position) == i {
			return wire.Malformedf("record %d of the block was delivered", i), nil
		}
	}
	return nil, nil
}
