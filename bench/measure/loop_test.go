package measure

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// fakeSystem acknowledges a request a fixed time after it began.
type fakeSystem struct {
	takes  time.Duration
	failAt int64 // the number of the request that fails; 0 is none

	requests, messages, underWay, most atomic.Int64
}

var errRefused = errors.New("refused")

func (f *fakeSystem) begin(_ context.Context, _ int, bodies [][]byte) (func() error, error) {
	number := f.requests.Add(1)
	now := f.underWay.Add(1)
	for most := f.most.Load(); now > most && !f.most.CompareAndSwap(most, now); {
		most = f.most.Load()
	}
	done := time.Now().Add(f.takes)
	return func() error {
		time.Sleep(time.Until(done))
		f.underWay.Add(-1)
		if number == f.failAt {
			return errRefused
		}
		f.messages.Add(int64(len(bodies)))
		return nil
	}, nil
}

func bodiesFor(t *testing.T) *Bodies {
	t.Helper()
	return NewBodies(1, 10, Codes(2))
}

func TestLoopCounts(t *testing.T) {
	for _, l := range []Loop{
		{Workers: 1, Window: 1, Batch: 1, Count: 10},
		{Workers: 3, Window: 1, Batch: 1, Count: 100},
		{Workers: 3, Window: 4, Batch: 1, Count: 100},
		{Workers: 2, Window: 2, Batch: 7, Count: 100}, // the last batch is smaller
		{Workers: 16, Window: 1, Batch: 1, Count: 3},  // most workers have nothing to do
	} {
		synctest.Test(t, func(t *testing.T) {
			l.Bodies = bodiesFor(t)
			f := &fakeSystem{takes: 10 * time.Millisecond}
			tally, err := l.Run(t.Context(), f.begin)
			if err != nil {
				t.Fatal(err)
			}
			if tally.Messages != l.Count || f.messages.Load() != l.Count {
				t.Errorf("%+v: %d messages counted, %d sent, want %d", l, tally.Messages,
					f.messages.Load(), l.Count)
			}
			if want := int64(l.Workers * l.Window); f.most.Load() > want {
				t.Errorf("%+v: %d requests under way, want at most %d", l, f.most.Load(), want)
			}
			if tally.P50.Round(time.Millisecond) != 10*time.Millisecond {
				t.Errorf("%+v: p50 %v, want 10ms", l, tally.P50)
			}
		})
	}
}

// With a window of w, w requests share the time of one.
func TestLoopEndsInTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := Loop{Workers: 2, Window: 3, Batch: 5, Duration: time.Second, Bodies: bodiesFor(t)}
		f := &fakeSystem{takes: 100 * time.Millisecond}
		tally, err := l.Run(t.Context(), f.begin)
		if err != nil {
			t.Fatal(err)
		}
		// Each worker begins another request as soon as its oldest is done: ten times w.
		if want := int64(2 * 3 * 5 * 10); tally.Messages < want-2*3*5 ||
			tally.Messages > want+2*3*5 {
			t.Errorf("%d messages in %v, want about %d", tally.Messages, tally.Elapsed, want)
		}
		if f.underWay.Load() != 0 {
			t.Errorf("%d requests are still under way", f.underWay.Load())
		}
		if tally.Elapsed < time.Second || tally.Elapsed > time.Second+f.takes {
			t.Errorf("took %v, want until the last answer", tally.Elapsed)
		}
	})
}

func TestLoopFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := Loop{Workers: 4, Window: 2, Batch: 1, Duration: time.Hour, Bodies: bodiesFor(t)}
		f := &fakeSystem{takes: time.Millisecond, failAt: 50}
		if _, err := l.Run(t.Context(), f.begin); !errors.Is(err, errRefused) {
			t.Errorf("got %v, want the refusal", err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		time.AfterFunc(time.Minute, cancel)
		f = &fakeSystem{takes: time.Millisecond}
		if _, err := l.Run(ctx, f.begin); !errors.Is(err, context.Canceled) {
			t.Errorf("got %v, want the interruption", err)
		}
		if _, err := (&Loop{Workers: 1, Window: 1, Batch: 1}).Run(t.Context(), f.begin); err == nil {
			t.Error("a loop without an end is accepted")
		}
	})
}
