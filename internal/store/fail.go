package store

import (
	"fmt"
	"strings"
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

// Stop makes the store fail with err, as a failing disk does, and returns what it failed with. Its
// owner calls it when it can no longer trust what it holds.
func (d *DB) Stop(err error) error {
	d.fail.set(err)
	return d.fail.get()
}

// Err delivers the error that stopped the store, once: a full or failing disk, damaged data. The
// owner must stop the group. What was committed and not flushed is lost and must be replayed.
func (d *DB) Err() <-chan error { return d.fail.report }

// brakeFS is the file system that Pebble sees. It keeps Pebble from doing harm after a failure.
type brakeFS struct {
	vfs.FS
	fail    *failure
	pace    *pace
	closing chan struct{}
}

// Create is what every flush and compaction begins with, without holding Pebble's locks.
func (b *brakeFS) Create(name string, c vfs.DiskWriteCategory) (vfs.File, error) {
	if err := b.fail.get(); err != nil && !sensitive(name) {
		timer := time.NewTimer(brakeWait)
		defer timer.Stop()
		select {
		case <-timer.C:
		case <-b.closing:
		}
		return nil, err
	}
	return b.wrap(name, func() (vfs.File, error) {
		// Pebble creates a manifest, then the marker that names it, then syncs the directory.
		// Should the marker alone reach the disk, the database could not be opened any more.
		if strings.HasPrefix(b.PathBase(name), "marker.") {
			if err := syncDir(b.FS, b.PathDir(name)); err != nil {
				return nil, err
			}
		}
		f, err := b.FS.Create(name, c)
		if err == nil && paced(name) {
			f = &pacedFile{File: f, pace: b.pace, since: time.Now()}
		}
		return f, err
	})
}

// ReuseForWrite is how a new log takes the place of an old one.
func (b *brakeFS) ReuseForWrite(oldname, newname string, c vfs.DiskWriteCategory) (vfs.File,
	error) {
	return b.wrap(newname, func() (vfs.File, error) {
		return b.FS.ReuseForWrite(oldname, newname, c)
	})
}

// wrap opens a file for writing. A sensitive one that cannot be opened is replaced by one in
// memory, whose content nobody reads.
func (b *brakeFS) wrap(name string, open func() (vfs.File, error)) (vfs.File, error) {
	err := b.fail.get()
	var f vfs.File
	if err == nil {
		f, err = open()
	}
	if err != nil && sensitive(name) {
		b.fail.set(newFault(name, err))
		f, err = vfs.NewMem().Create("lost", category)
	}
	if err != nil {
		return nil, err
	}
	return &brakeFile{File: f, name: name, fail: b.fail, sensitive: sensitive(name)}, nil
}

// sensitive reports the files whose errors Pebble v2.1.7 does not survive: the last write or the
// sync of a blob file dereferences nil (cockroachdb/pebble#6129), and a write-ahead log that
// cannot be closed or begun ends the process with its locks in disorder.
func sensitive(name string) bool {
	return strings.HasSuffix(name, ".blob") || strings.HasSuffix(name, ".log")
}

// brakeFile is a file that Pebble writes. Once the store has failed nothing more is written, so
// that what failed is never referred to by what comes after it.
type brakeFile struct {
	vfs.File
	name string
	fail *failure
	// sensitive files report no error. A blob's is met again at the table that belongs to it, a
	// log's by Commit, which looks at the failure before it acknowledges.
	sensitive bool
}

func (f *brakeFile) guard(write func() error) error {
	err := f.fail.get()
	if err == nil {
		if err = write(); err != nil {
			f.fail.set(newFault(f.name, err))
		}
	}
	if f.sensitive {
		return nil
	}
	return err
}

// Write appends p.
func (f *brakeFile) Write(p []byte) (n int, err error) {
	err = f.guard(func() (err error) {
		n, err = f.File.Write(p)
		return err
	})
	if err == nil {
		n = len(p)
	}
	return n, err
}

// Sync makes the file durable.
func (f *brakeFile) Sync() error { return f.guard(f.File.Sync) }

// SyncData makes the file's content durable.
func (f *brakeFile) SyncData() error { return f.guard(f.File.SyncData) }

// Remove keeps everything once the store has failed: what Pebble takes for replaced may be what
// a restart finds.
func (b *brakeFS) Remove(name string) error {
	if err := b.fail.get(); err != nil {
		return err
	}
	return b.FS.Remove(name)
}

// OpenDir returns a directory whose Sync stops the store when it fails and then reports success,
// because Pebble panics otherwise, on a goroutine where nobody can catch it. Nothing that was
// done after it is acknowledged: Commit and Flush look at the failure last.
func (b *brakeFS) OpenDir(name string) (vfs.File, error) {
	d, err := b.FS.OpenDir(name)
	if err != nil {
		return nil, err
	}
	return &brakeDir{File: d, name: name, fail: b.fail}, nil
}

type brakeDir struct {
	vfs.File
	name string
	fail *failure
}

func (d *brakeDir) Sync() error {
	if err := d.File.Sync(); err != nil {
		d.fail.set(newFault(d.name, err))
	}
	return nil
}

// Unwrap lets Pebble find the file system below.
func (b *brakeFS) Unwrap() vfs.FS { return b.FS }
