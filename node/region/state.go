package region

import (
	"fmt"
	"io"
	"sync"
	"sync/atomic"

	"github.com/staffetta/staffetta/internal/codec"
	"github.com/staffetta/staffetta/internal/store"
	"github.com/staffetta/staffetta/wire"
)

// State is a region's replicated state. Apply, Install and Close are called by one goroutine,
// everything else by any.
type State struct {
	// Set at construction.
	cfg       Config
	db        *store.DB
	standings *standings
	contents  *contents
	texts     *texts

	clock atomic.Pointer[clock]
	slots atomic.Pointer[slotTable]
	// version is the group's active one.
	version atomic.Uint32
	// restored is the state's incarnation, and how far it agrees with the directory.
	restored atomic.Pointer[restored]

	// broken counts what Broken says.
	broken atomic.Uint64

	expected expected
	warming  warming // owned by Open, Install and Close

	// Owned by Apply.
	change  *change
	recent  *recent
	decoded wire.Block // the block being applied, its memory used again
	failed  error      // what ended Apply, for ever

	pendingMu sync.Mutex
	pending   chan struct{} // guarded by pendingMu; closed when work was added
	// Guarded by pendingMu; closed when a block or a key was added to the spool.
	spoolAdded chan struct{}
}

// Open opens the state below cfg.Store.Dir, or makes an empty one. Caches start empty, so it
// takes the same time however large the state is; what verdicts need is read beside the rest.
func Open(cfg Config) (*State, error) {
	cfg, err := cfg.withDefaults()
	if err != nil {
		return nil, err
	}
	db, err := store.Open(cfg.Store)
	if err != nil {
		return nil, err
	}
	s := &State{cfg: cfg, db: db, change: newChange(), pending: make(chan struct{}),
		spoolAdded: make(chan struct{}),
		expected:   expected{blocks: map[*byte]*wire.Block{}}}
	s.standings = newStandings(cfg.CitizenCacheBytes, cfg.CacheBytes/6)
	s.contents = newContents(cfg.CacheBytes / 2)
	s.texts = newTexts()
	s.recent = newRecent(cfg.CacheBytes / 6)
	if err := s.load(); err != nil {
		db.Close()
		return nil, fmt.Errorf("region state: %w", err)
	}
	return s, nil
}

// load takes over what is on disk, at Open and after Install.
func (s *State) load() error {
	var k clock
	if _, err := s.getRow(clockKey(), &k); err != nil {
		return err
	}
	var slots slotTable
	lower := []byte{slotPrefix}
	err := s.db.Iterate(lower, after(lower), false, func(key, v []byte) (bool, error) {
		return true, slots.put(key, v)
	})
	if err != nil {
		return err
	}
	if err := s.loadVersion(); err != nil {
		return err
	}
	if err := s.loadRestored(); err != nil {
		return err
	}
	s.clock.Store(&k)
	s.slots.Store(&slots)
	s.endWarming()
	s.standings.clear()
	s.contents.clear()
	s.texts.clear()
	s.recent.reset(k.NewestID)
	s.wake()
	s.wakeSpool()
	s.warm()
	return nil
}

// Close makes what is applied durable and releases the database.
func (s *State) Close() error {
	s.endWarming()
	err := s.db.Close()
	s.standings.clear()
	return err
}

// Err delivers the error that stopped the database, once; the owner must stop the group.
func (s *State) Err() <-chan error { return s.db.Err() }

// Store is the database below, for its metrics.
func (s *State) Store() *store.DB { return s.db }

// Position is how far the state is applied, in memory.
func (s *State) Position() wire.Position { return s.db.Position() }

// Flush makes everything applied durable and answers the position read back from disk.
func (s *State) Flush() (wire.Position, error) { return s.db.Flush() }

// Checkpoint streams the state as of the position that it answers.
func (s *State) Checkpoint() (stream io.ReadCloser, size int64, at wire.Position, err error) {
	return s.db.Checkpoint()
}

// Stage receives another replica's checkpoint. Close verifies it and makes it durable.
func (s *State) Stage() (io.WriteCloser, error) { return s.db.Stage() }

// Install switches to the state received by Stage, durably and as a whole. It must be the state
// at the position at; otherwise nothing changes. A state that was switched to and cannot be read
// stops the replica: it is not the one of before, and nobody may take it for that.
func (s *State) Install(at wire.Position) error {
	if err := s.db.Install(at); err != nil {
		return err
	}
	s.failed = nil
	if err := s.load(); err != nil {
		s.failed = s.db.Stop(fmt.Errorf("region state: the installed one cannot be read: %w", err))
		return s.failed
	}
	return nil
}

// Digest is the chain over everything written up to index.
func (s *State) Digest() (index uint64, sum [32]byte) { return s.db.Digest() }

// Broken is how many records were not decided, since the process began, because rows contradict
// each other or the records have no form. It is a fault of the program, which every replica has.
func (s *State) Broken() uint64 { return s.broken.Load() }

// Now is the state's time: the latest of any entry applied.
func (s *State) Now() wire.Time { return s.clock.Load().Now }

// getRow decodes a committed row into m, which must be zero and copy what it keeps.
func (s *State) getRow(key []byte, m codec.Message) (ok bool, err error) {
	v, ok, err := s.db.Get(key)
	if err != nil || !ok {
		return false, err
	}
	return true, decodeRow(key, v, m)
}

// decodeRow decodes a value of the state, which can only fail when the database is damaged.
func decodeRow(key, value []byte, m codec.Message) error {
	if err := wire.Decode(value, m); err != nil {
		return fmt.Errorf("%w: %w", errDamaged(key), err)
	}
	return nil
}

// errDamaged names the kind of a row that does not decode.
func errDamaged(key []byte) error {
	return fmt.Errorf("region state is damaged: row of kind %q", key[:min(1, len(key))])
}
