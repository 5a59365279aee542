package route

import (
	"context"
	"sync"
	"time"

	"github.com/staffetta/staffetta/wire"
	"github.com/staffetta/staffetta/wire/link"
)

const (
	// itemBytes is what a waiting record costs besides its content.
	itemBytes = 512
	// spareRecords and spareAfter say when a block leaves beside one that is under way: when it
	// is half full, or when its first record has waited so long that the other one must be
	// stuck. Blocks that leave as soon as they can are small, and the region pays for each of
	// them with an entry in three logs: a fifth more processor time per message at 128 waiting.
	spareRecords = wire.BlockRecordsMax / 2
	spareAfter   = 100 * time.Millisecond
)

// lane is the queue of one region's records, from which a fixed number of carriers each make one
// block after the other. A carrier that becomes free takes all that fits of what waits. When no
// block is under way it leaves with the first record at once; beside another block it waits until
// leaving is worth it. Safe for concurrent use.
type lane struct {
	// Set at construction.
	recordsMax, bytesMax int
	wake                 chan struct{}

	// Guarded by mu.
	mu             sync.Mutex
	head, tail     *item // waiting, oldest first
	records, bytes int   // waiting and under way
	waiting        int
	underWay       int // blocks
	closed         bool
}

// item is one record on its way through a lane.
type item struct {
	// Owned by the submission while the item is in no lane.
	rec      *wire.Record
	size     int
	joined   time.Time
	deadline time.Time
	alone    bool // goes in a block of its own
	// Set before done gets its one element.
	done    chan struct{}
	outcome wire.Outcome
	err     error
	unknown bool // this trip may have been applied without our knowing

	// Guarded by the lane's mu.
	next, prev *item
	queued     bool
	abandoned  bool // nobody waits for it any more, and its record must not be read
}

func newItem(rec *wire.Record, deadline time.Time) *item {
	return &item{rec: rec, deadline: deadline, done: make(chan struct{}, 1)}
}

func newLane(l Limits) *lane {
	return &lane{recordsMax: l.WaitingRecords, bytesMax: l.WaitingBytes,
		wake: make(chan struct{}, l.BlocksInFlight)}
}

// join puts an item at the end of the queue; Overloaded when the lane is full.
func (l *lane) join(it *item) error {
	it.size, it.joined = len(it.rec.Content)+itemBytes, time.Now()
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return errStopping
	}
	if l.records >= l.recordsMax || l.bytes+it.size > l.bytesMax {
		return wire.Errorf(wire.Overloaded, "%d records wait for the region", l.records)
	}
	l.records++
	l.bytes += it.size
	l.push(it)
	if l.underWay == 0 || l.waiting == 1 || l.waiting >= spareRecords {
		l.call()
	}
	return nil
}

// call wakes a carrier, if one sleeps.
func (l *lane) call() {
	select {
	case l.wake <- struct{}{}:
	default: // as many calls as there are carriers are pending already
	}
}

func (l *lane) push(it *item) {
	it.queued, it.prev, it.next = true, l.tail, nil
	if l.tail == nil {
		l.head = it
	} else {
		l.tail.next = it
	}
	l.tail = it
	l.waiting++
}

func (l *lane) unlink(it *item) {
	if it.prev == nil {
		l.head = it.next
	} else {
		it.prev.next = it.next
	}
	if it.next == nil {
		l.tail = it.prev
	} else {
		it.next.prev = it.prev
	}
	it.queued, it.prev, it.next = false, nil, nil
	l.waiting--
}

// leave takes an item out if it still waits, and reports whether no copy of it can have been
// applied: an item that has left already is in a block, and one that waits again after its block
// was taken apart may have been. Afterwards nobody reads its record.
func (l *lane) leave(it *item) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	it.abandoned = true
	if !it.queued {
		return false
	}
	l.unlink(it)
	l.records--
	l.bytes -= it.size
	return !it.unknown
}

// fill moves waiting records into b until it is full, and returns their items: then a block is
// under way, until landed. When leaving is not worth it yet it returns none, and how long until
// it will be even if nobody else comes; 0 when nobody waits. Records are encoded under the lock,
// about a tenth of a millisecond for a full block, so that a caller who gives up knows whether
// its record is still being read.
func (l *lane) fill(b *wire.Builder, into []*item) (batch []*item, wait time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.head != nil && l.underWay > 0 && l.waiting < spareRecords {
		if wait = spareAfter - time.Since(l.head.joined); wait > 0 {
			return into, wait
		}
	}
	for it := l.head; it != nil; it = l.head {
		if it.alone && len(into) > 0 {
			break
		}
		if !b.Add(it.rec) {
			if b.Len() > 0 {
				break
			}
			l.unlink(it)
			l.finishLocked(it, wire.Outcome{}, wire.Errorf(wire.TooLarge,
				"record larger than %d bytes", wire.RecordBytesMax))
			continue
		}
		l.unlink(it)
		if into = append(into, it); it.alone {
			break
		}
	}
	if len(into) > 0 {
		l.underWay++
	}
	if l.head != nil {
		l.call() // the next carrier sees when it should leave with the rest
	}
	return into, 0
}

// landed notes that a block is no longer under way.
func (l *lane) landed() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.underWay--
}

// finish answers an item that is not waiting.
func (l *lane) finish(it *item, o wire.Outcome, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.finishLocked(it, o, err)
}

func (l *lane) finishLocked(it *item, o wire.Outcome, err error) {
	l.records--
	l.bytes -= it.size
	it.outcome, it.err = o, err
	it.done <- struct{}{}
}

// close answers whoever waits and refuses whoever comes.
func (l *lane) close() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.closed = true
	for it := l.head; it != nil; it = l.head {
		l.unlink(it)
		l.finishLocked(it, wire.Outcome{}, errStopping)
	}
}

func (l *lane) load() (waiting, records, bytes int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.waiting, l.records, l.bytes
}

// carry makes blocks of a region's lane and brings them to its leader, one after the other,
// until ctx ends.
func (r *Router) carry(ctx context.Context, o *owner) error {
	var b wire.Builder
	batch := make([]*item, 0, wire.BlockRecordsMax)
	for {
		var wait time.Duration
		if batch, wait = o.lane.fill(&b, batch[:0]); len(batch) == 0 {
			if !o.lane.await(ctx, wait) {
				return nil
			}
			continue
		}
		frame := b.Seal(r.coder)
		r.stats.blockRecords.Observe(float64(len(batch)))
		r.stats.blockBytes.Observe(float64(len(frame)))
		r.deliver(ctx, o, frame, batch)
		o.lane.landed()
		clear(batch)
	}
}

// await returns when somebody joins, or after wait when that is not 0; false when ctx ended.
func (l *lane) await(ctx context.Context, wait time.Duration) bool {
	var after <-chan time.Time
	if wait > 0 {
		t := time.NewTimer(wait)
		defer t.Stop()
		after = t.C
	}
	select {
	case <-l.wake:
	case <-after:
	case <-ctx.Done():
		return false
	}
	return true
}

// deliver brings one block to the region's leader and answers its items. The block is sent
// again, as the same bytes, until the leader has answered or the last of its records has waited
// long enough.
func (r *Router) deliver(ctx context.Context, o *owner, frame []byte, batch []*item) {
	var until time.Time
	for _, it := range batch {
		if it.deadline.After(until) {
			until = it.deadline
		}
	}
	ctx, cancel := context.WithDeadline(ctx, until)
	defer cancel()
	began := time.Now()
	answer, unknown, err := o.Ask(ctx, link.Ask{Method: wire.MethodSubmit, Req: frame, Again: true,
		Wait: link.AttemptWait, Failed: r.stats.failed})
	r.stats.blockSeconds.WithLabelValues(string(o.id)).Observe(time.Since(began).Seconds())
	var outcomes wire.Outcomes
	if err == nil {
		err = wire.Decode(answer, &outcomes)
		if err != nil || len(outcomes.List) != len(batch) {
			unknown = true
			err = wire.Errorf(wire.OutcomeUnknown, "region %s: the answer makes no sense", o.id)
			r.cfg.Logger.Error("outcomes do not fit their block", "region", o.id,
				"records", len(batch), "outcomes", len(outcomes.List))
		}
	}
	if err != nil && len(batch) > 1 && recordsFault(err) {
		r.separate(o, batch, unknown, err)
		return
	}
	for i, it := range batch {
		it.unknown = it.unknown || unknown
		if err != nil {
			o.lane.finish(it, wire.Outcome{}, err)
		} else {
			o.lane.finish(it, outcomes.List[i], nil)
		}
	}
}

// recordsFault tells an error that one record of a block may have caused.
func recordsFault(err error) bool {
	switch wire.AsError(err).Code {
	case wire.Malformed, wire.TooLarge, wire.Forbidden, wire.UnknownKind:
		return true
	}
	return false
}

// separate sends the records of a refused block again, each in a block of its own, so that one
// record that the leader does not accept can not take others with it. The gateway checks what
// it sends, so this happens only when the two disagree, such as during an upgrade.
func (r *Router) separate(o *owner, batch []*item, unknown bool, err error) {
	r.cfg.Logger.Warn("block refused, its records go one by one", "region", o.id,
		"records", len(batch), "reason", wire.AsError(err).Code.String())
	for _, it := range batch {
		it.alone, it.unknown = true, it.unknown || unknown
		o.lane.again(it)
	}
}

// again puts an item that was in a block back at the end of the queue.
func (l *lane) again(it *item) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed || it.abandoned {
		l.finishLocked(it, wire.Outcome{}, errStopping)
		return
	}
	l.push(it)
	l.call()
}
