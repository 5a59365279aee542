package torture

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"time"
)

func clockFaults() []fault {
	return []fault{
		{name: "clock-jump", about: "a node's clock jumps, by a second or by minutes, and back",
			strike: func(_ context.Context, t *trial, random *rand.Rand) (*strike, error) {
				return t.jump(random, t.nodes())
			}},
		{name: "clock-gateway", about: "a gateway's clock jumps, and back",
			strike: func(_ context.Context, t *trial, random *rand.Rand) (*strike, error) {
				return t.jump(random, t.gatewayIDs())
			}},
	}
}

// jump puts the clock of one of ids wrong. A gateway whose clock is minutes off has its
// submissions refused; a leader hands over or ends.
func (t *trial) jump(random *rand.Rand, ids []string) (*strike, error) {
	id := choose(random, ids)
	by := choose(random, []time.Duration{time.Second, 3 * time.Second, time.Minute, 10 * time.Minute})
	if random.IntN(2) == 0 {
		by = -by
	}
	set := func(offset time.Duration) error {
		tmp := t.clockFile(id) + ".tmp"
		if err := os.WriteFile(tmp, []byte(offset.String()), 0o600); err != nil {
			return err
		}
		return os.Rename(tmp, t.clockFile(id))
	}
	if err := set(by); err != nil {
		return nil, err
	}
	return &strike{what: fmt.Sprintf("the clock of %s jumps by %s", id, by),
		silences: []string{t.homeOf(id)}, ends: []string{id},
		heal: func(context.Context) error { return set(0) }}, nil
}

func (t *trial) clockFile(id string) string { return t.cfg.path(clockDir, id) }
