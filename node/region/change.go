package region

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"hash"
	"hash/crc32"
	"slices"

	"github.com/cockroachdb/pebble/v2"
	"github.com/staffetta/staffetta/internal/codec"
	"github.com/staffetta/staffetta/internal/store"
	"github.com/staffetta/staffetta/wire"
)

const (
	arenaChunk = 256 << 10
	// overlayKeep is how large a map of uncommitted rows may be to be kept for the next Apply.
	overlayKeep = 1 << 14
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// change collects what one Apply writes, over the committed state. Reads see the writes that
// came before them, whether they were made by an earlier entry, command or record of the same
// Apply or by one of an earlier Apply: this is what makes the result independent of batching.
//
// It is owned by Apply.
type change struct {
	reader pebble.Reader // the committed state
	batch  *pebble.Batch

	// The uncommitted rows, nil for a deleted one. Values lie in the arena or in the log's
	// memory; wide ones are apart because there is one or two of them for every record.
	wide  map[wideKey][]byte
	rest  map[string][]byte
	arena []byte

	// Of the entry being applied.
	index    uint64
	clock    clock
	version  uint32 // the group's active one
	rejected []byte // keys of the rejections decided, for the due row

	// For publication after the commit.
	erased  []uint64 // blocks rewritten
	broken  uint64   // records that the state contradicts itself about
	pending bool     // work for the leader was added
	spooled bool     // a block or key was added to the spool

	digest  hash.Hash
	sum     [32]byte
	scratch []byte // the value of the last read
	encoded []byte // the last encoding
	record  []byte // what the digest takes
}

func newChange() *change {
	return &change{wide: map[wideKey][]byte{}, rest: map[string][]byte{}, digest: sha256.New()}
}

// open begins an Apply after the state that sum stands for.
func (c *change) open(r pebble.Reader, b *pebble.Batch, k clock, version uint32, sum [32]byte) {
	c.reader, c.batch, c.clock, c.version, c.sum = r, b, k, version, sum
	c.erased, c.pending, c.spooled, c.broken = c.erased[:0], false, false, 0
}

// reset forgets the rows of an Apply, which are committed now or never will be.
func (c *change) reset() {
	c.reader, c.batch = nil, nil
	if len(c.wide) > overlayKeep || len(c.rest) > overlayKeep {
		c.wide, c.rest = map[wideKey][]byte{}, map[string][]byte{}
	}
	clear(c.wide)
	clear(c.rest)
	c.arena = c.arena[:0]
	if cap(c.arena) > arenaChunk {
		c.arena = nil
	}
	if cap(c.scratch) > wire.BlockBytesMax || cap(c.record) > wire.BlockBytesMax {
		c.scratch, c.record = nil, nil
	}
}

// beginEntry and endEntry frame the writes of one log entry. The digest after it covers the one
// before it, where the entry stands in the log, and every key and value it wrote.
func (c *change) beginEntry(e *wire.LogEntry) {
	c.index, c.rejected = e.Index, c.rejected[:0]
	c.digest.Reset()
	c.digest.Write(c.sum[:])
	c.record = binary.BigEndian.AppendUint64(c.record[:0], e.Index)
	c.record = binary.BigEndian.AppendUint64(c.record, e.Term)
	c.digest.Write(c.record)
}

func (c *change) endEntry() { c.digest.Sum(c.sum[:0]) }

// The operations in the digest.
const (
	opSet    = 's'
	opDelete = 'd'
	opBlock  = 'b'
)

func (c *change) chain(op byte, key, value []byte) {
	c.record = append(c.record[:0], op)
	c.record = binary.BigEndian.AppendUint32(c.record, uint32(len(key)))
	c.record = binary.BigEndian.AppendUint32(c.record, uint32(len(value)))
	c.record = append(c.record, key...)
	c.record = append(c.record, value...)
	c.digest.Write(c.record)
}

// keep copies value into the arena.
func (c *change) keep(value []byte) []byte {
	if c.arena == nil || len(c.arena)+len(value) > cap(c.arena) {
		c.arena = make([]byte, 0, max(arenaChunk, len(value))) // what was kept stays where it is
	}
	at := len(c.arena)
	c.arena = append(c.arena, value...)
	return c.arena[at:len(c.arena):len(c.arena)]
}

// remember makes a value, nil for none, what later reads of key see.
func (c *change) remember(key, value []byte) {
	if isWide(key) {
		c.wide[wideKey(key)] = value
		return
	}
	c.rest[string(key)] = value
}

// set writes a row; key and value are copied.
func (c *change) set(key, value []byte) error {
	c.chain(opSet, key, value)
	c.remember(key, c.keep(value))
	return c.batch.Set(key, value, nil)
}

// setRow writes a message as a row.
func (c *change) setRow(key []byte, m codec.Message) error {
	c.encoded = codec.Marshal(c.encoded[:0], m)
	return c.set(key, c.encoded)
}

// setBlock writes a block's frame, which stays the caller's and unchanged until the commit. The
// digest takes its checksum only.
func (c *change) setBlock(index uint64, frame []byte) error {
	key := blockKey(index)
	var sum [8]byte
	binary.BigEndian.PutUint32(sum[:], crc32.Checksum(frame, castagnoli))
	binary.BigEndian.PutUint32(sum[4:], uint32(len(frame)))
	c.chain(opBlock, key, sum[:])
	c.remember(key, frame)
	return c.batch.Set(key, frame, nil)
}

// del removes a row, which may be absent.
func (c *change) del(key []byte) error {
	c.chain(opDelete, key, nil)
	c.remember(key, nil)
	return c.batch.Delete(key, nil)
}

// get reads a row. The value is valid until the next get or scan.
func (c *change) get(key []byte) (value []byte, ok bool, err error) {
	if v, here := c.rest[string(key)]; here {
		return v, v != nil, nil
	}
	return c.committed(key)
}

// getWide is get for the rows of messages and idempotency keys.
func (c *change) getWide(key *wideKey) (value []byte, ok bool, err error) {
	if v, here := c.wide[*key]; here {
		return v, v != nil, nil
	}
	return c.committed(key[:])
}

func (c *change) committed(key []byte) (value []byte, ok bool, err error) {
	c.scratch, ok, err = store.GetFrom(c.reader, c.scratch[:0], key)
	return c.scratch, ok, err
}

// getRow decodes a row into m, which must be zero and copy what it keeps.
func (c *change) getRow(key []byte, m codec.Message) (ok bool, err error) {
	v, ok, err := c.get(key)
	if err != nil || !ok {
		return false, err
	}
	return true, decodeRow(key, v, m)
}

// scan returns copies of at most limit rows of [lower, upper), in order or in reverse.
func (c *change) scan(lower, upper []byte, reverse bool, limit int) ([]wire.Row, error) {
	var rows []wire.Row
	err := store.IterateFrom(c.reader, lower, upper, reverse, func(k, v []byte) (bool, error) {
		if !c.overlays(k) {
			rows = append(rows, wire.Row{Key: bytes.Clone(k), Value: bytes.Clone(v)})
		}
		return len(rows) < limit, nil
	})
	if err != nil {
		return nil, err
	}
	committed := len(rows)
	within := func(k []byte) bool {
		return bytes.Compare(k, lower) >= 0 && bytes.Compare(k, upper) < 0
	}
	for k, v := range c.rest { // sorted below
		if v != nil && within([]byte(k)) {
			rows = append(rows, wire.Row{Key: []byte(k), Value: bytes.Clone(v)})
		}
	}
	if wideKinds[lower[0]] {
		for k, v := range c.wide {
			if v != nil && within(k[:]) {
				rows = append(rows, wire.Row{Key: bytes.Clone(k[:]), Value: bytes.Clone(v)})
			}
		}
	}
	if len(rows) > committed {
		slices.SortFunc(rows, func(a, b wire.Row) int {
			if reverse {
				a, b = b, a
			}
			return bytes.Compare(a.Key, b.Key)
		})
	}
	return rows[:min(limit, len(rows))], nil
}

// overlays reports whether an uncommitted write hides the committed row of key.
func (c *change) overlays(key []byte) bool {
	if isWide(key) {
		_, here := c.wide[wideKey(key)]
		return here
	}
	_, here := c.rest[string(key)]
	return here
}
