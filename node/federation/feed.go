package federation

import (
	"sync"

	"github.com/staffetta/staffetta/wire"
)

// event is one change. Nearly all are of the directory, and kept small: as many as 65,536 are
// remembered.
type event struct {
	index     uint64
	recipient wire.Recipient
	row       directoryRow
	other     *wire.FeedEvent // a change of anything else
}

// tell remembers a change made by the entry being applied.
func (t *tx) tell(e *wire.FeedEvent) {
	t.events = append(t.events, event{index: t.pos.Index, other: e})
}

// tellDirectory remembers a change of a code's entry; of several within one log entry only the
// last matters.
func (t *tx) tellDirectory(r wire.Recipient, row directoryRow) {
	if i, ok := t.latest[r]; ok {
		t.events[i].row = row
		return
	}
	t.latest[r] = len(t.events)
	t.events = append(t.events, event{index: t.pos.Index, recipient: r, row: row})
}

// feed remembers recent changes. It is derived from what is applied and is not part of the
// state: it starts empty with the process.
type feed struct {
	max int

	mu      sync.Mutex
	ring    []event
	first   int           // where the oldest event is, once the ring is full
	floor   uint64        // every change after this index is in the ring
	index   uint64        // every change up to here was published
	changed chan struct{} // closed at the next change
}

func newFeed(max int, index uint64) *feed {
	return &feed{max: max, floor: index, index: index, changed: make(chan struct{})}
}

// publish adds the changes that led to index.
func (f *feed) publish(index uint64, events []event) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.index = index
	for _, e := range events {
		if len(f.ring) < f.max {
			f.ring = append(f.ring, e)
			continue
		}
		f.floor = f.ring[f.first].index
		f.ring[f.first] = e
		f.first = (f.first + 1) % f.max
	}
	if len(events) > 0 {
		f.wake()
	}
}

// reset forgets everything: the state was replaced by another replica's.
func (f *feed) reset(index uint64) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.ring, f.first, f.floor, f.index = nil, 0, index, index
	f.wake()
}

func (f *feed) wake() {
	close(f.changed)
	f.changed = make(chan struct{})
}

func (f *feed) at(i int) *event { return &f.ring[(f.first+i)%len(f.ring)] }

// next returns the changes after from, those of an entry never split over two frames, and a
// channel that is closed when there are more.
func (f *feed) next(from uint64) (events []event, index uint64, reset bool,
	wait <-chan struct{}) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if from < f.floor || from > f.index {
		return nil, f.index, true, f.changed
	}
	lo, hi := 0, len(f.ring)
	for lo < hi { // the first event after from
		if mid := (lo + hi) / 2; f.at(mid).index <= from {
			lo = mid + 1
		} else {
			hi = mid
		}
	}
	end := min(lo+wire.FeedEventsMax, len(f.ring))
	if end == len(f.ring) {
		index = f.index
	} else { // cut before the entry that does not fit
		for end > lo && f.at(end-1).index == f.at(end).index {
			end--
		}
		if end == lo { // one entry with more changes than a frame may have
			return nil, f.index, true, f.changed
		}
		index = f.at(end - 1).index
		done := make(chan struct{})
		close(done)
		wait = done
	}
	for i := lo; i < end; i++ {
		events = append(events, *f.at(i))
	}
	if wait == nil {
		wait = f.changed
	}
	return events, index, false, wait
}

// Feed returns the changes after the log index from, at most wire.FeedEventsMax, and a channel
// that is closed when there may be more; already closed when the frame did not hold them all.
// The frame's Index is where to go on. Reset says that changes are missing: from is older than
// what is remembered, or ahead of this replica, whose answers may then have been older than from.
func (s *State) Feed(from uint64) (frame *wire.FeedFrame, wait <-chan struct{}) {
	events, index, reset, wait := s.feed.next(from)
	frame = &wire.FeedFrame{Index: index, Reset: reset}
	f := s.founded.Load()
	for i := range events {
		e := &events[i]
		if e.other != nil {
			frame.Events = append(frame.Events, *e.other)
			continue
		}
		entry := e.row.resolved(f, e.recipient)
		frame.Events = append(frame.Events, wire.FeedEvent{Recipient: e.recipient, Entry: &entry})
	}
	return frame, wait
}
