package torture

import (
	"math/rand/v2"
	"testing"
	"time"
)

// TestPlanJump: clocks jump both ways by all that decisions are kept for, for less than the time
// between two answers and for longer; a seed plans the same jumps again.
func TestPlanJump(t *testing.T) {
	deal := func(seed uint64) (list []clockJump) {
		random := rand.New(rand.NewPCG(seed, 0))
		for range 400 {
			list = append(list, planJump(random))
		}
		return list
	}
	one, same := deal(1), deal(1)
	seen := map[clockJump]bool{}
	for i, j := range one {
		if seen[j] = true; j != same[i] {
			t.Fatalf("jump %d: %v, and %v the second time", i, j, same[i])
		}
	}
	for _, by := range []time.Duration{time.Second, 10 * time.Minute, 24 * time.Hour,
		60 * 24 * time.Hour, 3650 * 24 * time.Hour} {
		for _, hold := range []time.Duration{0, 150 * time.Millisecond, 2 * time.Second} {
			for _, sign := range []time.Duration{1, -1} {
				if !seen[clockJump{sign * by, hold}] {
					t.Errorf("no jump by %s for %s in 400", sign*by, hold)
				}
			}
		}
	}
	for j := range seen {
		if j.by == 0 || j.hold > holdMin {
			t.Errorf("a jump by %s for %s", j.by, j.hold)
		}
	}
}
