package transfer

import (
	"testing"

	"github.com/staffetta/staffetta/wire"
)

// TestNewestOwner: what was sealed to a region that the code has left goes where the newer word of
// its log and of the directory says.
func TestNewestOwner(t *testing.T) {
	const self wire.RegionID = "lazio"
	mark := func(r wire.RegionID, e wire.Epoch) wire.Outcome {
		return wire.Outcome{Kind: wire.NotOwner, Region: r, Epoch: e}
	}
	entry := func(s wire.DirectoryState, r wire.RegionID, e wire.Epoch) wire.DirectoryEntry {
		return wire.DirectoryEntry{State: s, Region: r, Epoch: e}
	}
	for name, c := range map[string]struct {
		o    wire.Outcome
		e    wire.DirectoryEntry
		want wire.RegionID
	}{
		"unclaimed":                     {mark("", 0), entry(wire.Unclaimed, "", 0), ""},
		"being claimed":                 {mark("", 0), entry(wire.ClaimPending, "umbria", 1), ""},
		"claimed elsewhere":             {mark("", 0), entry(wire.Claimed, "umbria", 1), "umbria"},
		"claimed here, not known yet":   {mark("", 0), entry(wire.Claimed, self, 1), ""},
		"on the way between two others": {mark("", 0), entry(wire.Moving, "umbria", 1), ""},
		"fenced here":                   {mark("umbria", 2), entry(wire.Moving, self, 1), "umbria"},
		"gone": {mark("umbria", 2), entry(wire.Claimed, "umbria", 2),
			"umbria"},
		"moved on, and the next is gone": {mark("umbria", 2), entry(wire.Claimed, "puglia", 3),
			"puglia"},
		"moving on": {mark("umbria", 2), entry(wire.Moving, "puglia", 3),
			"puglia"},
		"aborted, not known":                {mark("umbria", 2), entry(wire.Claimed, self, 3), ""},
		"another mark of the epoch":         {mark("umbria", 3), entry(wire.Claimed, "puglia", 3), "puglia"},
		"here by the directory, same epoch": {mark("umbria", 3), entry(wire.Claimed, self, 3), ""},
		"an old directory": {mark("umbria", 4), entry(wire.Claimed, "puglia", 3),
			"umbria"},
	} {
		if got := newestOwner(&c.o, c.e, self); got != c.want {
			t.Errorf("%s: %q, want %q", name, got, c.want)
		}
	}
}
