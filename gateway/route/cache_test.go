package route

import (
	"runtime"
	"testing"

	"github.com/staffetta/staffetta/internal/cache"
	"github.com/staffetta/staffetta/wire"
	"github.com/staffetta/staffetta/wire/link"
)

func TestTouches(t *testing.T) {
	s := newTouches[int](8)
	if s.current(1, 100) {
		t.Error("answers count before the feed has begun")
	}
	s.begin(100)
	s.advance(110)
	s.note(1, 105)
	for _, c := range []struct {
		k    int
		asOf uint64
		want bool
	}{{1, 104, false}, {1, 105, true}, {1, 120, true}, {2, 100, true}, {2, 99, false}} {
		if got := s.current(c.k, c.asOf); got != c.want {
			t.Errorf("answer about %d as of %d: current %v, want %v", c.k, c.asOf, got, c.want)
		}
	}
	for i := range 100 { // far more than it remembers
		s.note(1000+i, uint64(200+i))
		s.advance(uint64(200 + i))
	}
	if s.current(1, 105) {
		t.Error("an answer older than all that is remembered was taken for current")
	}
	if s.current(1099, 298) || !s.current(1099, 299) || !s.current(1, 299) {
		t.Error("the newest names are not remembered")
	}
	if n := len(s.young) + len(s.old); n > 10 {
		t.Errorf("%d names remembered, 8 allowed", n)
	}
}

func TestHintsArePackedWhole(t *testing.T) {
	f, err := newFederation(wire.Map{Regions: []wire.Region{{ID: "lazio", Tag: 1},
		{ID: "sicilia", Tag: wire.RegionTags - 1}}}, nil, "lazio")
	if err != nil {
		t.Fatal(err)
	}
	d := newDirectory(1 << 20)
	d.begin(0)
	to := wire.Recipient{1}
	for _, e := range []wire.DirectoryEntry{
		{Region: "lazio"},
		{Region: "sicilia", State: wire.Claimed, Epoch: 1, Active: true},
		{Region: "sicilia", State: wire.Claimed, Epoch: 1<<hintEpochBits - 1},
	} {
		d.put(f, to, e, 5)
		if got, ok := d.get(f, to); !ok || got != e {
			t.Errorf("got %v, want %v", got, e)
		}
	}
	for _, e := range []wire.DirectoryEntry{
		{Region: "veneto"}, {Region: "lazio", Epoch: 1 << hintEpochBits}, {Region: "lazio", State: 9},
	} {
		fresh := wire.Recipient{2}
		d.put(f, fresh, e, 5)
		if got, ok := d.get(f, fresh); ok {
			t.Errorf("%v was cached as %v", e, got)
		}
	}
}

// TestHintBytes holds the constant that the bound is computed with against the real map.
func TestHintBytes(t *testing.T) {
	const budget = 8 << 20
	g := cache.New[wire.Recipient](budget, cache.Each[hint](hintBytes))
	heap := func() int {
		runtime.GC()
		runtime.GC() // what other tests left in pools survives one
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return int(m.HeapAlloc)
	}
	before := heap()
	h := wire.NewHasher(wire.DirectoryKey{})
	for i := range 2 * budget / hintBytes {
		g.Put(h.Recipient(codeOf(i)), hint(i))
	}
	used := heap() - before
	runtime.KeepAlive(g)
	t.Logf("%d entries in %d KiB, %d bytes each", g.Len(), used>>10, used/g.Len())
	if used > budget*5/4 {
		t.Errorf("%d bytes used of a budget of %d", used, budget)
	}
}

func TestHomeKeepsWhatWorks(t *testing.T) {
	h := newHome(nil, []string{"a:1", "b:1", "x:1"})
	h.failed(h.peer())
	if got := h.peer().Addr; got != "b:1" {
		t.Fatalf("after a failure: %s, want b:1", got)
	}
	h.know([]link.Peer{{Node: "n1", Addr: "a:1"}, {Node: "n2", Addr: "b:1"}, {Node: "n3",
		Addr: "c:1"}})
	if got := h.peer(); got.Node != "n2" {
		t.Errorf("after the map came: %v, want the node in use, by name", got)
	}
	if h.len() != 4 {
		t.Errorf("%d nodes, want the map's and the configured one that it lacks", h.len())
	}
	h.failed(link.Peer{Addr: "b:1"}) // as the session knew it, without a name
	h.failed(link.Peer{Addr: "b:1"}) // somebody else noticed too
	if got := h.peer().Addr; got != "c:1" {
		t.Errorf("after a failure: %s, want c:1", got)
	}
	for range 2 {
		h.failed(h.peer())
	}
	if got := h.peer().Addr; got != "a:1" {
		t.Errorf("after all failed: %s, want to begin again", got)
	}
}
