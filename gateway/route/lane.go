package route

import (
	"context"
	"iter"
	"slices"
	"sync"
	"time"

	"github.com/staffetta/staffetta/wire"
)

const (
	// itemBytes is what a waiting record costs besides its content.
	itemBytes = 512
	// spareRecords and spareAfter say when a block leaves beside one that is under way: when it
	// is half full, or when the last one left so long ago that it must be stuck. Blocks that
	// leave as soon as they can are small, and the region pays for each of them with an entry in
	// three logs: a fifth more processor time per message at 128 waiting.
	spareRecords = wire.BlockRecordsMax / 2
	spareAfter   = 100 * time.Millisecond
	// reserveFor is how long after an interactive record one carrier is kept from bulk, so that the
	// next one need not wait for blocks that are full. Alone, a stream has all carriers.
	reserveFor = time.Second
	// bulkPart of a lane's room is what all bulk together may have; more would only be older
	// when its turn comes.
	bulkPart = 4
	// probeWait is the time that the one bulk record has which finds out whether a region that
	// did not answer does again; a stream waits for it.
	probeWait = time.Second
)

// Why a lane refuses a record, in metrics.
const (
	refusedRegion      = "region"
	refusedInstitution = "institution"
	refusedAway        = "away"
	refusedAge         = "age"
)

const awayDetail = "the region has not answered for %s"

// lane is the queue of one region's records, from which a fixed number of carriers each make one
// block after the other. A carrier that becomes free takes all that fits of what waits, in turns
// of institutions, see share. When no block is under way it leaves with the first record at once;
// beside another block it waits until leaving is worth it. Safe for concurrent use.
type lane struct {
	// Set at construction.
	limits    Limits
	weights   map[wire.InstitutionID]int
	ownerWait time.Duration
	stats     *stats
	wake      chan struct{}
	spool     *lane     // takes over what can be spooled while the region is away; nil: nothing
	presence  *presence // whether it is

	// Guarded by mu.
	mu      sync.Mutex
	shares  map[wire.InstitutionID]*share
	sweepAt int // shares at which idle ones are dropped
	turns   [classes]turns
	spent   [classes]turns // those whose institution has had its part of this round
	round   uint64
	alone   items // each for a block of its own
	lone    int   // of them
	wasLone bool  // the last block was of one of them

	held         [classes]load // waiting and under way
	waiting      [classes]int
	blocked      []*queue // those with blocked items, in turns
	blockedItems int

	underWay  int // blocks
	bulky     int // of them, those with bulk in them
	leftAt    time.Time
	reserve   time.Time // until then one carrier is not for bulk
	silent    time.Time // blocks are under way since then and none was answered; zero: no
	failUntil time.Time // while it is away: bulk is refused until then
	closed    bool
}

// load is an amount of records.
type load struct{ records, bytes int }

func newLane(cfg *Config, st *stats) *lane {
	return &lane{limits: cfg.Limits, weights: cfg.Weights, ownerWait: cfg.OwnerWait, stats: st,
		wake:    make(chan struct{}, cfg.Limits.BlocksInFlight),
		shares:  make(map[wire.InstitutionID]*share),
		sweepAt: sharesKept}
}

// join puts an item at the end of its institution's queue. When there is no room an interactive
// one is refused with Overloaded, and a bulk one is blocked, full: it enters when there is. Bulk
// is refused with Unavailable while the region does not answer.
func (l *lane) join(it *item) (full bool, err error) {
	now := time.Now()
	it.size = len(it.rec.Content) + itemBytes
	l.mu.Lock()
	defer l.mu.Unlock()
	it.lane.Store(l)
	if l.closed {
		return false, errStopping
	}
	it.queue = &l.share(it.from).queues[it.class]
	if it.class == bulk {
		return l.joinBulk(it, now)
	}
	q, lim := it.queue, &l.limits
	switch all := l.held[interactive].records + l.held[bulk].records; {
	case all >= lim.WaitingRecords ||
		l.held[interactive].bytes+l.held[bulk].bytes+it.size > lim.WaitingBytes:
		return false, l.refuse(refusedRegion, wire.Overloaded, "%d records wait for the region", all)
	case q.records >= lim.InstitutionRecords || q.bytes+it.size > lim.InstitutionBytes:
		return false, l.refuse(refusedInstitution, wire.Overloaded,
			"%d records of the institution wait for the region", q.records)
	}
	l.enter(it, now)
	return false, nil
}

func (l *lane) joinBulk(it *item, now time.Time) (full bool, err error) {
	q := it.queue
	switch {
	case l.away(now) && now.Before(l.failUntil):
		return false, l.refuse(refusedAway, wire.Unavailable, awayDetail,
			now.Sub(l.silent).Round(time.Second))
	case q.blocked.head == nil && l.hasRoom(it, now):
		l.enter(it, now)
		return false, nil
	case l.blockedItems >= l.limits.WaitingRecords:
		return false, l.refuse(refusedRegion, wire.Overloaded, "%d bulk records wait for room",
			l.blockedItems)
	}
	it.place = blocked
	q.blocked.push(it)
	l.blockedItems++
	if !q.inBlocked {
		q.inBlocked = true
		l.blocked = append(l.blocked, q)
	}
	return true, nil
}

// enter lets an item wait for its turn.
func (l *lane) enter(it *item, now time.Time) {
	switch {
	case it.class == interactive:
		l.reserve = now.Add(reserveFor)
	case l.away(now):
		it.deadline = now.Add(probeWait)
	}
	q := it.queue
	q.records++
	q.bytes += it.size
	l.held[q.class].records++
	l.held[q.class].bytes += it.size
	l.push(it)
	n := l.waitingLocked()
	if l.underWay == 0 || n == 1 || n >= spareRecords ||
		it.class == interactive && l.bulky == l.underWay {
		l.call()
	}
}

// call wakes a carrier, if one sleeps.
func (l *lane) call() {
	select {
	case l.wake <- struct{}{}:
	default: // as many calls as there are carriers are pending already
	}
}

func (l *lane) push(it *item) {
	it.place = waiting
	q := it.queue
	if it.alone {
		l.alone.push(it)
		l.lone++
		return
	}
	q.waiting.push(it)
	l.waiting[q.class]++
	if !q.inTurns {
		q.inTurns = true
		l.turns[q.class].push(q)
	}
}

func (l *lane) waitingLocked() int { return l.waiting[interactive] + l.waiting[bulk] + l.lone }

// unlink takes an item that waits out of its list.
func (l *lane) unlink(it *item) {
	if it.alone {
		l.alone.remove(it)
		l.lone--
		return
	}
	it.queue.waiting.remove(it)
	l.waiting[it.class]--
}

// refuse counts a record that the lane does not take, or not any longer.
func (l *lane) refuse(why string, code wire.Code, format string, args ...any) error {
	l.stats.refused.WithLabelValues(why).Inc()
	return wire.Errorf(code, format, args...)
}

// leave takes an item out that nobody waits for any more; afterwards nobody reads its record.
// had says that the item was answered meanwhile; else sent says that a copy of it may have been
// applied: it is in a block, or it waits again after it was in one.
func (it *item) leave() (had, sent bool) {
	l := it.lane.Load()
	l.mu.Lock()
	for l != it.lane.Load() { // it was moved to the spool lane meanwhile
		l.mu.Unlock()
		l = it.lane.Load()
		l.mu.Lock()
	}
	defer l.mu.Unlock()
	switch it.place {
	case answered:
		<-it.done
		return true, false
	case underWay:
		it.abandoned = true
		return false, true
	case blocked:
		l.unblock(it)
	case waiting:
		l.unlink(it)
		l.release(it)
		l.admit(time.Now())
	}
	it.place = outside
	return false, it.unknown
}

// release gives back the room that an item had.
func (l *lane) release(it *item) {
	q := it.queue
	q.records--
	q.bytes -= it.size
	l.held[q.class].records--
	l.held[q.class].bytes -= it.size
}

// fill moves waiting records into b until it is full, and returns their items: then a block is
// under way, until landed. When leaving is not worth it yet it returns none, and how long until
// it will be even if nobody else comes; 0 when nobody waits. Records are encoded under the lock,
// about a tenth of a millisecond for a full block, so that a caller who gives up knows whether
// its record is still being read.
func (l *lane) fill(b *wire.Builder, into []*item) (batch []*item, wait time.Duration) {
	now := time.Now()
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.spool != nil && l.presence.away.Load() {
		l.moveLocked(now) // those that came, or waited again, while it was found to be away
	}
	reserved := l.bulky > 0 && l.bulky >= l.limits.BlocksInFlight-1 && now.Before(l.reserve)
	n := l.waitingLocked()
	switch {
	case n == 0:
		return into, 0
	case reserved && n == l.waiting[bulk]:
		return into, l.reserve.Sub(now)
	case l.underWay > 0 && n < spareRecords && !(reserved && l.bulky == l.underWay):
		if wait = spareAfter - now.Sub(l.leftAt); wait > 0 {
			return into, wait
		}
	}
	carriesBulk := false
	for b.Len() < wire.BlockRecordsMax && b.Size() < wire.BlockCloseBytes {
		it, last := l.pick(len(into) == 0, reserved)
		if it == nil {
			break
		}
		switch {
		case !it.deadline.After(now):
			l.release(it)
			it.answer(wire.Outcome{}, l.refuse(refusedAge, wire.Unavailable,
				"the record waited too long for its turn"))
		case !b.Add(it.rec):
			l.release(it)
			it.answer(wire.Outcome{}, wire.Errorf(wire.TooLarge, "record larger than %d bytes",
				wire.RecordBytesMax))
		default:
			it.place = underWay
			into = append(into, it)
			carriesBulk = carriesBulk || it.class == bulk
		}
		if last && len(into) > 0 {
			break
		}
	}
	if len(into) > 0 {
		if l.underWay++; l.silent.IsZero() {
			l.silent = now
		}
		l.leftAt, l.wasLone = now, into[0].alone
		if carriesBulk {
			l.bulky++
		}
	}
	l.admit(now)
	if l.waitingLocked() > 0 {
		l.call() // the next carrier sees when it should leave with the rest
	}
	return into, 0
}

// pick takes the record that is next; nil when none goes into this block. A record for a block of
// its own is the first and the last of its block; such blocks and others take turns.
func (l *lane) pick(first, reserved bool) (it *item, last bool) {
	rest := l.waiting[interactive] + l.waiting[bulk]
	if it = l.alone.head; it != nil && first && (rest == 0 || !l.wasLone) {
		l.unlink(it)
		return it, true
	}
	return l.take(reserved), false
}

// landed answers the items of a block that is no longer under way; spoke says that the region
// answered it, whatever it said. What the region left undecided waits again.
func (l *lane) landed(batch []*item, outcomes []wire.Outcome, unknown bool, err error,
	spoke bool) {
	now := time.Now()
	l.mu.Lock()
	defer l.mu.Unlock()
	if slices.ContainsFunc(batch, func(it *item) bool { return it.class == bulk }) {
		l.bulky--
	}
	spools := !spoke && l.mayMove(err)
	for i, it := range batch {
		it.unknown = it.unknown || unknown
		switch {
		case err != nil && len(batch) > 1 && recordsFault(err):
			it.alone = true
			l.again(it)
		case spools && it.spooled != nil && !it.abandoned:
			l.release(it)
			l.spool.takeOver(it, now)
		case err != nil:
			l.release(it)
			it.answer(wire.Outcome{}, err)
		case outcomes[i].Kind == wire.Undecided:
			l.again(it)
		default:
			l.release(it)
			it.answer(outcomes[i], nil)
		}
	}
	l.underWay--
	switch {
	case spoke && l.underWay == 0:
		l.silent = time.Time{}
	case spoke:
		l.silent = now
	case l.away(now):
		l.failUntil = now.Add(l.ownerWait)
		l.failBlocked(wire.Errorf(wire.Unavailable, awayDetail,
			now.Sub(l.silent).Round(time.Second)))
	}
	l.admit(now)
}

// again lets an item that was in a block wait once more.
func (l *lane) again(it *item) {
	if l.closed || it.abandoned {
		l.release(it)
		it.answer(wire.Outcome{}, errStopping)
		return
	}
	l.push(it)
	l.call()
}

// away reports whether the region has not answered for as long as a submission waits.
func (l *lane) away(now time.Time) bool {
	return !l.silent.IsZero() && now.Sub(l.silent) >= l.ownerWait
}

// close answers whoever waits and refuses whoever comes.
func (l *lane) close() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.closed = true
	l.failBlocked(errStopping)
	for it := range l.waitingItems() {
		l.unlink(it)
		l.release(it)
		it.answer(wire.Outcome{}, errStopping)
	}
}

// waitingItems are those that wait for a block. Each may be taken out as it comes.
func (l *lane) waitingItems() iter.Seq[*item] {
	return func(yield func(*item) bool) {
		lists := []*items{&l.alone}
		for _, s := range l.shares {
			for c := range s.queues {
				lists = append(lists, &s.queues[c].waiting)
			}
		}
		for _, list := range lists {
			for it := list.head; it != nil; {
				next := it.next
				if !yield(it) {
					return
				}
				it = next
			}
		}
	}
}

// load says how many records wait for a block, by class, and what waits or is under way.
func (l *lane) load() (waiting [classes]int, all load) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.waiting, load{l.held[interactive].records + l.held[bulk].records,
		l.held[interactive].bytes + l.held[bulk].bytes}
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
