package route

import (
	"sync"

	"github.com/staffetta/staffetta/internal/cache"
	"github.com/staffetta/staffetta/wire"
)

// hintBytes is what a packed hint costs in a map: 24 bytes of key and value, and the map's own
// overhead at its usual load, measured.
const hintBytes = 40

// hint is a directory entry in eight bytes: 48 bits of epoch, 3 of state, 1 active, 10 of the
// region's tag. Entries that do not fit are not cached.
type hint uint64

const (
	hintActive    = 1 << 10
	hintStateAt   = 11
	hintEpochAt   = 16
	hintEpochBits = 48
)

// directory holds hints of owners. Safe for concurrent use.
type directory struct {
	// Guarded by mu.
	mu    sync.Mutex
	hints *cache.Generations[wire.Recipient, hint]
	said  *touches[wire.Recipient]
}

func newDirectory(budget int) *directory {
	return &directory{hints: cache.New[wire.Recipient](budget, cache.Each[hint](hintBytes)),
		said: newTouches[wire.Recipient](touchesMax)}
}

// get returns the hint for r.
func (d *directory) get(f *federation, r wire.Recipient) (wire.DirectoryEntry, bool) {
	d.mu.Lock()
	h, ok := d.hints.Get(r)
	d.mu.Unlock()
	if !ok {
		return wire.DirectoryEntry{}, false
	}
	e := wire.DirectoryEntry{
		Epoch:  wire.Epoch(h >> hintEpochAt),
		State:  wire.DirectoryState(h >> hintStateAt & 7),
		Active: h&hintActive != 0,
	}
	region, ok := f.byTag[wire.RegionTag(h&(wire.RegionTags-1))]
	if !ok {
		return e, false
	}
	e.Region = region.ID
	return f.normal(r, e), true
}

// put caches what a node answered about r as of the federation log's index asOf, unless the feed
// has said something newer, or a higher epoch is known.
func (d *directory) put(f *federation, r wire.Recipient, e wire.DirectoryEntry, asOf uint64) {
	h, ok := pack(f, e)
	d.mu.Lock()
	defer d.mu.Unlock()
	if !ok || !d.said.current(r, asOf) {
		return
	}
	if before, ok := d.hints.Get(r); ok && before>>hintEpochAt > h>>hintEpochAt {
		return
	}
	d.hints.Put(r, h)
}

// learn caches what an owner's log said, when its epoch is above the known one.
func (d *directory) learn(f *federation, r wire.Recipient, e wire.DirectoryEntry) {
	h, ok := pack(f, e)
	d.mu.Lock()
	defer d.mu.Unlock()
	before, known := d.hints.Get(r)
	if ok && (!known || before>>hintEpochAt < h>>hintEpochAt) {
		d.hints.Put(r, h)
	}
}

// activated notes that the owner at epoch asked for content: the code is active there.
func (d *directory) activated(r wire.Recipient, epoch wire.Epoch) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if h, ok := d.hints.Get(r); ok && wire.Epoch(h>>hintEpochAt) == epoch {
		d.hints.Put(r, h|hintActive)
	}
}

// denied drops the hint for r after the region that it names said that it is not the owner.
func (d *directory) denied(r wire.Recipient, epoch wire.Epoch) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if h, ok := d.hints.Get(r); ok && wire.Epoch(h>>hintEpochAt) <= epoch {
		d.hints.Drop(r)
	}
}

// change applies what the feed said in the frame of index. Only what is cached is kept up to
// date: a change alone is no reason to remember a code.
func (d *directory) change(f *federation, r wire.Recipient, e wire.DirectoryEntry, index uint64) {
	h, ok := pack(f, f.normal(r, e))
	d.mu.Lock()
	defer d.mu.Unlock()
	d.said.note(r, index)
	before, known := d.hints.Get(r)
	switch {
	case !known || before>>hintEpochAt > h>>hintEpochAt:
	case ok:
		d.hints.Put(r, h)
	default:
		d.hints.Drop(r)
	}
}

// begin forgets everything: the feed starts over at index.
func (d *directory) begin(index uint64) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.hints.Clear()
	d.said.begin(index)
}

// advance notes that the feed has said everything up to index.
func (d *directory) advance(index uint64) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.said.advance(index)
}

func (d *directory) len() int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.hints.Len()
}

func pack(f *federation, e wire.DirectoryEntry) (hint, bool) {
	region, ok := f.byID[e.Region]
	if !ok || e.Epoch >= 1<<hintEpochBits || e.State > wire.Claimed {
		return hint(min(e.Epoch, 1<<hintEpochBits-1)) << hintEpochAt, false
	}
	h := hint(e.Epoch)<<hintEpochAt | hint(e.State)<<hintStateAt | hint(region.Tag)
	if e.Active {
		h |= hintActive
	}
	return h, true
}
