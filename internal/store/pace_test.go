package store

import (
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// TestPace writes tables and blobs with a rest after each turn, unless there is no time for it.
func TestPace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		closing := make(chan struct{})
		p := &pace{closing: closing}
		fs := &brakeFS{FS: vfs.NewMem(), fail: newFailure(), pace: p, closing: closing}
		wrote := func(name string, worked time.Duration) time.Duration {
			t.Helper()
			f, err := fs.Create(name, category)
			if err != nil {
				t.Fatal(err)
			}
			time.Sleep(worked)
			began := time.Now()
			if n, err := f.Write([]byte("row")); n != 3 || err != nil {
				t.Fatal(n, err)
			}
			took := time.Since(began)
			if n, err := f.Write([]byte("row")); n != 3 || err != nil {
				t.Fatal(n, err)
			}
			if again := time.Since(began) - took; again != 0 && took > 0 {
				t.Errorf("%s: rested for %v just after a rest", name, again)
			}
			return took
		}
		check := func(name string, worked, want time.Duration) {
			t.Helper()
			if got := wrote(name, worked); got != want {
				t.Errorf("%s after %v of work: rested for %v, want %v", name, worked, got, want)
			}
		}
		check("000001.sst", turn, rest)
		check("000002.blob", turn, rest)
		check("000003.sst", turn-1, 0)
		check("000004.log", time.Hour, 0)
		check("MANIFEST-000005", time.Hour, 0)
		p.urgent.Add(1)
		check("000006.sst", turn, 0)
		p.urgent.Add(-1)
		p.behind.Store(true)
		check("000007.sst", turn, 0)
		p.behind.Store(false)
		check("000008.sst", turn, rest)
		close(closing)
		check("000009.sst", turn, 0)
	})
}

// TestPaceBehind holds flushes up until commits say that there is no time to rest.
func TestPaceBehind(t *testing.T) {
	fs := &heldFS{FS: vfs.NewMem()}
	d := mustOpen(t, testConfig(fs, false))
	next := uint64(0)
	write := func(bytes int) {
		t.Helper()
		for written := 0; written < bytes; written += int(next * 37 % 3000) {
			next++
			if err := put(d, next); err != nil {
				t.Fatal(err)
			}
		}
	}
	write(memTableMin / 2)
	if d.pace.behind.Load() {
		t.Error("behind with one write buffer to be written out")
	}
	fs.held.Store(true)
	for i := 0; i < 8 && !d.pace.behind.Load(); i++ { // more would wait for room
		write(memTableMin / 4)
	}
	if !d.pace.behind.Load() {
		t.Error("not behind with more than two write buffers")
	}
	fs.held.Store(false)
	if _, err := d.Flush(); err != nil {
		t.Fatal(err)
	}
	write(memTableMin)
	if d.pace.behind.Load() {
		t.Error("behind though everything was written out")
	}
	if n := d.pace.urgent.Load(); n != 0 {
		t.Errorf("%d wait for a flush that has ended", n)
	}
	if err := d.Close(); err != nil {
		t.Error(err)
	}
}

// heldFS creates no tables while it is held.
type heldFS struct {
	vfs.FS
	held atomic.Bool
}

func (f *heldFS) Create(name string, c vfs.DiskWriteCategory) (vfs.File, error) {
	for paced(name) && f.held.Load() {
		time.Sleep(time.Millisecond)
	}
	return f.FS.Create(name, c)
}
