package region

import (
	"container/list"
	"fmt"
	"sync"

	"github.com/staffetta/staffetta/wire"
)

// recordBytes is what a decoded record costs besides its content.
const recordBytes = 512

// contents caches decoded blocks, the least recently read ones leave first. Neighbours in a list
// often lie in one block, and a message is read by its sender and its citizen.
type contents struct {
	max int64 // bytes

	// Guarded by mu.
	mu      sync.Mutex
	size    int64
	order   list.List // of *decoded, most recent first
	byIndex map[uint64]*list.Element
	// changes counts drops: a block that was read before one must not be put after it.
	changes uint64
}

type decoded struct {
	index uint64
	block *wire.Block
	size  int64
}

func newContents(max int64) *contents {
	return &contents{max: max, byIndex: map[uint64]*list.Element{}}
}

func (c *contents) get(index uint64) (b *wire.Block, changes uint64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if e, ok := c.byIndex[index]; ok {
		c.order.MoveToFront(e)
		b = e.Value.(*decoded).block
	}
	return b, c.changes
}

// put adds a block that was read when the count of changes was as given.
func (c *contents) put(index uint64, b *wire.Block, changes uint64) {
	d := &decoded{index: index, block: b}
	for i := range b.Records {
		d.size += int64(len(b.Records[i].Content)) + recordBytes
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.changes != changes || c.byIndex[index] != nil {
		return
	}
	c.byIndex[index] = c.order.PushFront(d)
	c.size += d.size
	for c.size > c.max {
		c.remove(c.order.Back())
	}
}

func (c *contents) remove(e *list.Element) {
	d := c.order.Remove(e).(*decoded)
	delete(c.byIndex, d.index)
	c.size -= d.size
}

// drop forgets a block that was rewritten.
func (c *contents) drop(index uint64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.changes++
	if e, ok := c.byIndex[index]; ok {
		c.remove(e)
	}
}

func (c *contents) clear() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.changes++
	c.order.Init()
	c.size, c.byIndex = 0, map[uint64]*list.Element{}
}

// content decodes what an inbox row points to.
func (s *State) content(row *inboxRow) (*wire.Content, error) {
	b, err := s.blockAt(row.Block)
	if err != nil {
		return nil, err
	}
	if int(row.Position) >= len(b.Records) || b.IsErased(int(row.Position)) {
		return nil, fmt.Errorf("region state is damaged: block %d has no record %d", row.Block,
			row.Position)
	}
	content := new(wire.Content)
	if err := wire.Decode(b.Records[row.Position].Content, content); err != nil {
		return nil, err
	}
	return content, nil
}

// blockAt decodes a stored block, or finds it decoded.
func (s *State) blockAt(index uint64) (*wire.Block, error) {
	b, changes := s.contents.get(index)
	if b != nil {
		return b, nil
	}
	frame, ok, err := s.db.Get(blockKey(index))
	if err != nil {
		return nil, err
	}
	if !ok {
		return nil, fmt.Errorf("region state is damaged: block %d is missing", index)
	}
	if b, err = s.cfg.Coder.Decode(frame); err != nil {
		return nil, s.db.Damaged(fmt.Errorf("block %d: %w", index, err))
	}
	s.contents.put(index, b, changes)
	return b, nil
}
