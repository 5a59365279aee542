package consensus

import (
	"testing"
	"time"

	"github.com/hashicorp/raft"
	"github.com/staffetta/staffetta/wire"
)

// TestClocksOfAMajority: what others' clocks say of a time, whatever the own wall clock does
// between the question and the decision.
func TestClocksOfAMajority(t *testing.T) {
	real := time.Unix(1_795_363_200, 0)
	began, wall := real, real
	now := func() time.Time { return real }
	p := newPeers("n1", now, func() time.Duration { return real.Sub(began) },
		func() time.Time { return wall })
	p.members([]Member{{"n1", true}, {"n2", true}, {"n3", true}, {"n4", false}})
	pass := func(d time.Duration) { real, wall = real.Add(d), wall.Add(d) }
	answer := func(id raft.ServerAddress, term uint64, off time.Duration) {
		sent := p.uptime()
		pass(10 * time.Millisecond)
		p.answered(wire.NodeID(id), &raft.AppendEntriesRequest{Term: term},
			&raft.AppendEntriesResponse{RPCHeader: raft.RPCHeader{
				Addr: encodeClock(id, real.Add(off))}, Term: term, Success: true}, 1, sent)
	}
	check := func(what string, term uint64, since time.Duration, yes, refused bool) {
		t.Helper()
		b := p.bear(term, wall, since)
		if b.majority() != yes || b.refused() != refused {
			t.Errorf("%s: %+v: borne out: %t, refused: %t, want %t, %t", what, b, b.majority(),
				b.refused(), yes, refused)
		}
	}
	check("nobody was heard of", 1, 0, false, false)
	answer("n4", 1, 0)
	check("who has no vote says yes", 1, 0, false, false)
	answer("n2", 1, time.Second)
	check("one of two says yes", 1, 0, true, false)
	check("in another term", 2, 0, false, false)
	check("since a moment after the message", 1, p.uptime()-5*time.Millisecond, false, false)
	wall = wall.Add(time.Hour)
	check("a step since the answer", 1, 0, false, false)
	answer("n3", 1, 0)
	check("and both say no", 1, 0, false, true)
	wall = real
	pass(time.Hour)
	check("a long time without a step", 1, 0, true, false)
	answer("n2", 1, -3*time.Second)
	answer("n3", 1, 3*time.Second)
	check("two who are off, each another way", 1, 0, false, true)

	// A step between message and answer makes the answer's error no larger.
	sent := p.uptime()
	pass(10 * time.Millisecond)
	wall = wall.Add(60 * 24 * time.Hour)
	for _, id := range []raft.ServerAddress{"n2", "n3"} {
		p.answered(wire.NodeID(id), &raft.AppendEntriesRequest{Term: 1},
			&raft.AppendEntriesResponse{RPCHeader: raft.RPCHeader{
				Addr: encodeClock(id, real)}, Term: 1, Success: true}, 1, sent)
	}
	check("a step between message and answer", 1, 0, false, true)
}

// TestSuspensionIsCounted: a contact is as old as the machine's time since, suspensions included,
// however late anybody looks.
func TestSuspensionIsCounted(t *testing.T) {
	h := heard{last: time.Hour} // what was slept before does not count
	first := time.Unix(1_795_363_200, 0)
	for _, step := range []struct {
		at          time.Time
		total, want time.Duration
	}{
		{first, time.Hour, 0},
		{first, 2 * time.Hour, time.Hour}, // an hour's sleep since
		{first.Add(time.Second), 2 * time.Hour, 0},
		{first.Add(2 * time.Second), 3 * time.Hour, time.Hour}, // before the contact or after it
		{first.Add(3 * time.Second), 3 * time.Hour, 0},
	} {
		if got := h.slept(step.at, step.total); got != step.want {
			t.Errorf("contact at %s, slept %s in all: %s since, want %s", step.at, step.total, got,
				step.want)
		}
	}
}
