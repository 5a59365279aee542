package wire

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"testing"

	"github.com/klauspost/compress/zstd"
)

func newCoder(t testing.TB) *Coder {
	c, err := NewCoder(1)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

// record is a whole record whose content is about size bytes.
func record(i, size int) Record {
	text := strings.Repeat(fmt.Sprintf("Gentile cittadino %d. ", i), size/20+1)[:size]
	return Record{ID: MessageID{0, 1, 2, byte(i >> 8), byte(i), 9}, Service: "SERVICE",
		FiscalCode: "AAAAAA00A00A000A", TimeToLive: 3600,
		Content: Encode(&Content{Subject: "Un avviso", Markdown: text})}
}

func block(t testing.TB, c *Coder, n int) ([]byte, []Record) {
	var b Builder
	var records []Record
	for i := range n {
		r := record(i, 1400)
		if !b.Add(&r) {
			t.Fatalf("record %d does not fit", i)
		}
		records = append(records, r)
	}
	return b.Seal(c), records
}

func TestBlockRoundTrip(t *testing.T) {
	c := newCoder(t)
	for _, n := range []int{1, 2, BlockRecordsMax} {
		frame, records := block(t, c, n)
		if count, err := CheckBlock(frame); err != nil || count != n {
			t.Errorf("CheckBlock: %d, %v, want %d", count, err, n)
		}
		got, err := c.Decode(frame)
		if err != nil {
			t.Fatal(err)
		}
		if !reflect.DeepEqual(got.Records, records) {
			t.Errorf("%d records did not come back", n)
		}
	}
}

// TestSmallestBlock: zstd leaves the size out of small frames unless it is told not to.
func TestSmallestBlock(t *testing.T) {
	c := newCoder(t)
	var b Builder
	b.Add(&Record{ID: MessageID{1}, Service: "s", Recipient: Recipient{1}})
	got, err := c.Decode(b.Seal(c))
	if err != nil {
		t.Fatal(err)
	}
	if len(got.Records) != 1 || got.Records[0].Recipient != (Recipient{1}) {
		t.Errorf("got %d records, want the digest that was sealed", len(got.Records))
	}
}

func TestBuilderCloses(t *testing.T) {
	var b Builder
	small := record(1, 80)
	for range BlockRecordsMax {
		if !b.Add(&small) {
			t.Fatal("closed early")
		}
	}
	if b.Add(&small) {
		t.Errorf("took more than %d records", BlockRecordsMax)
	}
	huge := Record{Content: make([]byte, RecordBytesMax+1)}
	b = Builder{}
	if b.Add(&huge) || b.Len() != 0 {
		t.Error("took a record over the bound")
	}
	large := Record{Content: make([]byte, RecordBytesMax-64)}
	if !b.Add(&large) {
		t.Error("refused a record at the bound in an empty block")
	}
	for b.Add(&large) {
	}
	if want := BlockCloseBytes + RecordBytesMax + 256; b.Size() > want {
		t.Errorf("a block of %d bytes, %d allowed", b.Size(), want)
	}
}

func TestSealedBlocksStayUnderTheCap(t *testing.T) {
	c := newCoder(t)
	var b Builder
	noise := Record{Content: make([]byte, RecordBytesMax-64)}
	for i := range noise.Content { // does not compress
		noise.Content[i] = byte(i*i>>3) ^ byte(i*2654435761>>13)
	}
	for b.Add(&noise) {
	}
	if frame := b.Seal(c); len(frame) > BlockBytesMax {
		t.Errorf("frame of %d bytes, %d allowed", len(frame), BlockBytesMax)
	}
}

func TestDamagedBlocksAreRefused(t *testing.T) {
	c := newCoder(t)
	good, _ := block(t, c, 3)
	for i := range good { // every bit counts
		bad := bytes.Clone(good)
		bad[i] ^= 1 << (i % 8)
		if _, err := c.Decode(bad); err == nil {
			t.Errorf("byte %d flipped, and accepted", i)
		}
	}
	for n := range good {
		if _, err := c.Decode(good[:n]); err == nil {
			t.Errorf("cut to %d bytes, and accepted", n)
		}
	}
}

// reseal makes a frame's checksum right again.
func reseal(frame []byte) []byte {
	binary.LittleEndian.PutUint32(frame[blockBodyLenAt:], uint32(len(frame)-blockHeader))
	binary.LittleEndian.PutUint32(frame[blockSumAt:], blockSum(frame))
	return frame
}

func TestHostileBlocksAreRefused(t *testing.T) {
	c := newCoder(t)
	enc, err := zstd.NewWriter(nil)
	if err != nil {
		t.Fatal(err)
	}
	defer enc.Close()
	frame := func(body []byte, count int, change func([]byte)) []byte {
		f := frameBlock(c, body, count, 0)
		if change != nil {
			change(f)
		}
		return reseal(f)
	}
	body := make([]byte, SeedSize)
	bomb := enc.EncodeAll(make([]byte, 64<<20), make([]byte, blockHeader))
	copy(bomb, frame(body, 1, nil)[:blockHeader])
	for name, tc := range map[string]struct {
		frame []byte
		want  Code
	}{
		"no records":            {frame(body, 0, nil), Malformed},
		"too many":              {frame(body, BlockRecordsMax+1, nil), Malformed},
		"no record inside":      {frame(body, 1, nil), Malformed},
		"no seed":               {frame(body[:3], 1, nil), Malformed},
		"version":               {frame(body, 1, func(f []byte) { f[blockVersionAt] = 2 }), UnknownKind},
		"flags":                 {frame(body, 1, func(f []byte) { f[blockFlagsAt] = 2 }), UnknownKind},
		"bytes after":           {frame(append(body, 0, 0, 0, 7), 1, nil), Malformed},
		"length beyond":         {frame(append(body, 9, 0, 0, 7), 1, nil), Malformed},
		"length over the bound": {frame(append(body, 255, 255, 255), 1, nil), Malformed},
		"record of garbage":     {frame(append(body, 1, 0, 0, 0xff), 1, nil), Malformed},
		"decoded size lies":     {frame(body, 1, func(f []byte) { f[blockDecodedAt]++ }), Malformed},
		"decoded size over the bound": {frame(body, 1, func(f []byte) { f[blockDecodedAt+3] = 1 }),
			TooLarge},
		"bomb":           {reseal(bomb), Malformed},
		"frame too long": {make([]byte, BlockBytesMax+1), TooLarge},
		"not zstd":       {frame(body, 1, func(f []byte) { f[blockHeader] ^= 1 }), Malformed},
	} {
		if _, err := c.Decode(tc.frame); !errors.Is(err, tc.want) {
			t.Errorf("%s: got %v, want %s", name, err, tc.want)
		}
	}
}

// TestBlockGolden holds the layout of a frame: this one was written by version 1 and must be
// readable for ever, so -update leaves it alone. Only decoding is compared: the compressor may
// change.
func TestBlockGolden(t *testing.T) {
	c := newCoder(t)
	b := readHex(t, "testdata/logged/block-v1.golden")
	got, err := c.Decode(b)
	if err != nil {
		t.Fatal(err)
	}
	if want := []Record{record(0, 1400), record(1, 1400)}; !reflect.DeepEqual(got.Records, want) {
		t.Error("the golden block says something else now")
	}
}

func FuzzDecodeBlock(f *testing.F) {
	c := newCoder(f)
	frame, _ := block(f, c, 2)
	f.Add(frame)
	b, err := c.Decode(frame)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(b.Erase(c, 1))
	f.Fuzz(func(t *testing.T, frame []byte) {
		if len(frame) >= blockHeader { // get past the checksum
			frame = reseal(bytes.Clone(frame))
		}
		b, err := c.Decode(frame)
		if err != nil {
			return
		}
		for i := range b.Records {
			b.Records[i].Validate()
		}
		b.Root()
	})
}

// TestDecodeInto holds that nothing of an earlier block shows in the next one.
func TestDecodeInto(t *testing.T) {
	c := newCoder(t)
	large, _ := block(t, c, 20)
	small, _ := block(t, c, 1)
	var b Block
	for _, frame := range [][]byte{large, small, large} {
		if err := c.DecodeInto(&b, frame); err != nil {
			t.Fatal(err)
		}
		want, err := c.Decode(frame)
		if err != nil {
			t.Fatal(err)
		}
		if !reflect.DeepEqual(b.Records, want.Records) || b.Seed != want.Seed ||
			b.Root() != want.Root() {
			t.Error("a block decoded into used memory differs")
		}
	}
	if err := c.DecodeInto(&b, large[:30]); err == nil {
		t.Error("a damaged frame was decoded")
	}
	if err := c.DecodeInto(&b, small); err != nil || len(b.Records) != 1 {
		t.Errorf("after a damaged frame: %d records, %v", len(b.Records), err)
	}
}
