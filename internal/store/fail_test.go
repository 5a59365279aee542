package store

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"
)

// faulty fails the write operations that match, once it is on.
type faulty struct {
	err   error
	match func(errorfs.Op) bool

	mu   sync.Mutex // guards what follows, and calls of match
	on   bool
	hits int
}

func (f *faulty) set(on bool) (hits int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.on = on
	return f.hits
}

func (f *faulty) MaybeError(op errorfs.Op) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if !f.on || op.Kind.ReadOrWrite() == errorfs.OpIsRead || !f.match(op) {
		return nil
	}
	f.hits++
	return f.err
}

func (f *faulty) String() string { return "faulty" }

// TestFullDisk fills the disk under a store whose writes go on: it must stop, say why once, keep
// what was acknowledged, not write in a loop meanwhile, and close.
func TestFullDisk(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		mem := vfs.NewCrashableMem()
		full := &faulty{err: syscall.ENOSPC, match: func(op errorfs.Op) bool {
			return strings.Contains(op.Path, ".sst") || strings.Contains(op.Path, ".blob")
		}}
		d := mustOpen(t, testConfig(errorfs.Wrap(mem, full), false))
		for i := uint64(1); i <= 100; i++ {
			if err := put(d, i); err != nil {
				t.Fatal(err)
			}
		}
		if _, err := d.Flush(); err != nil {
			t.Fatal(err)
		}
		full.set(true)
		var err error
		for i := uint64(101); err == nil; i++ {
			if i > 100_000 {
				t.Fatal("the full disk went unnoticed")
			}
			err = put(d, i)
		}
		if !errors.Is(err, syscall.ENOSPC) {
			t.Errorf("the commit failed with %v, want ENOSPC", err)
		}
		select {
		case err := <-d.Err():
			if !errors.Is(err, syscall.ENOSPC) {
				t.Errorf("reported %v, want ENOSPC", err)
			}
		default:
			t.Error("nothing was reported")
		}
		if _, err := d.Flush(); !errors.Is(err, syscall.ENOSPC) {
			t.Errorf("Flush: %v, want ENOSPC", err)
		}
		if _, _, _, err := d.Checkpoint(); !errors.Is(err, syscall.ENOSPC) {
			t.Errorf("Checkpoint: %v, want ENOSPC", err)
		}
		before := full.set(true)
		time.Sleep(time.Minute) // of virtual time
		if n := full.set(true) - before; n > 2 {
			t.Errorf("%d writes in a minute after the failure", n)
		}
		if n, _, err := d.Get([]byte("k/00000100")); err != nil || len(n) != 100*37%3000 {
			t.Errorf("a read after the failure: %d bytes, %v", len(n), err)
		}
		if err := d.Close(); err != nil {
			t.Errorf("Close: %v", err)
		}
		d = mustOpen(t, testConfig(mem.CrashClone(vfs.CrashCloneCfg{}), false))
		if got := checkHistory(t, d); got < 100 {
			t.Errorf("position %d after the failure, 100 was acknowledged", got)
		}
		if err := d.Close(); err != nil {
			t.Error(err)
		}
	})
}

// TestErrorAtEveryWrite fails one write after the other, for good or once, and checks that the
// disk is left with a state that holds everything acknowledged.
func TestErrorAtEveryWrite(t *testing.T) {
	for _, synced := range []bool{false, true} {
		for _, lasting := range []bool{false, true} {
			t.Run(fmt.Sprintf("sync=%v,lasting=%v", synced, lasting), func(t *testing.T) {
				rng := rand.New(rand.NewPCG(3, 4))
				for at := 1; ; at += 1 + rng.IntN(20) {
					if failAt(t, synced, lasting, at, rng) {
						return
					}
				}
			})
		}
	}
}

// failAt reports whether the history ended before its write number at.
func failAt(t *testing.T, synced, lasting bool, at int, rng *rand.Rand) (done bool) {
	mem, count, failed := vfs.NewCrashableMem(), 0, ""
	inject := &faulty{on: true, err: syscall.EIO}
	inject.match = func(op errorfs.Op) bool {
		if op.Kind == errorfs.OpFileClose { // closing fails without effect on what was synced
			return false
		}
		count++
		if count == at || lasting && count > at {
			failed = fmt.Sprintf("write %d (%d on %s)", at, op.Kind, op.Path)
			return true
		}
		return false
	}
	src := mustOpen(t, testConfig(vfs.NewMem(), false))
	defer src.Close()
	acked, issued := faultyHistory(testConfig(errorfs.Wrap(mem, inject), synced), src,
		synced)
	clone := mem.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: 50, RNG: rng})
	d, err := Open(testConfig(clone, synced))
	if err != nil {
		t.Fatalf("failure of %s: reopening: %v", failed, err)
	}
	got := checkHistory(t, d)
	if got < acked || got > issued {
		t.Errorf("failure of %s: position %d, want %d-%d", failed, got, acked, issued)
	}
	if err := d.Close(); err != nil {
		t.Errorf("failure of %s: closing: %v", failed, err)
	}
	return failed == ""
}

// faultyHistory commits, flushes, sends and installs until something fails or it is over, and
// returns what was acknowledged as durable and what may be there.
func faultyHistory(cfg Config, src *DB, synced bool) (acked, issued uint64) {
	d, err := Open(cfg)
	if err != nil {
		return 0, 0
	}
	defer d.Close()
	for i := uint64(1); i <= 60; i++ {
		issued = i
		if err := put(d, i); err != nil {
			return acked, issued
		}
		if synced {
			acked = i
		}
		if i%20 == 0 {
			if _, err := d.Flush(); err != nil {
				return acked, issued
			}
			acked = i
		}
	}
	stream, _, _, err := d.Checkpoint()
	if err != nil {
		return acked, issued
	}
	stream.Close()
	for i := uint64(1); i <= 70; i++ {
		if err := put(src, i); err != nil {
			panic(err)
		}
	}
	at, err := move(src, d)
	if err != nil {
		return acked, issued
	}
	issued = at.Index
	if err := d.Install(at); err != nil {
		return acked, issued
	}
	acked = at.Index
	for i := at.Index + 1; i <= 80; i++ {
		issued = i
		if err := put(d, i); err != nil {
			return acked, issued
		}
	}
	return acked, issued
}
