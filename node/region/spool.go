package region

import (
	"encoding/binary"

	"github.com/staffetta/staffetta/internal/codec"
	"github.com/staffetta/staffetta/wire"
)

// The spool: sealed blocks for regions that are away, and stubs of the messages in them. The
// block and its rows go when the owner has decided; the stubs stay, for retries and reads, as
// long as a rejection does.
//
//	x b <seq 8>                     a sealed block, and the messages in it
//	x q <owner> 0 <seq 8>           that it waits for the owner, in order of arrival
//	x t <owner>                     what waits for the owner, summed up
//	x n                             the next sequence number, and the bytes of all blocks
//	x k <number 4>                  a key pair of this region
//	y <recipient 16> <id 16>        stub of a message
//	z <recipient 16> <idempotency 16>  idempotency key of a stub: id and digest
//	d y <time 8> <seq 8>            due: stubs whose messages were decided then
const (
	spoolPrefix     = 'x'
	stubPrefix      = 'y'
	stubKeyPrefix   = 'z'
	dueStub         = 'y'
	spoolBlocks     = 'b'
	spoolQueues     = 'q'
	spoolTotals     = 't'
	spoolCounterRow = 'n'
	spoolRegionKeys = 'k'
)

func spoolBlockKey(seq uint64) []byte {
	return binary.BigEndian.AppendUint64([]byte{spoolPrefix, spoolBlocks}, seq)
}

func spoolQueueKey(owner wire.RegionID, seq uint64) []byte {
	return binary.BigEndian.AppendUint64(spoolQueue(owner), seq)
}

// spoolQueue begins the keys of an owner's queue. No region's name holds a zero byte.
func spoolQueue(owner wire.RegionID) []byte {
	k := append(make([]byte, 0, 11+len(owner)), spoolPrefix, spoolQueues)
	return append(append(k, owner...), 0)
}

func spoolTotalKey(owner wire.RegionID) []byte {
	return append([]byte{spoolPrefix, spoolTotals}, owner...)
}

func spoolCounterKey() []byte { return []byte{spoolPrefix, spoolCounterRow} }

func stubKey(r wire.Recipient, id wire.MessageID) wideKey { return newWideKey(stubPrefix, r, id) }

func stubIdempotencyKey(r wire.Recipient, i wire.Idempotency) wideKey {
	return newWideKey(stubKeyPrefix, r, i)
}

// spoolBlockRow is a sealed block. Messages are recipient and id of each record, in order.
type spoolBlockRow struct {
	Sealed   wire.SealedBlock
	Messages []byte
	At       wire.Time // when the records were spooled first
}

// Fields declares the row.
func (r *spoolBlockRow) Fields(c *codec.Codec) {
	codec.Nested(c, 1, &r.Sealed)
	codec.Bytes(c, 2, &r.Messages)
	codec.Int(c, 3, &r.At)
}

func (r *spoolBlockRow) records() int { return len(r.Messages) / 32 }

// message is the key of the stub of the record at a position.
func (r *spoolBlockRow) message(i int) (k wideKey) {
	k[0] = stubPrefix
	copy(k[1:], r.Messages[32*i:32*i+32])
	return k
}

// spoolQueueRow is what is to be known of a waiting block without reading it.
type spoolQueueRow struct {
	At      wire.Time
	Bytes   uint64
	Records uint64
	Offered bool // the owner may have it
}

// Fields declares the row.
func (r *spoolQueueRow) Fields(c *codec.Codec) {
	codec.Int(c, 1, &r.At)
	codec.Uint(c, 2, &r.Bytes)
	codec.Uint(c, 3, &r.Records)
	codec.Bool(c, 4, &r.Offered)
}

// spoolTotalRow sums up an owner's queue. No block before First waits: a scan that begins there
// does not wade through what was removed.
type spoolTotalRow struct {
	Blocks, Records, Bytes uint64
	First                  uint64
}

// Fields declares the row.
func (r *spoolTotalRow) Fields(c *codec.Codec) {
	codec.Uint(c, 1, &r.Blocks)
	codec.Uint(c, 2, &r.Records)
	codec.Uint(c, 3, &r.Bytes)
	codec.Uint(c, 4, &r.First)
}

// spoolCounter numbers blocks, and sums up the whole spool.
type spoolCounter struct {
	Seq, Bytes uint64
	// Offered: blocks up to this one may be with their owners; what is logged does not say.
	Offered uint64
}

// Fields declares the row.
func (r *spoolCounter) Fields(c *codec.Codec) {
	codec.Uint(c, 1, &r.Seq)
	codec.Uint(c, 2, &r.Bytes)
	codec.Uint(c, 3, &r.Offered)
}

// stubRow is what this region knows of a spooled message.
type stubRow struct {
	Service      wire.ServiceID
	TimeToLive   uint32
	FeatureLevel wire.FeatureLevel
	Idempotency  wire.Idempotency
	Verdict      wire.Verdict
	Owner        wire.RegionID
	Alias        wire.MessageID // the one message under the same idempotency key; zero: this is it
	SpooledAt    wire.Time
	RelayedAt    wire.Time // 0: it waits
	Seq          uint64    // of its block
	KeyID        uint32
	Offered      bool // before it was spooled; what came later is noted of the block
}

// Fields declares the row.
func (r *stubRow) Fields(c *codec.Codec) {
	codec.String(c, 1, &r.Service)
	codec.Uint(c, 2, &r.TimeToLive)
	codec.Uint(c, 3, &r.FeatureLevel)
	codec.Fixed(c, 4, r.Idempotency[:])
	codec.Nested(c, 5, &r.Verdict)
	codec.String(c, 6, &r.Owner)
	codec.Fixed(c, 7, r.Alias[:])
	codec.Int(c, 8, &r.SpooledAt)
	codec.Int(c, 9, &r.RelayedAt)
	codec.Uint(c, 10, &r.Seq)
	codec.Uint(c, 11, &r.KeyID)
	codec.Bool(c, 12, &r.Offered)
}

// outcome is how the message's sender is answered now.
func (r *stubRow) outcome(id wire.MessageID) wire.Outcome {
	if !r.Alias.IsZero() {
		id = r.Alias
	}
	return wire.Outcome{Kind: wire.Decided, ID: id, Verdict: r.Verdict}
}

var throttled = wire.Verdict{Status: wire.Throttled}

// spool keeps a sealed block, unless the spool has its bounds' worth or knows one of the records.
func (s *State) spool(c *change, m *wire.Spool) (wire.Result, error) {
	if err := m.Block.Validate(); err != nil {
		return wire.Fail(wire.AsError(err)), nil
	}
	if m.Block.Sealed.Home != s.cfg.Region {
		return failf(wire.Malformed, "a block for another region's spool")
	}
	outcomes, known, broken, err := spoolKnown(c.get, c.version, m.Block.Stubs)
	c.broken += broken
	if err != nil || known {
		return wire.OK(&wire.Spooled{Outcomes: outcomes}), err
	}
	row := spoolBlockRow{Sealed: m.Block.Sealed, At: c.clock.Now}
	for i := range m.Block.Stubs {
		stub := &m.Block.Stubs[i]
		row.Messages = append(append(row.Messages, stub.Recipient[:]...), stub.ID[:]...)
	}
	refused, err := spoolRefusal(c, m, &row)
	if err != nil || refused != wire.SpoolTook {
		return wire.OK(&wire.Spooled{Refused: refused}), err
	}
	seq, err := putSpooled(c, &row, false)
	if err != nil {
		return wire.Result{}, err
	}
	offered := c.offered(m.Block.Offered)
	outcomes = spoolTakes(m.Block.Stubs)
	for i := range m.Block.Stubs {
		if outcomes[i].Kind != wire.Decided {
			continue // its key is that of another message in the block
		}
		stub := stubOf(&m.Block.Stubs[i], &row, seq)
		stub.Offered = offered.has(i)
		if err := putStub(c, &m.Block.Stubs[i], outcomes[i].ID, &stub); err != nil {
			return wire.Result{}, err
		}
	}
	return wire.OK(&wire.Spooled{Outcomes: outcomes}), nil
}

// spoolKnown answers the records whose id or idempotency key the spool knows, and leaves the
// others undecided. A block with any that are known is not kept: what it holds cannot be taken
// apart here, and a key that the owner were to meet in another order would name another message.
func spoolKnown(get func(key []byte) ([]byte, bool, error), version uint32,
	stubs []wire.Record) (outcomes []wire.Outcome, known bool, broken uint64, err error) {
	outcomes = make([]wire.Outcome, len(stubs))
	for i := range stubs {
		o, ok, err := spoolKnows(get, version, &stubs[i])
		if err != nil {
			return nil, false, 0, err
		}
		if ok {
			known, outcomes[i] = true, o
		}
		if o.Kind == wire.Broken {
			broken++
		}
	}
	return outcomes, known, broken, nil
}

func spoolKnows(get func(key []byte) ([]byte, bool, error), version uint32, rec *wire.Record) (
	o wire.Outcome, known bool, err error) {
	stub, ok, err := getStub(get, stubKey(rec.Recipient, rec.ID))
	if err != nil || ok {
		return stub.outcome(rec.ID), ok, err
	}
	if rec.Idempotency.IsZero() {
		return o, false, nil
	}
	key := stubIdempotencyKey(rec.Recipient, rec.Idempotency)
	value, ok, err := get(key[:])
	if err != nil || !ok {
		return o, false, err
	}
	if len(value) != len(idempotencyRow{}) {
		return o, false, errDamaged(key[:])
	}
	used := idempotencyRow(value)
	if used.digest() != rec.Digest {
		return wire.Outcome{Kind: wire.KeyConflict}, true, nil
	}
	stub, ok, err = getStub(get, stubKey(rec.Recipient, used.id()))
	if err == nil && !ok { // the key lives no longer than its stub
		if version >= wire.VersionOwners {
			return wire.Outcome{Kind: wire.Broken, ID: rec.ID}, true, nil
		}
		err = errDamaged(key[:])
	}
	return stub.outcome(used.id()), true, err
}

func getStub(get func(key []byte) ([]byte, bool, error), key wideKey) (row stubRow, ok bool,
	err error) {
	value, ok, err := get(key[:])
	if err != nil || !ok {
		return row, false, err
	}
	return row, true, decodeRow(key[:], value, &row)
}

// spoolTakes are the outcomes of a block that is kept. Two of its records may share a key: the
// owner meets them in the same order, so the second is here what it will be there.
func spoolTakes(stubs []wire.Record) []wire.Outcome {
	outcomes := make([]wire.Outcome, len(stubs))
	first := make(map[wideKey]int)
	for i := range stubs {
		rec := &stubs[i]
		outcomes[i] = wire.Outcome{Kind: wire.Decided, ID: rec.ID, Verdict: throttled}
		if rec.Idempotency.IsZero() {
			continue
		}
		key := stubIdempotencyKey(rec.Recipient, rec.Idempotency)
		before, used := first[key]
		switch {
		case !used:
			first[key] = i
		case stubs[before].Digest != rec.Digest:
			outcomes[i] = wire.Outcome{Kind: wire.KeyConflict}
		default:
			outcomes[i].ID = stubs[before].ID
		}
	}
	return outcomes
}

// spoolRefusal holds a block against the bounds.
func spoolRefusal(c *change, m *wire.Spool, row *spoolBlockRow) (wire.SpoolRefusal, error) {
	var n spoolCounter
	if _, err := c.getRow(spoolCounterKey(), &n); err != nil {
		return 0, err
	}
	if n.Bytes+row.size() > m.BytesMax {
		return wire.SpoolFull, nil
	}
	oldest, ok, err := oldestSpooled(c, row.Sealed.Owner)
	if err == nil && ok && oldest.At < m.OldestAfter {
		return wire.SpoolTooOld, nil
	}
	return wire.SpoolTook, err
}

// oldestSpooled is the owner's block that waits for longest.
func oldestSpooled(c *change, owner wire.RegionID) (row spoolQueueRow, ok bool, err error) {
	var total spoolTotalRow
	if ok, err = c.getRow(spoolTotalKey(owner), &total); err != nil || !ok {
		return row, false, err
	}
	rows, err := c.scan(spoolQueueKey(owner, total.First), after(spoolQueue(owner)), false, 1)
	if err != nil || len(rows) == 0 {
		return row, false, err
	}
	return row, true, decodeRow(rows[0].Key, rows[0].Value, &row)
}

// size is what a block counts for in the spool's bytes.
func (r *spoolBlockRow) size() uint64 { return uint64(len(r.Sealed.Bytes) + len(r.Messages)) }

// putSpooled appends a block to its owner's queue; offered: some owner may have it already.
func putSpooled(c *change, row *spoolBlockRow, offered bool) (seq uint64, err error) {
	var n spoolCounter
	if _, err := c.getRow(spoolCounterKey(), &n); err != nil {
		return 0, err
	}
	n.Seq++
	n.Bytes += row.size()
	if err := c.setRow(spoolCounterKey(), &n); err != nil {
		return 0, err
	}
	owner := row.Sealed.Owner
	var total spoolTotalRow
	if _, err := c.getRow(spoolTotalKey(owner), &total); err != nil {
		return 0, err
	}
	if total.Blocks == 0 {
		total.First = n.Seq
	}
	total.Blocks++
	total.Records += uint64(row.records())
	total.Bytes += row.size()
	if err := c.setRow(spoolTotalKey(owner), &total); err != nil {
		return 0, err
	}
	queued := spoolQueueRow{At: row.At, Bytes: row.size(), Records: uint64(row.records()),
		Offered: offered}
	if err := c.setRow(spoolQueueKey(owner, n.Seq), &queued); err != nil {
		return 0, err
	}
	c.spooled = true
	return n.Seq, c.setRow(spoolBlockKey(n.Seq), row)
}

// stubOf is what is kept of a record in a block.
func stubOf(rec *wire.Record, block *spoolBlockRow, seq uint64) stubRow {
	return stubRow{Service: rec.Service, TimeToLive: rec.TimeToLive,
		FeatureLevel: rec.FeatureLevel, Idempotency: rec.Idempotency, Verdict: throttled,
		Owner: block.Sealed.Owner, SpooledAt: block.At, Seq: seq, KeyID: block.Sealed.KeyID}
}

// putStub writes what is kept of a record; first is the id of the message that it is, another
// one's when that has the same idempotency key.
func putStub(c *change, rec *wire.Record, first wire.MessageID, stub *stubRow) error {
	if first != rec.ID {
		stub.Alias = first
	} else if !rec.Idempotency.IsZero() {
		key := stubIdempotencyKey(rec.Recipient, rec.Idempotency)
		row := newIdempotencyRow(rec.ID, rec.Digest)
		if err := c.set(key[:], row[:]); err != nil {
			return err
		}
	}
	key := stubKey(rec.Recipient, rec.ID)
	return c.setRow(key[:], stub)
}
