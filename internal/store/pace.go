package store

import (
	"strings"
	"sync/atomic"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// A flush or a compaction works for turn and then rests, so that it takes an eighth of a core: the
// replicas of a group have the same rows, fill their write buffers at the same moment, and would
// hold up every message while all of them write theirs out. On one core a turn is also what a
// message waits for; left to itself Go's scheduler looks at the network every 10 ms only. A write
// buffer takes about 0.3 s of work.
const (
	turn = time.Millisecond
	rest = 7 * time.Millisecond
)

// pace says whether flushes and compactions may rest.
type pace struct {
	closing <-chan struct{}
	urgent  atomic.Int32 // how many wait for a flush
	behind  atomic.Bool  // the background does not keep up with what is written
}

func (p *pace) hurried() bool { return p.urgent.Load() > 0 || p.behind.Load() }

// pacedFile is a table or a file of blobs being written, by one goroutine.
type pacedFile struct {
	vfs.File
	pace  *pace
	since time.Time // of the last rest
}

// paced reports the files that flushes and compactions write for as long as they last. Others are
// written with Pebble's locks held.
func paced(name string) bool {
	return strings.HasSuffix(name, ".sst") || strings.HasSuffix(name, ".blob")
}

// Write appends p, perhaps after a rest.
func (f *pacedFile) Write(p []byte) (int, error) {
	if time.Since(f.since) >= turn && !f.pace.hurried() {
		timer := time.NewTimer(rest)
		select {
		case <-timer.C:
		case <-f.pace.closing:
		}
		timer.Stop()
		f.since = time.Now()
	}
	return f.File.Write(p)
}
