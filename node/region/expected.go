package region

import (
	"sync"

	"github.com/staffetta/staffetta/wire"
)

// expected holds the blocks that this node has decoded to propose them, by the place in memory of
// the entries that carry them: a leader applies the very bytes that it proposed.
type expected struct {
	mu     sync.Mutex
	blocks map[*byte]*wire.Block // guarded by mu; a key keeps its entry's memory from being used again
}

// Expect says that block is what the block entry carries, so that Apply need not decode it again
// when it meets these bytes, in this memory. Neither may change until forget was called; after
// that Apply may still be reading the block, unless the entry's result is known.
func (s *State) Expect(entry []byte, block *wire.Block) (forget func()) {
	at := &entry[0]
	s.expected.mu.Lock()
	defer s.expected.mu.Unlock()
	s.expected.blocks[at] = block
	return func() {
		s.expected.mu.Lock()
		defer s.expected.mu.Unlock()
		delete(s.expected.blocks, at)
	}
}

// block decodes the block of an entry, or finds it decoded. It is valid until the next call.
func (s *State) block(entry, frame []byte) (*wire.Block, error) {
	s.expected.mu.Lock()
	b := s.expected.blocks[&entry[0]]
	s.expected.mu.Unlock()
	if b != nil {
		return b, nil
	}
	return &s.decoded, s.cfg.Coder.DecodeInto(&s.decoded, frame)
}
