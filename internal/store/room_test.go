package store

import (
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"
)

// TestRoomAfterOpen writes through all the small write buffers that Pebble begins with. Small
// rows only: counted in number, the buffers would be waited for without end.
func TestRoomAfterOpen(t *testing.T) {
	cfg := testConfig(vfs.NewMem(), false)
	cfg.MemTableBytes = 0 // the product's
	d := mustOpen(t, cfg)
	done := make(chan error, 1)
	go func() {
		value := make([]byte, 512)
		for i := uint64(1); i <= 64<<10; i++ { // some 35 MiB
			b := d.NewBatch()
			for _, k := range []byte("ab") {
				b.Set([]byte{k, byte(i >> 16), byte(i >> 8), byte(i)}, value[:256], &pebble.WriteOptions{})
			}
			if err := d.Commit(b, positionOf(i), digestOf(i)); err != nil {
				done <- err
				return
			}
			b.Close()
		}
		done <- nil
	}()
	select {
	case err := <-done:
		if err != nil {
			t.Error(err)
		}
	case <-time.After(time.Minute): // a bound for the failing case only
		t.Fatal("commits wait for room that never comes")
	}
	if err := d.Close(); err != nil {
		t.Error(err)
	}
}
