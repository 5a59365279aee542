// Package backoff is the pause between tries: it doubles up to a bound, with jitter, so that those
// who failed together do not come back together.
package backoff

import (
	"context"
	"math/rand/v2"
	"time"
)

// Backoff is the pauses of one who tries, who uses it alone.
type Backoff struct {
	Min, Max time.Duration // above zero
	next     time.Duration
}

// Pause waits, twice as long as the time before; false when ctx ended first.
func (b *Backoff) Pause(ctx context.Context) bool {
	d := max(b.next, b.Min)
	b.next = min(2*d, b.Max)
	return Pause(ctx, d)
}

// Reset begins again with the shortest pause.
func (b *Backoff) Reset() { b.next = 0 }

// Pause waits for about d, half of it at least and one and a half at most; false when ctx ended
// first.
func Pause(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d/2 + rand.N(d))
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}
