package witness

import (
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/staffetta/staffetta/node/datadir"
	"github.com/staffetta/staffetta/node/seat"
	"github.com/staffetta/staffetta/wire"
)

func said(disk byte, boot, seq uint64, last uint64) wire.Attestation {
	return wire.Attestation{Disk: wire.DiskID{disk}, Boot: boot, Seq: seq,
		Groups: []wire.HeldBy{{Group: "region/lazio", Term: 3, Vote: 3, Last: last}}}
}

// What a node said before, what it says now, and whether it is refused.
func TestWitnessJudges(t *testing.T) {
	with := func(a wire.Attestation, change func(*wire.Attestation)) wire.Attestation {
		change(&a)
		return a
	}
	before := said(1, 7, 10, 100)
	for _, c := range []struct {
		name string
		now  wire.Attestation
		ago  time.Duration
		want string // part of the refusal
	}{
		{name: "again", now: before},
		{name: "more", now: said(1, 7, 11, 120)},
		{name: "restarted", now: said(1, 8, 1, 100)},
		{name: "overtaken", now: said(1, 7, 9, 90)},
		{name: "resumed from a snapshot of its memory", now: said(1, 7, 9, 90), ago: time.Minute,
			want: "gone back in time"},
		{name: "an earlier copy", now: said(1, 8, 1, 99), want: "gone back in time"},
		{name: "a forgotten vote", now: with(said(1, 8, 1, 100),
			func(a *wire.Attestation) { a.Groups[0].Vote = 2 }), want: "gone back in time"},
		{name: "a log that its leader cut", now: with(said(1, 8, 1, 90),
			func(a *wire.Attestation) { a.Groups[0].Cuts = 1 })},
		{name: "another disk", now: said(2, 8, 1, 0), want: "another data directory"},
		{name: "another disk that holds more", now: said(2, 8, 1, 500),
			want: "another data directory"},
		{name: "restored from a backup", now: with(said(2, 8, 1, 0),
			func(a *wire.Attestation) { a.Incarnation = 1 })},
		{name: "its group was restored", now: with(said(1, 8, 1, 0),
			func(a *wire.Attestation) { a.Groups[0].Group = "region/lazio#1" })},
	} {
		t.Run(c.name, func(t *testing.T) {
			n := &seat.Seat{Dir: &datadir.Dir{Path: t.TempDir()}}
			w, err := open(n, wire.DiskID{9})
			if err != nil {
				t.Fatal(err)
			}
			if why, err := w.judge("lazio-1", &before); why != "" || err != nil {
				t.Fatalf("seen first: %q, %v", why, err)
			}
			// What is known outlives the process.
			again, err := open(n, wire.DiskID{9})
			if err != nil {
				t.Fatal(err)
			}
			again.known["lazio-1"].at = time.Now().Add(-c.ago)
			why, err := again.judge("lazio-1", &c.now)
			if err != nil || c.want == "" && why != "" || !strings.Contains(why, c.want) {
				t.Errorf("refused with %q (%v), want %q", why, err, c.want)
			}
		})
	}
}

// A region's own nodes are believed, another region is not by itself.
func TestWhoStopsANode(t *testing.T) {
	for _, c := range []struct {
		by   []wire.RegionID
		want bool
	}{
		{by: []wire.RegionID{"lazio"}, want: true},
		{by: []wire.RegionID{"sicilia", "sicilia"}},
		{by: []wire.RegionID{"sicilia", "umbria"}, want: true},
	} {
		n := &seat.Seat{Dir: &datadir.Dir{Path: t.TempDir()}, RegionID: "lazio",
			Log: slog.New(slog.DiscardHandler)}
		w, err := open(n, wire.DiskID{9})
		if err != nil {
			t.Fatal(err)
		}
		for _, region := range c.by {
			w.refused(region, "")
		}
		if got := len(w.forgot) > 0; got != c.want {
			t.Errorf("refused by %v: ends: %v, want %v", c.by, got, c.want)
		}
	}
}
