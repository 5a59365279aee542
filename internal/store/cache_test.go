package store

import (
	"fmt"
	"testing"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/staffetta/staffetta/wire"
)

// TestCacheHoldsBlocks holds what seat.CacheBytes counts with: that Pebble takes two write buffers
// off a cache, for good, and leaves the rest to blocks. Were it more, nothing would be cached.
func TestCacheHoldsBlocks(t *testing.T) {
	const memTable, room = 1 << 20, 1 << 20
	cache := pebble.NewCache(room + 2*memTable)
	defer cache.Unref()
	cfg := testConfig(vfs.NewMem(), false)
	cfg.Cache, cfg.MemTableBytes = cache, memTable
	d := mustOpen(t, cfg)
	defer d.Close()
	value, index := make([]byte, 500), uint64(0)
	for range 4 { // write buffers
		for range memTable / 500 / 100 {
			b := d.NewBatch()
			for range 100 {
				index++
				if err := b.Set(fmt.Appendf(nil, "k/%08d", index), value, nil); err != nil {
					t.Fatal(err)
				}
			}
			if err := d.Commit(b, wire.Position{Index: index, Term: 1}, [32]byte{}); err != nil {
				t.Fatal(err)
			}
			b.Close()
		}
		if _, err := d.Flush(); err != nil {
			t.Fatal(err)
		}
	}
	for range 2 {
		for i := uint64(1); i < index; i += 8 {
			if _, ok, err := d.Get(fmt.Appendf(nil, "k/%08d", i)); err != nil || !ok {
				t.Fatal(ok, err)
			}
		}
	}
	if m := cache.Metrics(); m.Size < room/2 {
		t.Errorf("the cache holds %d bytes of blocks, there is room for %d", m.Size, room)
	}
}
