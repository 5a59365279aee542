// Package zstd stands in for github.com/DataDog/zstd, which is the C library: go.mod replaces it
// by this. Pebble takes the C library wherever there is a C compiler, and a Go one elsewhere; no
// state of Staffetta is compressed by either, and compiling the C was a sixth of the first build.
// So there is one zstd, the same with and without a C compiler: the one that package wire
// compresses blocks with. It has what Pebble uses, and no more.
package zstd

import (
	"fmt"

	"github.com/klauspost/compress/zstd"
)

// Ctx compresses and decompresses; one goroutine at a time.
type Ctx interface {
	// CompressLevel writes src, compressed, to dst, which has CompressBound(len(src)) bytes.
	CompressLevel(dst, src []byte, level int) ([]byte, error)
	// DecompressInto writes src, decompressed, to dst, and returns how many bytes that were.
	DecompressInto(dst, src []byte) (int, error)
}

// NewCtx returns a Ctx.
func NewCtx() Ctx { return new(ctx) }

// CompressBound is how many bytes n bytes are, compressed, at most.
func CompressBound(n int) int {
	// Frame header and checksum, and three bytes for each block of 128 KiB that is stored as it is.
	return n + n>>15 + 64
}

type ctx struct {
	encoder *zstd.Encoder
	decoder *zstd.Decoder
	level   int
}

func (c *ctx) CompressLevel(dst, src []byte, level int) ([]byte, error) {
	if c.encoder == nil || c.level != level {
		e, err := zstd.NewWriter(nil, zstd.WithEncoderLevel(zstd.EncoderLevelFromZstd(level)),
			zstd.WithEncoderConcurrency(1))
		if err != nil {
			return nil, err
		}
		c.encoder, c.level = e, level
	}
	return c.encoder.EncodeAll(src, dst[:0]), nil
}

func (c *ctx) DecompressInto(dst, src []byte) (int, error) {
	if c.decoder == nil {
		d, err := zstd.NewReader(nil, zstd.WithDecoderConcurrency(1))
		if err != nil {
			return 0, err
		}
		c.decoder = d
	}
	out, err := c.decoder.DecodeAll(src, dst[:0])
	if err != nil {
		return 0, err
	}
	if len(out) > len(dst) {
		return 0, fmt.Errorf("zstd: %d bytes do not fit into %d", len(out), len(dst))
	}
	return len(out), nil
}
