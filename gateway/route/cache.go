package route

// generations is a map bounded by weight that forgets what was not asked for lately: entries
// live in a young and an old generation, each up to half the budget; a hit in the old one moves
// the entry to the young one, and a full young one takes the old one's place. Not safe for
// concurrent use.
type generations[K comparable, V any] struct {
	// Set at construction.
	budget int
	weigh  func(V) int

	young, old map[K]V
	weight     int // of young
}

func newGenerations[K comparable, V any](budget int, weigh func(V) int) *generations[K, V] {
	return &generations[K, V]{budget: budget, weigh: weigh, young: make(map[K]V)}
}

// each makes every entry of a cache weigh n bytes.
func each[V any](n int) func(V) int { return func(V) int { return n } }

func (g *generations[K, V]) get(k K) (V, bool) {
	if v, ok := g.young[k]; ok {
		return v, true
	}
	v, ok := g.old[k]
	if ok {
		g.put(k, v)
	}
	return v, ok
}

func (g *generations[K, V]) put(k K, v V) {
	if before, ok := g.young[k]; ok {
		g.weight -= g.weigh(before)
	}
	delete(g.old, k)
	g.young[k] = v
	if g.weight += g.weigh(v); g.weight > g.budget/2 {
		g.old, g.young, g.weight = g.young, make(map[K]V), 0
	}
}

func (g *generations[K, V]) drop(k K) {
	if v, ok := g.young[k]; ok {
		g.weight -= g.weigh(v)
		delete(g.young, k)
	}
	delete(g.old, k)
}

// dropIf drops every entry for which f holds; it looks at all of them.
func (g *generations[K, V]) dropIf(f func(K, V) bool) {
	for _, m := range [2]map[K]V{g.young, g.old} {
		for k, v := range m {
			if f(k, v) {
				g.drop(k)
			}
		}
	}
}

func (g *generations[K, V]) clear() {
	g.young, g.old, g.weight = make(map[K]V), nil, 0
}

func (g *generations[K, V]) len() int { return len(g.young) + len(g.old) }

// touches remembers what the feed named lately, so that an answer which was under way meanwhile
// is not taken for newer than the feed. Not safe for concurrent use.
type touches[K comparable] struct {
	// Set at construction.
	max int

	young, old map[K]uint64 // name → index of the frame that named it
	youngTop   uint64       // highest index in young
	oldTop     uint64
	floor      uint64 // what was named up to here is forgotten
	index      uint64 // how far the feed is
	live       bool   // a frame came: index and floor mean something
}

func newTouches[K comparable](max int) *touches[K] {
	return &touches[K]{max: max, young: make(map[K]uint64)}
}

// begin notes that the feed covers everything after index, and nothing known before counts.
func (t *touches[K]) begin(index uint64) {
	*t = touches[K]{max: t.max, young: make(map[K]uint64), floor: index, index: index, live: true}
}

// advance notes that the feed has said everything up to index.
func (t *touches[K]) advance(index uint64) { t.index, t.live = max(t.index, index), true }

// note remembers that the feed named k in the frame of index.
func (t *touches[K]) note(k K, index uint64) {
	delete(t.old, k)
	t.young[k] = max(t.young[k], index)
	if t.youngTop = max(t.youngTop, index); len(t.young) > t.max/2 {
		t.floor = max(t.floor, t.oldTop)
		t.old, t.oldTop = t.young, t.youngTop
		t.young, t.youngTop = make(map[K]uint64), 0
	}
}

// current reports whether an answer about k, true as of index asOf, is as new as all that the
// feed said about k. It is false when the feed has not begun.
func (t *touches[K]) current(k K, asOf uint64) bool {
	if !t.live || asOf < t.floor {
		return false
	}
	if asOf >= t.index {
		return true
	}
	if at, ok := t.young[k]; ok {
		return asOf >= at
	}
	return asOf >= t.old[k]
}
