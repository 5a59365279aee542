package testcluster

import (
	"testing"

	"github.com/staffetta/staffetta/node/region"
	"github.com/staffetta/staffetta/wire"
)

// TestCheckFindsEachViolation: a checker that cannot fail proves nothing.
func TestCheckFindsEachViolation(t *testing.T) {
	a, b, other := wire.MessageID{1}, wire.MessageID{2}, wire.MessageID{9}
	me, you := wire.Recipient{1}, wire.Recipient{2}
	processed := wire.Verdict{Status: wire.Processed}
	rejected := wire.Verdict{Status: wire.Rejected, Reason: wire.UserNotFound}
	at := func(ids ...wire.MessageID) (placed []region.Placed) {
		for i, id := range ids {
			placed = append(placed, region.Placed{ID: id, Block: uint64(i)})
		}
		return placed
	}
	history := func(first, second wire.Verdict) []*Submission {
		var h History
		h.Acknowledge(h.Begin(a, me), first)
		h.Acknowledge(h.Begin(b, me), second)
		return h.Submissions()
	}
	refused := history(processed, processed)
	refused[1].Acknowledged, refused[1].Refused = false, true
	open := history(processed, processed)
	open[1].Acknowledged, open[1].Ended = false, 0
	throttled, failed := wire.Verdict{Status: wire.Throttled}, wire.Verdict{Status: wire.Failed}
	spooled := func(final wire.Verdict, alias wire.MessageID) []*Submission {
		list := history(throttled, processed)
		list[0].Settle(final, alias)
		return list
	}
	backwards := at(a, b)
	backwards[0].Block = 7

	for name, tc := range map[string]struct {
		list  []*Submission
		mine  []region.Placed
		yours []region.Placed
		want  int
	}{
		"good":                  {history(processed, processed), at(a, b), nil, 0},
		"good refusal":          {history(processed, rejected), at(a), nil, 0},
		"unknown and there":     {open, at(a, b), nil, 0},
		"unknown and not there": {open, at(a), nil, 0},
		"lost":                  {history(processed, processed), at(a), nil, 1},
		"twice":                 {history(processed, processed), at(a, b, b), nil, 1},
		"refused and there":     {history(processed, rejected), at(a, b), nil, 1},
		"did not happen":        {refused, at(a, b), nil, 1},
		"never submitted":       {history(processed, processed), at(a, b, other), nil, 1},
		"order":                 {history(processed, processed), at(b, a), nil, 1},
		"throttled for ever":    {history(throttled, processed), at(b), nil, 1},
		"relayed":               {spooled(processed, wire.MessageID{}), at(b, a), nil, 0},
		"relayed and lost":      {spooled(processed, wire.MessageID{}), at(b), nil, 1},
		"failed and there":      {spooled(failed, wire.MessageID{}), at(a, b), nil, 1},
		"alias":                 {spooled(processed, b), at(b), nil, 0},
		"alias and there":       {spooled(processed, b), at(a, b), nil, 1},
		"alias of what is lost": {spooled(processed, other), at(b), nil, 1},
		"log order":             {history(processed, processed), backwards, nil, 1},
	} {
		got := Check(tc.list, func(to wire.Recipient) ([]region.Placed, error) {
			if to == you {
				return tc.yours, nil
			}
			return tc.mine, nil
		})
		if len(got) != tc.want {
			t.Errorf("%s: %d violations %v, want %d", name, len(got), got, tc.want)
		}
	}
	var h History
	h.Acknowledge(h.Begin(a, me), processed)
	h.Acknowledge(h.Begin(b, you), processed)
	got := Check(h.Submissions(), func(to wire.Recipient) ([]region.Placed, error) {
		if to == me {
			return at(b), nil
		}
		return at(a), nil
	})
	if len(got) == 0 {
		t.Error("messages in each other's inboxes go unseen")
	}
}
