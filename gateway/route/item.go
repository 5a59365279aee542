package route

import (
	"sync/atomic"
	"time"

	"github.com/staffetta/staffetta/wire"
)

// class is how a submission is waited for.
type class uint8

const (
	interactive class = iota // somebody waits for this one
	bulk                     // one of a stream
	classes
)

func (c class) String() string { return [classes]string{"interactive", "bulk"}[c] }

// place is where an item is.
type place uint8

const (
	outside  place = iota // in no lane
	blocked               // has no room to wait yet
	waiting               // in its institution's queue, or for a block of its own
	underWay              // in a block
	answered              // done has its element
)

// item is one record on its way through a lane.
type item struct {
	// Owned by the submission while the item is outside; then not changed.
	rec     *wire.Record
	spooled *wire.Record // what is spooled instead when the region goes away; nil: nothing
	from    wire.InstitutionID
	class   class
	patient bool // somebody waits for room
	// done gets one element when outcome, err and unknown are set; room, when patient, when the
	// item is no longer blocked.
	done    chan struct{}
	room    chan struct{}
	outcome wire.Outcome
	err     error
	unknown bool // this trip may have been applied without our knowing
	offered bool // an earlier trip may have been

	// lane is where the item is, or was last: a lane moves it to its region's spool lane when the
	// region goes away. It changes under the mu of both.
	lane atomic.Pointer[lane]

	// Guarded by the lane's mu from join on.
	size       int
	deadline   time.Time // it is not sent afterwards
	queue      *queue
	next, prev *item
	place      place
	alone      bool // goes in a block of its own
	abandoned  bool // nobody waits for it any more, and its content must not be read
}

// answer ends an item's stay.
func (it *item) answer(o wire.Outcome, err error) {
	it.place, it.outcome, it.err = answered, o, err
	it.done <- struct{}{}
}

// items is a list of items, oldest first.
type items struct{ head, tail *item }

func (l *items) push(it *item) {
	it.prev, it.next = l.tail, nil
	if l.tail == nil {
		l.head = it
	} else {
		l.tail.next = it
	}
	l.tail = it
}

func (l *items) remove(it *item) {
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
	it.prev, it.next = nil, nil
}
