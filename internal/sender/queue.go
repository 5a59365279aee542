package sender

import (
	"context"
	"sync"
	"time"
)

// queue has the lines that are to be sent: fresh ones, and those to be sent again.
type queue struct {
	fresh chan *task // closed after the last one, unless the run ends before

	mu    sync.Mutex
	again []*task // guarded by mu; at most a window
}

// put gives back lines that are to be sent again, from their notBefore on. Who puts takes again
// afterwards: nobody else is woken.
func (q *queue) put(tasks ...*task) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.again = append(q.again, tasks...)
}

// take returns up to limit lines as soon as there are some; none when all have been taken, or ctx
// has ended. limit is asked when there are.
func (q *queue) take(ctx context.Context, limit func() int) []*task {
	for fresh := q.fresh; ctx.Err() == nil; {
		batch, next := q.due(limit())
		for more := true; more && len(batch) < limit(); {
			select {
			case t, ok := <-fresh:
				if !ok {
					fresh, more = nil, false
					continue
				}
				batch = append(batch, t)
			default:
				more = false
			}
		}
		if len(batch) > 0 {
			return batch
		}
		if fresh == nil && next.IsZero() {
			return nil
		}
		if t := q.await(ctx, fresh, next); t != nil {
			q.put(t) // it is due, and is taken with those that came with it
		} else if fresh != nil && next.IsZero() {
			fresh = nil
		}
	}
	return nil
}

// await waits for a fresh line, which it returns, for the time next, for the end of all lines, or
// for that of ctx.
func (q *queue) await(ctx context.Context, fresh <-chan *task, next time.Time) *task {
	var timer <-chan time.Time
	if !next.IsZero() {
		t := time.NewTimer(time.Until(next))
		defer t.Stop()
		timer = t.C
	}
	select {
	case t := <-fresh:
		return t
	case <-timer:
	case <-ctx.Done():
	}
	return nil
}

// due takes up to limit lines whose time has come; otherwise it says when that of the first one
// comes, zero when there is none.
func (q *queue) due(limit int) (batch []*task, next time.Time) {
	q.mu.Lock()
	defer q.mu.Unlock()
	now, rest := time.Now(), q.again[:0]
	for _, t := range q.again {
		if len(batch) < limit && !t.notBefore.After(now) {
			batch = append(batch, t)
			continue
		}
		if next.IsZero() || t.notBefore.Before(next) {
			next = t.notBefore
		}
		rest = append(rest, t)
	}
	clear(q.again[len(rest):])
	q.again = rest
	return batch, next
}
