package backoff

import (
	"context"
	"testing"
	"testing/synctest"
	"time"
)

func TestPause(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := Backoff{Min: time.Second, Max: 5 * time.Second}
		seen := map[time.Duration]bool{}
		for range 2 {
			for _, about := range []time.Duration{1, 2, 4, 5, 5} {
				about *= time.Second
				began := time.Now()
				if !b.Pause(t.Context()) {
					t.Fatal("ended before its time")
				}
				took := time.Since(began)
				if seen[took] = true; took < about/2 || took > about*3/2 {
					t.Errorf("waited %s, want about %s", took, about)
				}
			}
			b.Reset()
		}
		if len(seen) < 5 {
			t.Errorf("pauses of %v: no jitter", seen)
		}
		ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
		defer cancel()
		began := time.Now()
		if b.Pause(ctx) || time.Since(began) != 100*time.Millisecond {
			t.Errorf("ended after %s, want it with its context", time.Since(began))
		}
	})
}
