package consensus

import (
	"errors"
	"fmt"
	"runtime"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/hashicorp/raft"
	"github.com/staffetta/staffetta/wire"
)

// disk guards every operation on the log and stable store. One that fails or hangs ends the
// group: the library would go on, step down and be elected again, or panic.
type disk struct {
	stall  time.Duration
	guards guards
	fatal  func(error)
	stats  *stats

	// started: operations are the library's, from goroutines of its own, and not ours.
	started atomic.Bool
	failed  atomic.Bool
}

// do runs one operation. When it fails, the library's goroutine ends here, running its deferred
// functions, which answer who waits for it: nothing that the library would do next is right.
func (d *disk) do(op string, f func() error) error {
	if d.failed.Load() {
		return d.leave(fmt.Errorf("%w: %s after a failure", ErrDisk, op))
	}
	if d.guards.on(guardStall) {
		defer time.AfterFunc(d.stall, func() {
			d.fatal(fmt.Errorf("%w: %s takes longer than %s", ErrStalled, op, d.stall))
		}).Stop()
	}
	err := f()
	if err == nil || errors.Is(err, raft.ErrLogNotFound) || !d.guards.on(guardDiskError) {
		return err
	}
	if !errors.Is(err, ErrCorrupt) && !errors.Is(err, ErrVersion) {
		err = fmt.Errorf("%w: %s: %w", diskError(err), op, err)
	}
	d.failed.Store(true)
	d.fatal(err)
	return d.leave(err)
}

// diskError tells a disk that failed from a process that could not get at it.
func diskError(err error) error {
	for _, e := range []error{syscall.EMFILE, syscall.ENFILE, syscall.ENOMEM} {
		if errors.Is(err, e) {
			return ErrExhausted
		}
	}
	return ErrDisk
}

func (d *disk) leave(err error) error {
	if d.started.Load() {
		runtime.Goexit()
	}
	return err
}

// diskLog is the guarded log store.
type diskLog struct {
	disk *disk
	to   raft.LogStore
	mark *mark
	// applied is the state's index: entries up to it need no look at the log.
	applied func() uint64
	// wanted answers the first entry that somebody still wants, 0 for none, and wantedMax is how
	// many are kept for that.
	wanted    func() uint64
	wantedMax uint64

	// changing is held while the log changes and until that is noted: the library truncates
	// behind a snapshot while another of its goroutines appends.
	changing sync.Mutex

	mu sync.Mutex
	// Guarded by mu.
	last    uint64 // of the log
	visible uint64 // the last entry that the state machine will see
	noop    noop
}

// noop is the entry with which a leader begins its term. The state machine never sees it.
type noop struct {
	index, term uint64
	visible     uint64 // the last entry before it that the state machine sees
}

func newDiskLog(d *disk, s *Stores, applied, wanted func() uint64, wantedMax uint64) *diskLog {
	return &diskLog{disk: d, to: s.log, mark: s.mark, applied: applied, wanted: wanted,
		wantedMax: wantedMax}
}

func seen(t raft.LogType) bool { return t == raft.LogCommand || t == raft.LogConfiguration }

// IsMonotonic makes the library wipe the log when it installs a snapshot, whatever the store:
// bolt alone would keep the old entries before a gap.
func (l *diskLog) IsMonotonic() bool { return true }

func (l *diskLog) FirstIndex() (index uint64, err error) {
	err = l.disk.do("read log", func() (err error) { index, err = l.to.FirstIndex(); return err })
	return index, err
}

func (l *diskLog) LastIndex() (index uint64, err error) {
	err = l.disk.do("read log", func() (err error) { index, err = l.to.LastIndex(); return err })
	return index, err
}

// GetLog reads an entry and checks it: neither store checks what it reads, and a leader would
// replicate the damage.
func (l *diskLog) GetLog(index uint64, log *raft.Log) error {
	return l.disk.do("read log", func() error {
		if err := l.to.GetLog(index, log); err != nil {
			return err
		}
		if !l.disk.guards.on(guardChecksum) {
			return nil
		}
		return checkLog(index, log)
	})
}

// checkLog verifies what can be verified of an entry.
func checkLog(index uint64, log *raft.Log) error {
	if log.Index != index {
		return corrupt("the log answers entry %d for %d", log.Index, index)
	}
	switch log.Type {
	case raft.LogCommand:
		_, err := wire.DecodeEntry(log.Data)
		if errors.Is(err, wire.UnknownKind) {
			return fmt.Errorf("%w: entry %d: %w", ErrVersion, index, err)
		}
		if err != nil {
			return corrupt("entry %d: %v", index, err)
		}
	case raft.LogConfiguration:
		if _, err := decodeConfiguration(log.Data); err != nil {
			return corrupt("entry %d: %v", index, err)
		}
	case raft.LogNoop, raft.LogBarrier:
	default:
		return corrupt("entry %d is of type %d", index, log.Type)
	}
	return nil
}

// decodeConfiguration is the library's decoder without its panic.
func decodeConfiguration(b []byte) (c raft.Configuration, err error) {
	defer func() {
		if recover() != nil {
			err = errors.New("membership cannot be decoded")
		}
	}()
	return raft.DecodeConfiguration(b), nil
}

func (l *diskLog) StoreLog(log *raft.Log) error { return l.StoreLogs([]*raft.Log{log}) }

// StoreLogs returns when the entries are on disk.
func (l *diskLog) StoreLogs(logs []*raft.Log) error {
	if len(logs) == 0 {
		return nil
	}
	begin := time.Now()
	err := l.disk.do("append to log", func() error {
		l.changing.Lock()
		defer l.changing.Unlock()
		if err := l.checkGap(logs); err != nil {
			return err
		}
		if err := l.to.StoreLogs(logs); err != nil {
			return err
		}
		l.note(logs)
		last := logs[len(logs)-1]
		return l.mark.appended(last.Index, last.Term)
	})
	if err == nil {
		l.disk.stats.stored(logs, time.Since(begin))
	}
	return err
}

func (l *diskLog) checkGap(logs []*raft.Log) error {
	if !l.disk.guards.on(guardGap) {
		return nil
	}
	l.mu.Lock()
	last := l.last
	l.mu.Unlock()
	for _, log := range logs {
		if last > 0 && log.Index != last+1 {
			return fmt.Errorf("entry %d after %d", log.Index, last)
		}
		last = log.Index
	}
	return nil
}

// note keeps track of what the state machine will see of stored entries.
func (l *diskLog) note(logs []*raft.Log) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, log := range logs {
		l.last = log.Index
		if seen(log.Type) {
			l.visible = log.Index
		} else {
			l.noop = noop{log.Index, log.Term, max(l.visible, l.applied())}
		}
	}
}

// beginning answers the entry with which the leader of term began, if it is in the log.
func (l *diskLog) beginning(term uint64) (noop, bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.noop, l.noop.term == term && l.noop.index > 0
}

// DeleteRange deletes a prefix, after a snapshot and beside appends, or a suffix, which a leader
// contradicts, or everything. Of a prefix it leaves what is wanted; a later one takes it.
func (l *diskLog) DeleteRange(from, to uint64) error {
	return l.disk.do("truncate log", func() error {
		l.changing.Lock()
		defer l.changing.Unlock()
		if to = l.unwanted(to); to < from {
			return nil
		}
		if err := l.cut(from, to); err != nil {
			return err
		}
		if err := l.to.DeleteRange(from, to); err != nil {
			return err
		}
		return l.recount()
	})
}

// cut notes that the end of the log is about to go, if it is.
func (l *diskLog) cut(from, to uint64) error {
	first, err := l.to.FirstIndex()
	if err != nil {
		return err
	}
	l.mu.Lock()
	last := l.last
	l.mu.Unlock()
	switch {
	case to < last:
		return nil
	case from <= first:
		return l.mark.cut(0)
	}
	return l.mark.cut(from - 1)
}

// unwanted answers up to where a log that is to be deleted up to an entry may go.
func (l *diskLog) unwanted(to uint64) uint64 {
	l.mu.Lock()
	last := l.last
	l.mu.Unlock()
	wanted := l.wanted()
	if to >= last || wanted == 0 || last-min(wanted, last) > l.wantedMax ||
		!l.disk.guards.on(guardSentLog) {
		return to
	}
	return min(to, wanted-1)
}

// recount finds the end of the log and the last entry in it that the state machine will see. The
// log must not change meanwhile.
func (l *diskLog) recount() error {
	last, err := l.to.LastIndex()
	if err != nil {
		return err
	}
	visible, at := uint64(0), last
	if l.disk.guards.on(guardVisibleRewrite) {
		for ; at > l.applied(); at-- {
			var log raft.Log
			if err := l.to.GetLog(at, &log); errors.Is(err, raft.ErrLogNotFound) {
				break
			} else if err != nil {
				return err
			}
			if seen(log.Type) {
				visible = at
				break
			}
		}
	} else {
		l.mu.Lock()
		visible = l.visible
		l.mu.Unlock()
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.last, l.visible = last, visible
	if l.noop.index > last {
		l.noop = noop{}
	}
	return nil
}

// diskStable is the guarded stable store. What is absent is zero, whatever the store says.
type diskStable struct {
	disk *disk
	to   raft.StableStore
}

func absent(err error) bool { return err != nil && err.Error() == "not found" }

func (s diskStable) Get(key []byte) (val []byte, err error) {
	err = s.disk.do("read vote", func() (err error) {
		if val, err = s.to.Get(key); absent(err) {
			val, err = nil, nil
		}
		return err
	})
	return val, err
}

func (s diskStable) GetUint64(key []byte) (val uint64, err error) {
	err = s.disk.do("read term", func() (err error) {
		if val, err = s.to.GetUint64(key); absent(err) {
			val, err = 0, nil
		}
		return err
	})
	return val, err
}

func (s diskStable) Set(key, val []byte) error {
	return s.disk.do("store vote", func() error { return s.to.Set(key, val) })
}

func (s diskStable) SetUint64(key []byte, val uint64) error {
	return s.disk.do("store term", func() error { return s.to.SetUint64(key, val) })
}
