// Package cache keeps what was asked for lately, within a bound.
package cache

import "iter"

// Generations is a map bounded by weight. Entries live in a young and an old generation, each up
// to half the budget; a hit in the old one moves the entry to the young one, and a full young one
// takes the old one's place. Not safe for concurrent use.
type Generations[K comparable, V any] struct {
	budget     int
	weigh      func(V) int
	young, old map[K]V
	weight     int // of young
}

// New makes an empty cache; weigh says how much of the budget an entry takes.
func New[K comparable, V any](budget int, weigh func(V) int) *Generations[K, V] {
	g := &Generations[K, V]{budget: budget, weigh: weigh}
	g.Clear()
	return g
}

// Each makes every entry of a cache weigh n.
func Each[V any](n int) func(V) int { return func(V) int { return n } }

// Get returns an entry, which counts as used.
func (g *Generations[K, V]) Get(k K) (V, bool) {
	if v, ok := g.young[k]; ok {
		return v, true
	}
	v, ok := g.old[k]
	if ok {
		g.Put(k, v)
	}
	return v, ok
}

// Put adds or replaces an entry.
func (g *Generations[K, V]) Put(k K, v V) {
	if before, ok := g.young[k]; ok {
		g.weight -= g.weigh(before)
	}
	delete(g.old, k)
	g.young[k] = v
	if g.weight += g.weigh(v); g.weight > g.budget/2 {
		g.young, g.old, g.weight = g.old, g.young, 0
		clear(g.young)
	}
}

// Drop removes an entry, if there is one.
func (g *Generations[K, V]) Drop(k K) {
	if v, ok := g.young[k]; ok {
		g.weight -= g.weigh(v)
		delete(g.young, k)
	}
	delete(g.old, k)
}

// DropIf removes the entries for which f holds; it looks at all of them.
func (g *Generations[K, V]) DropIf(f func(K, V) bool) {
	for k, v := range g.All() {
		if f(k, v) {
			g.Drop(k)
		}
	}
}

// All are the entries, in no order. They may be dropped meanwhile.
func (g *Generations[K, V]) All() iter.Seq2[K, V] {
	return func(yield func(K, V) bool) {
		for _, half := range [2]map[K]V{g.young, g.old} {
			for k, v := range half {
				if !yield(k, v) {
					return
				}
			}
		}
	}
}

// Clear removes all entries.
func (g *Generations[K, V]) Clear() { g.young, g.old, g.weight = map[K]V{}, map[K]V{}, 0 }

// Len is how many entries there are.
func (g *Generations[K, V]) Len() int { return len(g.young) + len(g.old) }
