package route

import (
	"time"

	"github.com/staffetta/staffetta/wire"
)

const (
	// quantumBytes is what an institution of weight 1 may put into blocks in one round: more
	// than the largest message of the contract, about as much as 48 usual ones.
	quantumBytes = 64 << 10
	// creditRounds is the number of rounds after which every debt is paid: an overdraft of one
	// quantum and the largest record on top.
	creditRounds = 2 + (wire.RecordBytesMax+itemBytes)/quantumBytes
	// sharesKept is how many institutions a lane remembers before it looks for idle ones.
	sharesKept = 1024
)

// share is one institution's part of a lane. Guarded by the lane's mu.
type share struct {
	weight int
	credit int    // bytes that may still go in this round; below 0: a debt
	round  uint64 // when credit was topped up last
	queues [classes]queue
}

// queue is what an institution has in a lane in one class. Guarded by the lane's mu.
type queue struct {
	share          *share
	class          class
	waiting        items
	blocked        items // bulk that has no room to wait yet
	records, bytes int   // waiting and under way
	next           *queue
	inTurns        bool // it has a place in the order of turns
	inBlocked      bool
}

// turns is an order of queues.
type turns struct{ head, tail *queue }

func (t *turns) push(q *queue) {
	if q.next = nil; t.tail == nil {
		t.head = q
	} else {
		t.tail.next = q
	}
	t.tail = q
}

func (t *turns) pop() *queue {
	q := t.head
	if q == nil {
		return nil
	}
	if t.head = q.next; t.head == nil {
		t.tail = nil
	}
	q.next = nil
	return q
}

// share returns an institution's part of the lane, a new one with full credit.
func (l *lane) share(from wire.InstitutionID) *share {
	if s := l.shares[from]; s != nil {
		return s
	}
	if len(l.shares) >= l.sweepAt {
		for id, s := range l.shares {
			if s.idle() {
				delete(l.shares, id)
			}
		}
		l.sweepAt = max(sharesKept, 2*len(l.shares))
	}
	s := &share{weight: max(1, l.weights[from]), round: l.round}
	s.credit = s.quantum()
	for c := range classes {
		s.queues[c].share, s.queues[c].class = s, c
	}
	l.shares[from] = s
	return s
}

func (s *share) idle() bool {
	for i := range s.queues {
		if q := &s.queues[i]; q.records > 0 || q.blocked.head != nil || q.inTurns || q.inBlocked {
			return false
		}
	}
	return true
}

func (s *share) quantum() int { return s.weight * quantumBytes }

// mayGo reports whether the queue's institution has credit for another record. Interactive
// records may overdraw it by a quantum, which later rounds pay: an institution's own bulk never
// makes them wait for the next round.
func (l *lane) mayGo(q *queue) bool {
	s := q.share
	if s.round != l.round {
		rounds := int(min(l.round-s.round, creditRounds))
		s.credit, s.round = min(s.credit+rounds*s.quantum(), s.quantum()), l.round
	}
	if q.class == interactive {
		return s.credit > -s.quantum()
	}
	return s.credit > 0
}

// take removes and returns the record whose turn it is; nil when nobody waits. Each institution
// sends one record at a turn, first all that have interactive ones, then all that have bulk, as
// long as it has credit; when nobody who waits has any, the next round begins. With reserved, bulk
// is passed over.
func (l *lane) take(reserved bool) *item {
	among := classes
	if reserved {
		among = bulk
	}
	for l.waiting[interactive] > 0 || !reserved && l.waiting[bulk] > 0 {
		for c := range among {
			for q := l.turns[c].pop(); q != nil; q = l.turns[c].pop() {
				it := q.waiting.head
				switch {
				case it == nil:
					q.inTurns = false // whoever waited has left
					continue
				case !l.mayGo(q):
					l.spent[c].push(q)
					continue
				}
				q.share.credit -= it.size
				l.unlink(it)
				if q.inTurns = q.waiting.head != nil; q.inTurns {
					l.turns[c].push(q)
				}
				return it
			}
		}
		l.round++
		for c := range among {
			l.turns[c], l.spent[c] = l.spent[c], turns{}
		}
	}
	return nil
}

// hasRoom reports whether a bulk record may wait in the lane: within its institution's bound,
// and within that of all bulk together, which leaves room for interactive records. Who has
// nothing in the lane yet need not wait for those who have. While the region does not answer, one
// record of all is let in: it finds out.
func (l *lane) hasRoom(it *item, now time.Time) bool {
	q, all := it.queue, &l.held[bulk]
	switch {
	case l.away(now):
		return all.records == 0
	case all.records == 0:
		return true
	case q.records == 0:
		return all.records < l.limits.WaitingRecords/2 &&
			all.bytes+it.size <= l.limits.WaitingBytes/2
	}
	return q.records < l.limits.BulkRecords && q.bytes+it.size <= l.limits.BulkBytes &&
		all.records < l.limits.WaitingRecords/bulkPart &&
		all.bytes+it.size <= l.limits.WaitingBytes/bulkPart
}

// admit lets blocked bulk records in where there is room now, one institution after the other.
func (l *lane) admit(now time.Time) {
	for full := 0; full < len(l.blocked); {
		q := l.blocked[0]
		copy(l.blocked, l.blocked[1:])
		l.blocked = l.blocked[:len(l.blocked)-1]
		switch it := q.blocked.head; {
		case it == nil: // whoever was blocked has left
			q.inBlocked = false
			continue
		case l.hasRoom(it, now):
			full = 0
			l.unblock(it)
			if it.patient {
				it.deadline = now.Add(l.ownerWait)
			}
			l.enter(it, now)
		default:
			full++
		}
		l.blocked = append(l.blocked, q)
	}
}

// unblock takes an item off its queue's blocked ones; a StartBulk that holds it goes on.
func (l *lane) unblock(it *item) {
	it.queue.blocked.remove(it)
	l.blockedItems--
	if it.patient {
		it.room <- struct{}{}
	}
}

// failBlocked answers every blocked record.
func (l *lane) failBlocked(err error) {
	for _, q := range l.blocked {
		for it := q.blocked.head; it != nil; it = q.blocked.head {
			l.unblock(it)
			it.answer(wire.Outcome{}, err)
		}
		q.inBlocked = false
	}
	l.blocked = l.blocked[:0]
}
