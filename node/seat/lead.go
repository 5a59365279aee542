package seat

import (
	"context"
	"log/slog"
	"time"

	"github.com/staffetta/staffetta/consensus"
	"github.com/staffetta/staffetta/wire"
)

// DutyPause separates the tries of a duty that failed.
const DutyPause = 200 * time.Millisecond

// WhileLeading runs duty each time this node leads the group, with a context that ends when it
// does not any more. It returns when ctx ends, after the duty did.
func (s *Seat) WhileLeading(ctx context.Context, g *consensus.Group,
	duty func(context.Context) error) error {
	watch, cancel := g.Watch()
	defer cancel()
	stop, done := func() {}, make(chan error, 1)
	running := false
	for {
		select {
		case l, open := <-watch:
			if !open { // the group ended
				watch = nil
			}
			if l.Self == running {
				continue
			}
			if running {
				stop()
				if err := <-done; err != nil {
					return err
				}
				running = false
				continue
			}
			running = true
			var dutyCtx context.Context
			dutyCtx, stop = context.WithCancel(ctx)
			go func() { done <- duty(dutyCtx) }()
		case err := <-done:
			// A duty ends early only when it cannot go on.
			stop()
			return err
		case <-ctx.Done():
			stop()
			if running {
				return <-done
			}
			return nil
		}
	}
}

// Every calls round at once and then once in each period, until it returns an error or ctx ends
// (nil).
func Every(ctx context.Context, period time.Duration, round func() error) error {
	tick := time.NewTicker(period)
	defer tick.Stop()
	for {
		if err := round(); err != nil {
			return err
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return nil
		}
	}
}

// Rounds is Every for a round that may fail: the next one tries again, and what does not pass by
// itself is in the log as what waits.
func (s *Seat) Rounds(ctx context.Context, period time.Duration, waits string,
	round func(context.Context) error) error {
	return Every(ctx, period, func() error {
		if err := round(ctx); err != nil && ctx.Err() == nil {
			level := slog.LevelWarn
			if wire.Retriable(err) {
				level = slog.LevelDebug
			}
			s.Log.LogAttrs(ctx, level, waits, slog.String("reason", err.Error()))
		}
		return nil
	})
}

// Persist repeats f until it succeeds (true) or ctx ends.
func (s *Seat) Persist(ctx context.Context, f func(context.Context) error) bool {
	for {
		err := f(ctx)
		if err == nil {
			return true
		}
		if ctx.Err() == nil && !wire.Retriable(err) {
			s.Log.Warn("a leader's duty failed", "reason", err.Error())
		}
		select {
		case <-time.After(DutyPause):
		case <-ctx.Done():
			return false
		}
	}
}
