package route

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
