package store

import (
	"fmt"
	"sync"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// brakeWait is how long Pebble's next attempt to write a file waits once the store has failed.
// Pebble retries a failed flush or compaction at once and for ever; this makes it four attempts
// a second that touch no disk, until Close.
const brakeWait = 250 * time.Millisecond

// failure holds the first fatal error. What Pebble had in memory can no longer be relied upon to
// reach the disk, so the store stops; the log still has it all.
type failure struct {
	mu     sync.Mutex
	err    error
	wedge  bool
	done   chan struct{} // closed at the first error
	report chan error    // gets the first error
}

func newFailure() *failure {
	return &failure{done: make(chan struct{}), report: make(chan error, 1)}
}

// set records err, the first one only.
func (f *failure) set(err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.err != nil {
		return
	}
	f.err = fmt.Errorf("store: stopped: %w", err)
	f.report <- f.err
	close(f.done)
}

// setWedged records a panic of Pebble, which leaves its locks held.
func (f *failure) setWedged(err error) {
	f.set(err)
	f.mu.Lock()
	defer f.mu.Unlock()
	f.wedge = true
}

func (f *failure) get() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.err
}

func (f *failure) wedged() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.wedge
}

// Err delivers the error that stopped the store, once: a full or failing disk, damaged data. The
// owner must stop the group. What was committed and not flushed is lost and must be replayed.
func (d *DB) Err() <-chan error { return d.fail.report }

// brakeFS is the file system that Pebble sees.
type brakeFS struct {
	vfs.FS
	fail    *failure
	closing chan struct{}
}

// Create is what every flush and compaction begins with, without holding Pebble's locks.
func (b *brakeFS) Create(name string, c vfs.DiskWriteCategory) (vfs.File, error) {
	if err := b.fail.get(); err != nil {
		timer := time.NewTimer(brakeWait)
		defer timer.Stop()
		select {
		case <-timer.C:
		case <-b.closing:
		}
		return nil, err
	}
	return b.FS.Create(name, c)
}

// Unwrap lets Pebble find the file system below.
func (b *brakeFS) Unwrap() vfs.FS { return b.FS }
