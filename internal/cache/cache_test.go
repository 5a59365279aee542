package cache

import "testing"

func TestWhatIsNotUsedIsForgotten(t *testing.T) {
	g := New[int](1000, Each[int](10)) // 100 entries, 50 per generation
	for i := range 1000 {
		g.Put(i, -i)
		if v, ok := g.Get(7); i >= 7 && (!ok || v != -7) {
			t.Fatalf("entry in use was forgotten after %d", i)
		}
		if g.Len() > 102 {
			t.Fatalf("%d entries, 100 allowed", g.Len())
		}
	}
	if _, ok := g.Get(8); ok {
		t.Error("an entry not in use for long is still there")
	}
	if v, ok := g.Get(999); !ok || v != -999 {
		t.Error("the newest entry is gone")
	}
	g.Put(999, 1)
	g.Put(999, 2)
	if v, _ := g.Get(999); v != 2 {
		t.Errorf("got %d, want the last value put", v)
	}
	n := 0
	for range g.All() {
		n++
	}
	if n != g.Len() || n < 50 {
		t.Errorf("%d of %d entries", n, g.Len())
	}
	g.DropIf(func(k, _ int) bool { return k > 990 })
	if _, ok := g.Get(999); ok {
		t.Error("a dropped entry is still there")
	}
	g.Drop(7)
	if _, ok := g.Get(7); ok {
		t.Error("a dropped entry is still there")
	}
	if g.Clear(); g.Len() != 0 || g.weight != 0 {
		t.Error("not empty after Clear")
	}
}

// TestWeight: what is put again, or dropped, takes its room once.
func TestWeight(t *testing.T) {
	g := New[string](100, func(v int) int { return v })
	for range 10 {
		g.Put("a", 20)
		g.Put("b", 20)
		g.Put("c", 5)
		g.Drop("c")
		if len(g.old) > 0 || g.weight != 40 {
			t.Fatalf("two entries of 20 weigh %d, and fill a half of 50", g.weight)
		}
	}
}
