package wire

import (
	"crypto/rand"
	"encoding/binary"
	"hash/crc32"

	"github.com/klauspost/compress/zstd"
	"github.com/staffetta/staffetta/internal/codec"
)

// A block's frame, little endian. The checksum covers the frame but for itself.
const (
	blockMagic     = "SfB1"
	blockMagicAt   = 0  // 4 bytes
	blockVersionAt = 4  // 1
	blockFlagsAt   = 5  // 1, blockErased or 0
	blockCountAt   = 6  // 2, records
	blockDecodedAt = 8  // 4, bytes of the body when decoded
	blockBodyLenAt = 12 // 4, bytes of the zstd frame
	blockSumAt     = 16 // 4, CRC-32C
	blockHeader    = 20

	blockVersion = 1
	// blockErased marks a block that was rewritten: the seed is gone, see evidence.go.
	blockErased = 1
)

// SeedSize is the size of a block's random seed, the first bytes of its decoded body.
const SeedSize = 32

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// Coder compresses and decompresses blocks. It is safe for concurrent use and belongs to one
// node or gateway: a coder shared between two synctest bubbles crashes the second one.
type Coder struct {
	enc *zstd.Encoder
	dec *zstd.Decoder
}

// NewCoder returns a coder that uses at most concurrency cores.
func NewCoder(concurrency int) (*Coder, error) {
	enc, err := zstd.NewWriter(nil, zstd.WithEncoderLevel(zstd.SpeedFastest),
		zstd.WithEncoderConcurrency(concurrency), zstd.WithWindowSize(1<<20),
		zstd.WithLowerEncoderMem(true), zstd.WithEncoderCRC(false),
		// Without it a body below 256 bytes, one lone redacted record, does not carry its size.
		zstd.WithSingleSegment(true))
	if err != nil {
		return nil, err
	}
	dec, err := zstd.NewReader(nil, zstd.WithDecoderConcurrency(concurrency),
		zstd.WithDecoderMaxMemory(BlockDecodedMax), zstd.WithDecoderMaxWindow(8<<20))
	if err != nil {
		return nil, err
	}
	return &Coder{enc: enc, dec: dec}, nil
}

// Close releases the coder's goroutines and memory.
func (c *Coder) Close() {
	c.enc.Close()
	c.dec.Close()
}

// Builder collects records of one block. The zero value is empty and ready.
type Builder struct {
	body  []byte
	count int
}

// Add appends a record, or reports false when the block is full and must be sealed first. A
// record of up to RecordBytesMax always fits into an empty block; a larger one never does.
func (b *Builder) Add(r *Record) bool {
	if b.count == BlockRecordsMax || b.count > 0 && len(b.body) >= BlockCloseBytes {
		return false
	}
	if b.count == 0 {
		b.body = append(b.body[:0], make([]byte, SeedSize)...)
	}
	start := len(b.body)
	b.body = append(b.body, 0, 0, 0)
	b.body = codec.Marshal(b.body, r)
	size := len(b.body) - start - 3
	if size > RecordBytesMax {
		b.body = b.body[:start]
		return false
	}
	putLength(b.body[start:], size)
	b.count++
	return true
}

// Len is the number of records; Size their encoded bytes.
func (b *Builder) Len() int { return b.count }

// Size is the number of bytes collected so far, before compression.
func (b *Builder) Size() int { return len(b.body) }

// Seal compresses the records once and returns the frame, which from here on travels, is logged
// and is stored as these bytes. The builder is empty again. Sealing an empty builder panics.
func (b *Builder) Seal(c *Coder) []byte {
	if b.count == 0 {
		panic("wire: seal of an empty block")
	}
	rand.Read(b.body[:SeedSize]) // never fails
	frame := frameBlock(c, b.body, b.count, 0)
	b.body, b.count = b.body[:0], 0
	return frame
}

// putLength writes the length of a record as three bytes, little endian; RecordBytesMax fits.
func putLength(b []byte, n int) {
	b[0], b[1], b[2] = byte(n), byte(n>>8), byte(n>>16)
}

func getLength(b []byte) int { return int(b[0]) | int(b[1])<<8 | int(b[2])<<16 }

func frameBlock(c *Coder, body []byte, count int, flags byte) []byte {
	frame := make([]byte, blockHeader, blockHeader+len(body)/3+64)
	frame = c.enc.EncodeAll(body, frame)
	copy(frame, blockMagic)
	frame[blockVersionAt], frame[blockFlagsAt] = blockVersion, flags
	binary.LittleEndian.PutUint16(frame[blockCountAt:], uint16(count))
	binary.LittleEndian.PutUint32(frame[blockDecodedAt:], uint32(len(body)))
	binary.LittleEndian.PutUint32(frame[blockBodyLenAt:], uint32(len(frame)-blockHeader))
	binary.LittleEndian.PutUint32(frame[blockSumAt:], blockSum(frame))
	return frame
}

func blockSum(frame []byte) uint32 {
	sum := crc32.Update(0, castagnoli, frame[:blockSumAt])
	return crc32.Update(sum, castagnoli, frame[blockHeader:])
}

// Block is a decoded block.
type Block struct {
	// Records alias the decoded body.
	Records []Record
	// Seed gives the records' salts; zero when the block was rewritten.
	Seed [SeedSize]byte
	// Erased says that the block was rewritten; Salts and Leaves then have one element per
	// record: a leaf for an erased one (whose Record is zero), a salt for any other.
	Erased bool
	Salts  []Salt
	Leaves []Leaf

	raw  [][]byte // the records' encodings, what leaves are computed from
	body []byte   // what Records and raw alias
}

// CheckBlock verifies a frame's header, bounds and checksum without decoding it, and returns its
// number of records.
func CheckBlock(frame []byte) (count int, err error) {
	if len(frame) > BlockBytesMax {
		return 0, Errorf(TooLarge, "block of %d bytes, %d allowed", len(frame), BlockBytesMax)
	}
	if len(frame) < blockHeader || string(frame[blockMagicAt:blockVersionAt]) != blockMagic {
		return 0, Malformedf("not a block")
	}
	if v := frame[blockVersionAt]; v != blockVersion {
		return 0, Errorf(UnknownKind, "block version %d", v)
	}
	if f := frame[blockFlagsAt]; f&^blockErased != 0 {
		return 0, Errorf(UnknownKind, "block flags %#x", f)
	}
	count = int(binary.LittleEndian.Uint16(frame[blockCountAt:]))
	if count == 0 || count > BlockRecordsMax {
		return 0, Malformedf("block of %d records, 1-%d allowed", count, BlockRecordsMax)
	}
	if n := binary.LittleEndian.Uint32(frame[blockDecodedAt:]); n > BlockDecodedMax {
		return 0, Errorf(TooLarge, "block of %d bytes decoded, %d allowed", n, BlockDecodedMax)
	}
	if n := binary.LittleEndian.Uint32(frame[blockBodyLenAt:]); int(n) != len(frame)-blockHeader {
		return 0, Malformedf("block body of %d bytes, header says %d", len(frame)-blockHeader, n)
	}
	if binary.LittleEndian.Uint32(frame[blockSumAt:]) != blockSum(frame) {
		return 0, Malformedf("block checksum does not match")
	}
	return count, nil
}

// Decode checks and decodes a frame. It validates the frame and the records' form, not what the
// records say: Record.Validate does. The block does not alias frame.
func (c *Coder) Decode(frame []byte) (*Block, error) {
	b := new(Block)
	if err := c.DecodeInto(b, frame); err != nil {
		return nil, err
	}
	return b, nil
}

// DecodeInto is Decode into the memory of an earlier block, which nobody may use any more. After
// an error b may only be decoded into again.
func (c *Coder) DecodeInto(b *Block, frame []byte) error {
	count, err := CheckBlock(frame)
	if err != nil {
		return err
	}
	size := binary.LittleEndian.Uint32(frame[blockDecodedAt:])
	var head zstd.Header
	if err := head.Decode(frame[blockHeader:]); err != nil || !head.HasFCS ||
		head.FrameContentSize != uint64(size) {
		return Malformedf("block's compressed size and header disagree")
	}
	if uint32(cap(b.body)) < size {
		b.body = make([]byte, 0, size)
	}
	if b.body, err = c.dec.DecodeAll(frame[blockHeader:], b.body[:0]); err != nil ||
		len(b.body) != int(size) {
		return Malformedf("block cannot be decompressed")
	}
	b.renew(count)
	if frame[blockFlagsAt]&blockErased != 0 {
		return b.splitErased(b.body)
	}
	if len(b.body) < SeedSize {
		return Malformedf("block without seed")
	}
	copy(b.Seed[:], b.body)
	return b.split(b.body[SeedSize:])
}

// renew makes room for count records and forgets everything else but the body.
func (b *Block) renew(count int) {
	records, raw := b.Records, b.raw
	if cap(records) < count || cap(raw) < count {
		records, raw = make([]Record, count), make([][]byte, count)
	}
	records, raw = records[:count], raw[:count]
	clear(records)
	clear(raw)
	*b = Block{Records: records, raw: raw, body: b.body}
}

// split cuts a body into its records.
func (b *Block) split(body []byte) error {
	for i := range b.Records {
		raw, rest, err := cutRecord(body)
		if err != nil {
			return err
		}
		if err := Decode(raw, &b.Records[i]); err != nil {
			return err
		}
		b.raw[i], body = raw, rest
	}
	if len(body) != 0 {
		return Malformedf("%d bytes after the last record", len(body))
	}
	return nil
}

func cutRecord(body []byte) (raw, rest []byte, err error) {
	if len(body) < 3 {
		return nil, nil, Malformedf("record without length")
	}
	n := getLength(body)
	if n > RecordBytesMax || n > len(body)-3 {
		return nil, nil, Malformedf("record of %d bytes", n)
	}
	return body[3 : 3+n : 3+n], body[3+n:], nil
}
