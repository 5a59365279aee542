package consensus

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/raft"
	"github.com/staffetta/staffetta/wire"
)

// Replicas that apply the same log in other batches must have digests of common indexes.
func TestDigestsOfCommonIndexes(t *testing.T) {
	const last = 3*digestStride + 17
	var all [][]wire.StateDigest
	for _, batch := range []int{1, 7, 64, 300} {
		u := newUnit(t)
		for from := 1; from <= last; from += batch {
			var logs []*raft.Log
			for i := from; i < from+batch && i <= last; i++ {
				logs = append(logs, &raft.Log{Index: uint64(i), Term: 1, Type: raft.LogCommand,
					Data: entryOf(fmt.Sprint("e", i))})
			}
			u.fsm.ApplyBatch(logs)
		}
		if u.failure != nil {
			t.Fatal(u.failure)
		}
		list := u.fsm.digests.all()
		if len(list) > wire.DigestsMax {
			t.Errorf("batches of %d: %d digests, %d allowed", batch, len(list), wire.DigestsMax)
		}
		all = append(all, list)
	}
	for i, list := range all[1:] {
		common := map[uint64]bool{}
		sums := map[uint64][32]byte{}
		for _, d := range all[0] {
			sums[d.Index] = d.Sum
		}
		for _, d := range list {
			if sum, ok := sums[d.Index]; ok {
				common[d.Index] = true
				if sum != d.Sum {
					t.Errorf("replica %d differs at %d", i+1, d.Index)
				}
			}
		}
		for _, want := range []uint64{digestStride, 2 * digestStride, 3 * digestStride, last} {
			if !common[want] {
				t.Errorf("replica %d: no digest of index %d in common", i+1, want)
			}
		}
	}
}

func TestDigestsAreJudged(t *testing.T) {
	bubble(t, 1, func(t *testing.T, c *cluster) {
		c.start()
		l := c.leader()
		c.fill(l, "e", 5)
		have := l.Digests()
		last := have[len(have)-1]
		l.JudgeDigests(append(have, wire.StateDigest{Index: last.Index + 9, Sum: [32]byte{1}}))
		if got := l.AgreedIndex(); got != last.Index {
			t.Errorf("agreed up to %d, want %d: an index that is not here says nothing", got,
				last.Index)
		}
		last.Sum[0]++
		l.JudgeDigests([]wire.StateDigest{last})
		var err error
		select {
		case err = <-l.done:
		case <-time.After(time.Minute):
			t.Fatal("the replica goes on")
		}
		if !errors.Is(err, ErrDiverged) || !strings.Contains(err.Error(), fmt.Sprint(last.Index)) {
			t.Errorf("got %v, want that the replica differs at %d", err, last.Index)
		}
		c.gone(l, l.state.crashed())
	})
}

func TestProgramTooOld(t *testing.T) {
	bubble(t, 1, func(t *testing.T, c *cluster) {
		r := c.nodes["n1"]
		c.start()
		l := c.leader()
		r.state.before = func(entries []wire.LogEntry) error {
			return wire.CommandKind(99).Unknown()
		}
		l.Propose(t.Context(), entryOf("new"))
		err := <-l.done
		if !errors.Is(err, ErrVersion) || errors.Is(err, ErrCorrupt) {
			t.Errorf("got %v, want that the program is too old", err)
		}
		for _, want := range []string{"kind 99", "start a newer one"} {
			if !strings.Contains(err.Error(), want) {
				t.Errorf("%q does not say %q", err, want)
			}
		}
		c.gone(l, l.state.crashed())
	})
}

// An entry of a kind that this program does not know is no damage: the program is too old.
func TestEntryOfANewerProgramIsNotDamage(t *testing.T) {
	newer := wire.EncodeEntry(77, 1, []byte("?"))
	err := checkLog(5, &raft.Log{Index: 5, Type: raft.LogCommand, Data: newer})
	if !errors.Is(err, ErrVersion) || errors.Is(err, ErrCorrupt) ||
		!strings.Contains(err.Error(), "entry 5") || !strings.Contains(err.Error(), "kind 77") {
		t.Errorf("got %v, want that the program is too old for entry 5 of kind 77", err)
	}
}

func TestStoreLatency(t *testing.T) {
	var l latencies
	now := time.Unix(1_800_000_000, 0)
	if got := l.p99(now); got != 0 {
		t.Errorf("of nothing: %s", got)
	}
	for i := range 1000 {
		took := time.Millisecond
		if i%50 == 0 { // two of a hundred
			took = 200 * time.Millisecond
		}
		l.note(now.Add(time.Duration(i)*10*time.Millisecond), took)
	}
	at := now.Add(10 * time.Second)
	if got := l.p99(at); got < 200*time.Millisecond || got > 250*time.Millisecond {
		t.Errorf("two slow ones of a hundred: %s, want 200 ms to a quarter more", got)
	}
	if got := l.p99(at.Add(80 * time.Second)); got != 0 {
		t.Errorf("a minute later: %s, want nothing", got)
	}
	for range 1000 {
		l.note(at.Add(80*time.Second), 3*time.Millisecond)
	}
	if got := l.p99(at.Add(80 * time.Second)); got < 3*time.Millisecond || got > 4*time.Millisecond {
		t.Errorf("all the same: %s, want 3 ms to a quarter more", got)
	}
	for _, extreme := range []time.Duration{-1, 0, 1, time.Hour} {
		l.note(at, extreme)
	}
}
