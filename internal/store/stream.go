package store

import (
	"encoding/binary"
	"fmt"
	"hash/crc32"

	"github.com/staffetta/staffetta/internal/codec"
	"github.com/staffetta/staffetta/wire"
)

// A state on its way, little endian:
//
//	stream = magic 4 | version 1 | zero 3 | files u32 | head length u32 | head | CRC-32C u32
//	         { file } * files
//	file   = name length u16 | size u64 | name | CRC-32C u32 | content | CRC-32C u32
//
// Each checksum covers what precedes it since the last one. The head is a streamHead.
const (
	streamMagic   = "SfS1"
	streamVersion = 1
	streamFixed   = 16 // up to the head
	fileFixed     = 10 // up to the name
	sumBytes      = 4

	// headBytesMax bounds the head, which is a configuration of at most some 2,000 members.
	headBytesMax = 1 << 20
	// filesOfStreamMax bounds the files of a state: a terabyte in tables of 2 MiB.
	filesOfStreamMax = 1 << 19
	// nameBytesMax bounds a file's name; Pebble's are below 64.
	nameBytesMax = 128
	// fileBytesMax bounds one file, far above what Pebble writes.
	fileBytesMax = 1 << 40
)

// streamHead says what follows: whose state, and how far it is applied.
type streamHead struct {
	Identity      Identity
	Position      positionRow
	Configuration []byte
	Bytes         uint64 // of all files together
}

func (h *streamHead) Fields(c *codec.Codec) {
	codec.Nested(c, 1, &h.Identity)
	codec.Nested(c, 2, &h.Position)
	codec.Bytes(c, 3, &h.Configuration)
	codec.Uint(c, 4, &h.Bytes)
}

type fileHead struct {
	name string
	size int64
}

func withSum(b []byte) []byte {
	return binary.LittleEndian.AppendUint32(b, crc32.Checksum(b, castagnoli))
}

func encodeStreamHead(files int, h *streamHead) []byte {
	head := wire.Encode(h)
	b := append([]byte(streamMagic), streamVersion, 0, 0, 0)
	b = binary.LittleEndian.AppendUint32(b, uint32(files))
	b = binary.LittleEndian.AppendUint32(b, uint32(len(head)))
	return withSum(append(b, head...))
}

func encodeFileHead(f fileHead) []byte {
	b := binary.LittleEndian.AppendUint16(nil, uint16(len(f.name)))
	b = binary.LittleEndian.AppendUint64(b, uint64(f.size))
	return withSum(append(b, f.name...))
}

// fileStreamBytes is what a file takes in a stream.
func fileStreamBytes(f fileHead) int64 {
	return fileFixed + int64(len(f.name)) + sumBytes + f.size + sumBytes
}

// receiver is told what a decoder reads, in order.
type receiver interface {
	head(h *streamHead, files int) error
	begin(f fileHead) error
	content(p []byte) error
	end() error
}

// decoder reads a stream as it arrives, in pieces of any size, holding no more of it than a head.
type decoder struct {
	to    receiver
	buf   []byte // of the head being read
	need  int    // bytes of buf wanted before next is called
	next  func() error
	left  int64 // content of the present file still to come
	sum   uint32
	files int // still to come
	total uint64
	done  bool
	err   error
}

func newDecoder(to receiver) *decoder {
	d := &decoder{to: to, need: streamFixed}
	d.next = d.fixed
	return d
}

// Write takes the next bytes. After an error every call returns it.
func (d *decoder) Write(p []byte) (int, error) {
	n := len(p)
	for d.err == nil && len(p) > 0 {
		switch {
		case d.done:
			d.err = fmt.Errorf("%d bytes after the end", len(p))
		case d.left > 0:
			p = d.takeContent(p)
		default:
			p = d.takeHead(p)
		}
	}
	return n - len(p), d.err
}

func (d *decoder) takeContent(p []byte) []byte {
	part := p[:min(int64(len(p)), d.left)]
	d.sum = crc32.Update(d.sum, castagnoli, part)
	d.left -= int64(len(part))
	d.err = d.to.content(part)
	return p[len(part):]
}

func (d *decoder) takeHead(p []byte) []byte {
	take := min(d.need-len(d.buf), len(p))
	d.buf = append(d.buf, p[:take]...)
	if len(d.buf) == d.need {
		d.err = d.next()
	}
	return p[take:]
}

// want makes next the step once buf has n bytes more.
func (d *decoder) want(n int, next func() error) { d.need, d.next = len(d.buf)+n, next }

func (d *decoder) checkSum() error {
	body := d.buf[:len(d.buf)-sumBytes]
	if binary.LittleEndian.Uint32(d.buf[len(body):]) != crc32.Checksum(body, castagnoli) {
		return fmt.Errorf("checksum of a head does not match")
	}
	return nil
}

func (d *decoder) fixed() error {
	if string(d.buf[:4]) != streamMagic {
		return fmt.Errorf("not a state")
	}
	if v := d.buf[4]; v != streamVersion {
		return fmt.Errorf("state in stream version %d, this process reads %d", v, streamVersion)
	}
	files := binary.LittleEndian.Uint32(d.buf[8:])
	size := binary.LittleEndian.Uint32(d.buf[12:])
	if d.buf[5]|d.buf[6]|d.buf[7] != 0 || files > filesOfStreamMax || size > headBytesMax {
		return fmt.Errorf("head of %d bytes and %d files", size, files)
	}
	d.files = int(files)
	d.want(int(size)+sumBytes, d.head)
	return nil
}

func (d *decoder) head() error {
	if err := d.checkSum(); err != nil {
		return err
	}
	h := &streamHead{}
	if err := wire.Decode(append([]byte(nil), d.buf[streamFixed:len(d.buf)-sumBytes]...),
		h); err != nil {
		return err
	}
	d.total = h.Bytes
	if err := d.to.head(h, d.files); err != nil {
		return err
	}
	d.nextFile()
	return nil
}

func (d *decoder) nextFile() {
	d.buf, d.done = d.buf[:0], d.files == 0
	d.want(fileFixed, d.fileFixed)
}

func (d *decoder) fileFixed() error {
	n := int(binary.LittleEndian.Uint16(d.buf))
	if n == 0 || n > nameBytesMax {
		return fmt.Errorf("file name of %d bytes", n)
	}
	d.want(n+sumBytes, d.fileHead)
	return nil
}

func (d *decoder) fileHead() error {
	if err := d.checkSum(); err != nil {
		return err
	}
	size := binary.LittleEndian.Uint64(d.buf[2:])
	if size > fileBytesMax || size > d.total {
		return fmt.Errorf("file of %d bytes, %d announced", size, d.total)
	}
	f := fileHead{name: string(d.buf[fileFixed : len(d.buf)-sumBytes]), size: int64(size)}
	if err := checkFileName(f.name); err != nil {
		return err
	}
	if err := d.to.begin(f); err != nil {
		return err
	}
	d.total -= size
	d.left, d.sum, d.buf = f.size, 0, d.buf[:0]
	d.want(sumBytes, d.fileEnd)
	return nil
}

func (d *decoder) fileEnd() error {
	if binary.LittleEndian.Uint32(d.buf) != d.sum {
		return fmt.Errorf("checksum of a file does not match")
	}
	if err := d.to.end(); err != nil {
		return err
	}
	d.files--
	if d.files == 0 && d.total != 0 {
		return fmt.Errorf("%d bytes less than announced", d.total)
	}
	d.nextFile()
	return nil
}

// checkFileName admits what Pebble calls its files, and nothing that leads out of a directory.
func checkFileName(name string) error {
	ok := name != "" && len(name) <= nameBytesMax && name[0] != '.'
	for i := range len(name) {
		c := name[i]
		ok = ok && (c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' ||
			c == '.' || c == '-' || c == '_')
	}
	if !ok {
		return fmt.Errorf("bad file name %q", name)
	}
	return nil
}
