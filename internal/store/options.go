package store

import (
	"errors"
	"fmt"
	"log/slog"
	"runtime"
	"strings"
	"sync/atomic"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/bloom"
	"github.com/cockroachdb/pebble/v2/sstable"
)

const (
	// formatVersion is pinned: Pebble's format goes up only, so raising it is an upgrade step.
	formatVersion = pebble.FormatValueSeparation
	// separateBytes is the size from which values live outside the tables that compaction
	// rewrites: blocks do, rows do not.
	separateBytes = 1 << 10
	// blockBytes is the unit of a cold read. Small, because a verdict's look-ups are random.
	blockBytes = 4 << 10
	// filterBits of a Bloom filter answer "no such key" without a read 99 times of 100.
	filterBits = 10
	// compactAt sublevels in L0 begin a compaction, and baseBytes is the size of the level that it
	// merges them into. Keys are hashes, so each merge rewrites all of that level: few large
	// merges write a third of what many small ones do (2.0 KB a message at 4 and 64 MiB with
	// write buffers of 8 MiB, 0.6 KB at 8 and 256 MiB with 32 MiB, after a million messages).
	compactAt = 8
	baseBytes = 256 << 20
	// memTablesMax and sublevelsMax are where Commit waits for the disk; see makeRoom.
	memTablesMax = 3
	sublevelsMax = 24
	// sublevelsHurry is from where compactions rest no more.
	sublevelsHurry = compactAt + compactAt/2
	// pebbleStops is where Pebble itself would stall. It is out of reach, because a stalled
	// commit cannot be woken when the disk has failed.
	pebbleStops = 1 << 10
	// openWait is how long an Open whose disk has failed may take to say so.
	openWait = 500 * time.Millisecond
	// filesMax bounds open files per store.
	filesMax = 512
)

// options sets Pebble up for a light node: one compaction at a time, bounded caches, nothing
// written while idle.
func (d *DB) options(number uint64, create bool, o *opening) *pebble.Options {
	fs := &brakeFS{FS: d.cfg.FS, fail: d.fail, pace: &d.pace, closing: d.closing}
	opts := &pebble.Options{
		FS:                          fs,
		Cache:                       d.cfg.Cache,
		CacheSize:                   cacheDefault,
		DisableWAL:                  !d.cfg.Sync,
		ErrorIfNotExists:            !create,
		ErrorIfExists:               create,
		FormatMajorVersion:          formatVersion,
		MemTableSize:                uint64(d.cfg.MemTableBytes),
		MemTableStopWritesThreshold: pebbleStops,
		L0CompactionThreshold:       compactAt,
		L0StopWritesThreshold:       pebbleStops,
		LBaseMaxBytes:               baseBytes,
		MaxOpenFiles:                filesMax,
		BytesPerSync:                1 << 20,
		Logger:                      pebbleLog{log: d.cfg.Logger, fail: d.fail},
		EventListener:               d.listener(number, o),
		CompactionConcurrencyRange:  func() (lower, upper int) { return 1, 1 },
	}
	for i := range opts.Levels {
		opts.Levels[i].BlockSize = blockBytes
		opts.Levels[i].FilterPolicy = bloom.FilterPolicy(filterBits)
		// Rows lose four tenths of their size, for no more processor time than writing them.
		opts.Levels[i].Compression = func() *sstable.CompressionProfile {
			return sstable.FastestCompression
		}
	}
	separate := pebble.ValueSeparationPolicy{Enabled: true, MinimumSize: separateBytes,
		MaxBlobReferenceDepth: 10, RewriteMinimumAge: 15 * time.Minute, TargetGarbageRatio: 0.25}
	opts.Experimental.CompactionScheduler = o.scheduler
	opts.Experimental.ValueSeparationPolicy = func() pebble.ValueSeparationPolicy { return separate }
	return opts
}

// listener turns what goes wrong in the background into a failure. Pebble calls it with its
// locks held: it must not block nor call back.
func (d *DB) listener(number uint64, o *opening) *pebble.EventListener {
	progress := func() {
		select {
		case d.events <- struct{}{}:
		default:
		}
	}
	return &pebble.EventListener{
		BackgroundError: func(err error) {
			d.fail.set(newFault(d.at.path(dbName(number)), err))
			o.retrying()
		},
		DataCorruption: func(info pebble.DataCorruptionInfo) {
			d.fail.set(newFault(info.Path, info.Details))
		},
		FlushEnd:      func(pebble.FlushInfo) { progress() },
		CompactionEnd: func(pebble.CompactionInfo) { progress() },
	}
}

// opening is one attempt to open a database.
type opening struct {
	scheduler *scheduler
	abandoned atomic.Bool
}

// retrying ends the calling goroutine, a flush that Pebble would retry for ever, when nobody waits
// for the database any more. Its lock is released on the way out.
func (o *opening) retrying() {
	if o.abandoned.Load() {
		runtime.Goexit()
	}
}

// openPebble opens db-number. When the disk fails meanwhile Pebble may not return, nor stop
// trying; then the attempt is abandoned, with what it holds in memory, since the process can do
// nothing but end.
func (d *DB) openPebble(number uint64, create bool) (*pebble.DB, error) {
	type opened struct {
		db  *pebble.DB
		err error
	}
	o, done := &opening{scheduler: newScheduler()}, make(chan opened, 1)
	go func() {
		var r opened
		r.err = d.guarded(func() (err error) {
			r.db, err = pebble.Open(d.at.path(dbName(number)), d.options(number, create, o))
			return err
		})
		done <- r
	}()
	var r opened
	select {
	case r = <-done:
	case <-d.fail.done:
		timer := time.NewTimer(openWait)
		defer timer.Stop()
		select {
		case r = <-done:
		case <-timer.C:
			o.abandoned.Store(true)
			return nil, d.fail.get()
		}
	}
	if err := d.fail.get(); err != nil && r.err == nil {
		return nil, errors.Join(err, r.db.Close())
	}
	if r.err == nil {
		r.err = d.checkBlobs(number, r.db)
	}
	if r.err != nil {
		if r.db != nil {
			r.db.Close()
		}
		return nil, d.openFault(number, r.err)
	}
	o.scheduler.start()
	return r.db, nil
}

// pebbleLog gives Pebble's messages to the log. Keys of a state name citizens by hash only.
type pebbleLog struct {
	log  *slog.Logger
	fail *failure
}

// Infof drops Pebble's narration of flushes and compactions.
func (pebbleLog) Infof(string, ...any) {}

// Errorf logs what Pebble can live with.
func (p pebbleLog) Errorf(format string, args ...any) {
	p.log.Error("database error", "error", fmt.Sprintf(format, args...))
}

// Fatalf is Pebble's way to end the process. Where Pebble returns the error right after it,
// which is wherever a write failed, the store fails instead and its owner stops in order.
// Anything else is a broken invariant.
func (p pebbleLog) Fatalf(format string, args ...any) {
	text := fmt.Sprintf(format, args...)
	p.fail.set(fmt.Errorf("database: %s", text))
	if strings.HasPrefix(text, "MANIFEST ") && text != "MANIFEST not locked for writing" ||
		strings.HasPrefix(text, "pebble: fatal commit error") {
		return
	}
	p.log.Error("database invariant broken", "error", text)
	panic("store: " + text)
}
