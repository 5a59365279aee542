package institution

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/staffetta/staffetta/internal/problem"
	"github.com/staffetta/staffetta/wire"
)

const (
	// burstMin is the least that a capacity lets through at once: half a block.
	burstMin = wire.BlockRecordsMax / 2
	// burstPart of a second's submissions are let through at once, where that is more.
	burstPart = 10
	// capacityMax bounds Config.Capacity: far above what one gateway can do.
	capacityMax = 1_000_000
	// pauseMin and pauseMax bound how long waitCapacity waits before it looks again.
	pauseMin = time.Millisecond
	pauseMax = 100 * time.Millisecond
)

// capacity lets through so many submissions a second, of all institutions together: a bucket of
// tokens, which holds one burst. What it cannot let through is refused before its body is read,
// so that a gateway which is asked for more than it can do goes on doing what it can.
//
// No institution takes everything. A window is the time in which the bucket fills; in it each of
// several institutions that ask has an equal share of a burst, and one that is below its share is
// let through even from an empty bucket, which then owes. What the bucket owes is paid before
// anybody above its share gets more, and is a burst at most: over any time, no more than two
// bursts beyond the limit are let through.
//
// A nil capacity has no limit. Safe for concurrent use.
type capacity struct {
	// Set at construction.
	perSecond, burst float64
	window           time.Duration

	// Guarded by mu.
	mu     sync.Mutex
	tokens float64 // at filled; below zero: owed
	filled time.Time
	began  time.Time // of the window
	taken  map[wire.InstitutionID]int
	asked  int // institutions that asked in the window before
}

func newCapacity(perSecond int) *capacity {
	if perSecond == 0 {
		return nil
	}
	burst := max(burstMin, float64(perSecond)/burstPart)
	return &capacity{perSecond: float64(perSecond), burst: burst, tokens: burst,
		window: time.Duration(burst / float64(perSecond) * float64(time.Second)),
		taken:  make(map[wire.InstitutionID]int)}
}

func checkCapacity(perSecond int) error {
	if perSecond < 0 || perSecond > capacityMax {
		return fmt.Errorf("institution: capacity of %d submissions a second, not 0 to %d",
			perSecond, capacityMax)
	}
	return nil
}

// take takes a token for a submission, if there are more than spare or the institution is below
// its share. Otherwise it says after what time there will be, if nobody else takes them.
func (c *capacity) take(from wire.InstitutionID, spare float64) (after time.Duration, ok bool) {
	if c == nil {
		return 0, true
	}
	now := time.Now()
	c.mu.Lock()
	defer c.mu.Unlock()
	c.turn(now)
	taken, counted := c.taken[from]
	if !counted && len(c.taken) < ratesMax {
		c.taken[from], counted = 0, true
	}
	sharers := max(c.asked, len(c.taken))
	below := sharers > 1 && float64(taken) < c.burst/float64(sharers)
	if c.tokens < spare+1 && !(counted && below && c.tokens >= 1-c.burst) {
		return time.Duration((spare + 1 - c.tokens) / c.perSecond * float64(time.Second)), false
	}
	c.tokens--
	if counted {
		c.taken[from] = taken + 1
	}
	return 0, true
}

// turn fills the bucket up to now, and begins a window when one has passed. The caller holds mu.
func (c *capacity) turn(now time.Time) {
	c.tokens = min(c.burst, c.tokens+now.Sub(c.filled).Seconds()*c.perSecond)
	c.filled = now
	if now.Sub(c.began) >= c.window {
		c.asked, c.began = len(c.taken), now
		clear(c.taken)
	}
}

// overCapacity is a submission beyond the gateway's capacity: it is sent away before its body
// is read.
var overCapacity = problem.FromWire(wire.Overloaded).With(
	"The gateway takes no more submissions now. Nothing was recorded; try again.")

// waitCapacity waits until the gateway's capacity has room for one more bulk submission of an
// institution, and takes it. Single submissions, whose clients wait for each, come first: a bulk
// one takes what they leave of the bucket's upper half, or of the institution's share. The error
// is overCapacity, after wire.OwnerWait or when ctx ends before.
func (a *API) waitCapacity(ctx context.Context, from wire.InstitutionID) error {
	if a.capacity == nil {
		return nil
	}
	began := time.Now()
	for {
		after, ok := a.capacity.take(from, a.capacity.burst/2)
		switch {
		case ok:
			return nil
		case time.Since(began) >= wire.OwnerWait || !pause(ctx, min(max(after, pauseMin), pauseMax)):
			return overCapacity
		}
	}
}

// pause waits for d; false when ctx ended before.
func pause(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}
