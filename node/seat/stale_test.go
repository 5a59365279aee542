package seat

import (
	"errors"
	"testing"
	"time"

	"github.com/staffetta/staffetta/wire"
)

// TestStanding: which replica answers without a leader.
func TestStanding(t *testing.T) {
	for name, c := range map[string]struct {
		spoil func(*standing)
		want  error
	}{
		"alone":                  {func(*standing) {}, nil},
		"with a leader":          {func(f *standing) { f.leader, f.led = "lazio-2", true }, wire.NotLeader},
		"switched off":           {func(f *standing) { f.limit = 0 }, wire.NotLeader},
		"in an election":         {func(f *standing) { f.silence = AbsentAfter - 1 }, wire.NotLeader},
		"no member":              {func(f *standing) { f.member = false }, wire.NotReady},
		"different from others":  {func(f *standing) { f.disputed = true }, wire.NotReady},
		"for as long as allowed": {func(f *standing) { f.age = f.limit }, nil},
		"for longer":             {func(f *standing) { f.age = f.limit + 1 }, wire.Unavailable},
	} {
		f := standing{silence: AbsentAfter, age: time.Minute, limit: time.Hour, member: true}
		c.spoil(&f)
		err := f.check()
		if !errors.Is(err, c.want) || (err == nil) != (c.want == nil) {
			t.Errorf("%s: got %v, want %v", name, err, c.want)
		}
		if f.led && wire.AsError(err).Leader != f.leader {
			t.Errorf("%s: the leader is not named: %v", name, err)
		}
	}
}

// TestAsOf: what a replica has is as of the last time that it surely had everything, or of its last
// entry, whichever is later.
func TestAsOf(t *testing.T) {
	const now = wire.Time(1_000_000_000_000_000)
	back := func(d time.Duration) wire.Time { return now.Add(-d) }
	for name, c := range map[string]struct {
		applied wire.Time
		ago     time.Duration
		want    wire.Time
	}{
		"at rest for an hour":        {back(time.Hour), 3 * time.Second, back(3 * time.Second)},
		"restarted without a leader": {back(time.Hour), LongAgo, back(time.Hour)},
		"an entry after the round":   {back(time.Second), 3 * time.Second, back(time.Second)},
		"a clock that was set back":  {now.Add(time.Minute), 3 * time.Second, now},
		"nothing ever":               {0, LongAgo, back(LongAgo)},
	} {
		if got := earliest(now, c.applied, c.ago); got != c.want {
			t.Errorf("%s: got %d, want %d", name, got, c.want)
		}
	}
}
