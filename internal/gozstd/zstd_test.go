package zstd

import (
	"bytes"
	"math/rand/v2"
	"testing"
)

// TestRoundTrip: what goes in comes out, in the buffers that the caller gave.
func TestRoundTrip(t *testing.T) {
	random := rand.NewChaCha8([32]byte{1})
	c := NewCtx()
	for _, n := range []int{0, 1, 100, 128 << 10, 1 << 20, 3<<20 + 17} {
		noise := make([]byte, n)
		random.Read(noise)
		for _, src := range [][]byte{noise, bytes.Repeat([]byte{'a'}, n)} {
			for _, level := range []int{1, 3, 7} {
				dst := make([]byte, CompressBound(n))
				out, err := c.CompressLevel(dst, src, level)
				if err != nil || len(out) == 0 || &out[0] != &dst[0] {
					t.Fatalf("%d bytes, level %d: %v, or another buffer", n, level, err)
				}
				back := make([]byte, n)
				if m, err := c.DecompressInto(back, out); err != nil || m != n || !bytes.Equal(back, src) {
					t.Fatalf("%d bytes, level %d: %d came back, %v", n, level, m, err)
				}
				if n > 0 {
					if _, err := c.DecompressInto(back[:n-1], out); err == nil {
						t.Fatalf("%d bytes fit into %d", n, n-1)
					}
				}
			}
		}
	}
	if _, err := c.DecompressInto(make([]byte, 10), []byte("no frame")); err == nil {
		t.Error("noise is decompressed")
	}
}
