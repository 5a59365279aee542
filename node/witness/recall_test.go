package witness

import (
	"errors"
	"strings"
	"testing"

	"github.com/staffetta/staffetta/node/datadir"
	"github.com/staffetta/staffetta/node/seat"
	"github.com/staffetta/staffetta/wire"
	"github.com/staffetta/staffetta/wire/link"
)

// newcomer is lazio-1's witness, in a region of three and a federation in which sicilia-1 votes.
func newcomer(t *testing.T) *Witness {
	t.Helper()
	n := &seat.Seat{Dir: &datadir.Dir{Path: t.TempDir()}, ID: "lazio-1",
		RegionID: "lazio", Founding: &wire.Map{Nodes: []wire.Node{{ID: "lazio-1", Region: "lazio"},
			{ID: "lazio-2", Region: "lazio"}, {ID: "lazio-3", Region: "lazio"},
			{ID: "sicilia-1", Region: "sicilia", Voter: true},
			{ID: "sicilia-2", Region: "sicilia"}}}}
	w, err := open(n, wire.DiskID{9})
	if err != nil {
		t.Fatal(err)
	}
	return w
}

// What the others of a region tell of a node counts as if it had been seen, after a restart too;
// what was seen counts more.
func TestWitnessLearns(t *testing.T) {
	for _, c := range []struct {
		name string
		of   wire.NodeID
		seen *wire.Attestation
		told []wire.Attestation // by one node each
		now  wire.Attestation
		want string // part of the refusal
	}{
		{name: "nothing", of: "lazio-3", now: said(2, 8, 1, 0)},
		{name: "the directory", of: "lazio-3", told: []wire.Attestation{said(1, 7, 10, 100)},
			now: said(1, 8, 1, 100)},
		{name: "another directory", of: "lazio-3", told: []wire.Attestation{said(1, 7, 10, 100)},
			now: said(2, 8, 1, 0), want: "another data directory"},
		{name: "a voter's other directory", of: "sicilia-1",
			told: []wire.Attestation{said(1, 7, 10, 100)}, now: said(2, 8, 1, 0),
			want: "another data directory"},
		{name: "an earlier copy", of: "lazio-3", told: []wire.Attestation{said(1, 7, 10, 100)},
			now: said(1, 8, 1, 99), want: "gone back in time"},
		{name: "the later of two", of: "lazio-3", told: []wire.Attestation{said(1, 7, 10, 100),
			said(1, 7, 8, 80)}, now: said(1, 8, 1, 90), want: "gone back in time"},
		{name: "overtaken by what was told", of: "lazio-3",
			told: []wire.Attestation{said(1, 7, 10, 100)}, now: said(1, 7, 9, 90)},
		{name: "the first of two directories", of: "lazio-3",
			told: []wire.Attestation{said(1, 7, 10, 100), said(2, 7, 10, 100)},
			now:  said(1, 8, 1, 100), want: "two data directories"},
		{name: "the second of two directories", of: "lazio-3",
			told: []wire.Attestation{said(1, 7, 10, 100), said(2, 7, 10, 100)},
			now:  said(2, 8, 1, 100), want: "two data directories"},
		{name: "two directories of which one is of a restored region", of: "lazio-3",
			told: []wire.Attestation{restored(said(2, 7, 10, 100)), said(1, 7, 10, 100)},
			now:  restored(said(2, 8, 1, 100))},
		{name: "restored since", of: "lazio-3", told: []wire.Attestation{said(1, 7, 10, 100)},
			now: restored(said(2, 8, 1, 0))},
		{name: "what was seen is otherwise", of: "lazio-3", seen: new(said(2, 7, 10, 50)),
			told: []wire.Attestation{said(1, 7, 10, 100)}, now: said(2, 8, 1, 50)},
		{name: "one that does not vote here", of: "sicilia-2",
			told: []wire.Attestation{said(1, 7, 10, 100)}, now: said(2, 8, 1, 0)},
	} {
		t.Run(c.name, func(t *testing.T) {
			for _, turned := range []bool{false, true} { // in whatever order they answer
				w := newcomer(t)
				if c.seen != nil {
					if why, err := w.judge(c.of, c.seen); why != "" || err != nil {
						t.Fatalf("seen: %q, %v", why, err)
					}
				}
				told := map[wire.NodeID]wire.Attestation{}
				for i := range c.told {
					if turned {
						i = len(c.told) - 1 - i
					}
					merge(told, wire.Sighting{Node: c.of, Last: c.told[i]})
				}
				if err := w.learn(told); err != nil {
					t.Fatal(err)
				}
				why, err := w.judge(c.of, &c.now)
				if err != nil || c.want == "" && why != "" || !strings.Contains(why, c.want) {
					t.Errorf("refused with %q (%v), want %q", why, err, c.want)
				}
				again, err := open(w.Seat, w.disk)
				if err != nil {
					t.Fatal(err)
				}
				if kept := again.known[c.of]; c.want != "" &&
					(kept == nil || kept.last.Disk != w.known[c.of].last.Disk) {
					t.Errorf("after a restart %v is known", kept)
				}
			}
		})
	}
}

func restored(a wire.Attestation) wire.Attestation {
	a.Incarnation = 1
	return a
}

// A region's nodes tell each other, of those that vote with them, and no other region.
func TestWhoIsTold(t *testing.T) {
	w := newcomer(t)
	for _, id := range []wire.NodeID{"lazio-2", "lazio-3", "sicilia-1", "sicilia-2"} {
		if why, err := w.judge(id, new(said(1, 7, 10, 100))); why != "" || err != nil {
			t.Fatalf("%s: %q, %v", id, why, err)
		}
	}
	asks := link.Identity{Federation: "italia", Role: link.RoleNode, Region: "sicilia",
		Name: "sicilia-1"}
	if _, err := w.sightings(t.Context(), asks, nil); !errors.Is(err, wire.Forbidden) {
		t.Errorf("another region is told: %v", err)
	}
	asks.Region, asks.Name = "lazio", "lazio-2"
	known, err := w.sightings(t.Context(), asks, nil)
	if err != nil {
		t.Fatal(err)
	}
	if len(known.List) != 2 || known.List[0].Node != "lazio-3" ||
		known.List[1].Node != "sicilia-1" {
		t.Errorf("told %+v, want of lazio-3 and sicilia-1", known.List)
	}
}
