package store

import (
	"sync"

	"github.com/cockroachdb/pebble/v2"
)

// scheduler lets Pebble run one compaction at a time, and none before the database is open: an
// Open that fails while a compaction runs ends the process. Unlike Pebble's own it needs no
// goroutine that wakes ten times a second, since what it grants never changes by itself.
type scheduler struct {
	mu       sync.Mutex // guards what follows
	db       pebble.DBForCompaction
	open     bool
	closed   bool
	running  bool
	granting bool       // a call into the database is under way
	wanted   bool       // a compaction was refused, or ended, since the last look
	granted  *sync.Cond // when granting ends
}

func newScheduler() *scheduler {
	s := &scheduler{}
	s.granted = sync.NewCond(&s.mu)
	return s
}

// Register is called while the database is being opened.
func (s *scheduler) Register(_ int, db pebble.DBForCompaction) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.db = db
}

// start allows compactions; the database is open.
func (s *scheduler) start() {
	s.mu.Lock()
	s.open = true
	s.mu.Unlock()
	s.grant()
}

// Unregister ends compactions; on return no call into the database is under way.
func (s *scheduler) Unregister() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closed = true
	for s.granting {
		s.granted.Wait()
	}
}

// TrySchedule is called with Pebble's lock held. A refused compaction waits to be granted.
func (s *scheduler) TrySchedule() (bool, pebble.CompactionGrantHandle) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.free() {
		s.wanted = true
		return false, nil
	}
	s.running = true
	return true, s
}

// free is called with mu held.
func (s *scheduler) free() bool { return s.open && !s.closed && !s.running && !s.granting }

// UpdateGetAllowedWithoutPermission tells of a limit that is always one here.
func (s *scheduler) UpdateGetAllowedWithoutPermission() {}

// grant starts the compaction that waits, if there is one. Pebble's lock must not be held.
func (s *scheduler) grant() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for s.wanted = true; s.wanted && s.free(); {
		s.wanted, s.granting, s.running = false, true, true
		s.mu.Unlock()
		waiting, _ := s.db.GetWaitingCompaction()
		accepted := waiting && s.db.Schedule(s)
		s.mu.Lock()
		if !accepted { // else Done clears running, perhaps already has
			s.running = false
		}
		s.granting = false
		s.granted.Broadcast()
	}
}

// Started begins a granted compaction.
func (s *scheduler) Started() {}

// MeasureCPU is not used.
func (s *scheduler) MeasureCPU(pebble.CompactionGoroutineKind) {}

// CumulativeStats is not used.
func (s *scheduler) CumulativeStats(pebble.CompactionGrantHandleStats) {}

// Done ends a granted compaction.
func (s *scheduler) Done() {
	s.mu.Lock()
	s.running = false
	s.mu.Unlock()
	s.grant()
}
