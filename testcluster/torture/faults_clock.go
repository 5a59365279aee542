package torture

import (
	"context"
	"fmt"
	"math/rand/v2"
	"time"
)

const day = 24 * time.Hour

// clockSteps are how far clocks jump: within what a leader may be off, beyond it, beyond what is
// kept for days, and beyond the validity of anything.
var clockSteps = []time.Duration{time.Second, 3 * time.Second, time.Minute, 10 * time.Minute,
	day, 60 * day, 400 * day, 3650 * day}

// clockHolds are how long they stay there: for less than the time between two answers of a
// follower, for about an election, or, when 0, for as long as faults last.
var clockHolds = []time.Duration{150 * time.Millisecond, 500 * time.Millisecond, 2 * time.Second, 0}

// afterJump is how long after a clock is right again everything may take to be as before: its
// process may have to start again, and another one to be elected.
const afterJump = resumeMax + endGrace

// clockJump is how far a clock jumps, and for how long; 0: as long as the fault lasts.
type clockJump struct{ by, hold time.Duration }

func planJump(random *rand.Rand) clockJump {
	j := clockJump{choose(random, clockSteps), choose(random, clockHolds)}
	if random.IntN(2) == 0 {
		j.by = -j.by
	}
	return j
}

func clockFaults() []fault {
	return []fault{
		{name: "clock-jump", about: "a node's clock jumps, by seconds to years, and back",
			strike: func(ctx context.Context, t *trial, random *rand.Rand) (*strike, error) {
				return t.jump(ctx, random, t.nodes())
			}},
		{name: "clock-leader",
			about: "the clock of a group's leader jumps, by seconds to years, and back",
			strike: func(ctx context.Context, t *trial, random *rand.Rand) (*strike, error) {
				id, _, err := t.leader(random)
				if err != nil {
					return nil, err
				}
				return t.jump(ctx, random, []string{id})
			}},
		{name: "clock-gateway", about: "a gateway's clock jumps, by seconds to years, and back",
			strike: func(ctx context.Context, t *trial, random *rand.Rand) (*strike, error) {
				return t.jump(ctx, random, t.gatewayIDs())
			}},
	}
}

// jump puts the clock of one of ids wrong, and right again, and looks whether all is as before. A
// gateway whose clock is minutes off has its submissions refused; a leader hands over or ends.
func (t *trial) jump(ctx context.Context, random *rand.Rand, ids []string) (*strike, error) {
	id, plan := choose(random, ids), planJump(random)
	before := t.sessions()
	set := func(offset time.Duration) error {
		return replaceFile(t.clockFile(id), []byte(offset.String()))
	}
	if err := set(plan.by); err != nil {
		return nil, err
	}
	s := &strike{what: fmt.Sprintf("the clock of %s jumps by %s", id, plan.by),
		silences: []string{t.homeOf(id)}, ends: []string{id}, brief: plan.hold > 0}
	heal := func(ctx context.Context) error {
		if err := set(0); err != nil {
			return err
		}
		t.unchanged(ctx, s.what, before, random)
		return nil
	}
	if !s.brief {
		s.heal = heal
		return s, nil
	}
	s.what += " for " + plan.hold.String()
	t.watch.allow(s.ends)
	sleep(ctx, plan.hold)
	return s, heal(ctx)
}

// sessions are those of the citizens whom the probes write to, who log in nowhere else.
func (t *trial) sessions() (list []held) {
	for _, c := range t.probed {
		list = append(list, c.held())
	}
	return list
}

// unchanged looks, in every region, whether a session made before is still one, and whether a
// message is delivered and a login succeeds.
func (t *trial) unchanged(ctx context.Context, what string, before []held, random *rand.Rand) {
	began, stalled := t.time.now(), stall()
	again := func(c *citizen, expected string, holds func() bool) bool {
		for !holds() {
			if t.time.now()-began > afterJump+stall()-stalled {
				t.findings.add("%s: after %s, and back, %s", c.region, what, expected)
				return false
			}
			if !pause(ctx, random, setback/2) {
				return false
			}
		}
		return true
	}
	for i, c := range t.probed {
		ended := false
		if again(c, "no profile is to be had", func() bool {
			o, status := t.clients.profile(ctx, c, random)
			ended = status == statusSession
			return o == done || ended
		}); ended && c.held().session == before[i].session {
			t.findings.add("%s: after %s, and back, a session made before is none", c.region, what)
		}
		again(c, "no message is decided", func() bool {
			return t.clients.submit(ctx, c, random) == done
		})
		again(c, "no login succeeds", func() bool { return t.clients.login(ctx, c, random) })
	}
}

func (t *trial) clockFile(id string) string { return t.cfg.path(clockDir, id) }
