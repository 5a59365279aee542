package federation

import (
	"errors"
	"fmt"
	"io"
	"sync"
	"sync/atomic"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/staffetta/staffetta/internal/store"
	"github.com/staffetta/staffetta/wire"
)

// State is one replica. One goroutine calls Apply and Install; every read may be called
// concurrently with them.
type State struct {
	// Set at construction.
	cfg  Config
	db   *store.DB
	feed *feed

	founded atomic.Pointer[founding] // nil until the federation is founded

	// Guarded by mapMu, held to replace founded.
	mapMu      sync.Mutex
	mapChanged chan struct{} // closed when founded is replaced
}

// founding is the map with what look-ups need of it.
type founding struct {
	m       *wire.Map
	regions [wire.RegionTags]wire.RegionID
	tags    map[wire.RegionID]wire.RegionTag
}

func newFounding(m *wire.Map) *founding {
	f := &founding{m: m, tags: make(map[wire.RegionID]wire.RegionTag, len(m.Regions))}
	for _, r := range m.Regions {
		f.regions[r.Tag], f.tags[r.ID] = r.ID, r.Tag
	}
	return f
}

// anchor is the region that holds the recipient's slot.
func (f *founding) anchor(r wire.Recipient) wire.RegionID {
	return f.regions[f.m.SlotOwners[r.Slot()]]
}

// Open opens the replica in cfg.Store.Dir, or makes an empty one.
func Open(cfg Config) (*State, error) {
	cfg, err := cfg.withDefaults()
	if err != nil {
		return nil, fmt.Errorf("federation: configuration: %w", err)
	}
	db, err := store.Open(cfg.Store)
	if err != nil {
		return nil, fmt.Errorf("federation: %w", err)
	}
	s := &State{cfg: cfg, db: db, feed: newFeed(cfg.FeedEvents, db.Position().Index),
		mapChanged: make(chan struct{})}
	if err := s.loadMap(); err != nil {
		db.Close()
		return nil, err
	}
	return s, nil
}

func (s *State) loadMap() error {
	m, err := readMap(s.db)
	if err != nil {
		return fmt.Errorf("federation: %w", err)
	}
	if m == nil {
		s.setFounded(nil)
		return nil
	}
	s.setFounded(newFounding(m))
	return nil
}

// ReadMap is the map of a state that nobody uses; cfg names its whole identity.
func ReadMap(cfg store.Config) (*wire.Map, error) {
	db, err := store.Open(cfg)
	if err != nil {
		return nil, fmt.Errorf("federation: %w", err)
	}
	defer db.Close()
	m, err := readMap(db)
	if err == nil && m == nil {
		err = errors.New("it has no map")
	}
	if err != nil {
		return nil, fmt.Errorf("federation: %w", err)
	}
	return m, nil
}

// readMap is the map's row; nil before the federation is founded.
func readMap(db *store.DB) (*wire.Map, error) {
	row, ok, err := db.Get(mapKey)
	if err != nil {
		return nil, fmt.Errorf("reading the map: %w", err)
	}
	if !ok {
		return nil, nil
	}
	m := new(wire.Map)
	if err := wire.Decode(row, m); err != nil {
		return nil, fmt.Errorf("the map's row: %w", err)
	}
	if m.ActiveVersion > wire.Version {
		return nil, tooNew(m.ActiveVersion)
	}
	if err := m.Validate(); err != nil {
		return nil, fmt.Errorf("the map's row: %w", err)
	}
	return m, nil
}

// setFounded replaces the map, and wakes whoever watches it.
func (s *State) setFounded(f *founding) {
	s.mapMu.Lock()
	defer s.mapMu.Unlock()
	if s.founded.Swap(f) != f {
		close(s.mapChanged)
		s.mapChanged = make(chan struct{})
	}
}

// WatchMap returns the map as Map does, and a channel that is closed when there is another one.
func (s *State) WatchMap() (m *wire.Map, founded bool, changed <-chan struct{}) {
	s.mapMu.Lock()
	defer s.mapMu.Unlock()
	if f := s.founded.Load(); f != nil {
		return f.m, true, s.mapChanged
	}
	return nil, false, s.mapChanged
}

// Position is how far the log is applied.
func (s *State) Position() wire.Position { return s.db.Position() }

// Digest is a chain over everything written, equal on replicas at equal index.
func (s *State) Digest() (index uint64, sum [32]byte) { return s.db.Digest() }

// Flush makes everything applied durable and answers the position read back from disk.
func (s *State) Flush() (wire.Position, error) { return s.db.Flush() }

// Checkpoint returns the state as a stream of size bytes, as of at. The caller closes it.
func (s *State) Checkpoint() (stream io.ReadCloser, size int64, at wire.Position, err error) {
	return s.db.Checkpoint()
}

// Stage receives the stream of another replica's Checkpoint. Close verifies it and makes it
// durable; at most one is open.
func (s *State) Stage() (io.WriteCloser, error) { return s.db.Stage() }

// Install switches to the closed stage, which must be as of at; otherwise nothing changes. A state
// that was switched to and cannot be read stops the replica. Whoever follows the feed is told to
// ask anew.
func (s *State) Install(at wire.Position) error {
	if err := s.db.Install(at); err != nil {
		return err
	}
	if err := s.loadMap(); err != nil {
		return s.db.Stop(fmt.Errorf("the installed state cannot be read: %w", err))
	}
	s.feed.reset(s.db.Position().Index)
	return nil
}

// Err delivers, once, the error that stopped the replica outside of Apply: a failing disk.
func (s *State) Err() <-chan error { return s.db.Err() }

// DiskBytes is the disk space that the state takes.
func (s *State) DiskBytes() uint64 { return s.db.DiskBytes() }

// Metrics are those of the state's store.
func (s *State) Metrics() []prometheus.Collector { return s.db.Metrics() }

// Close closes the replica after running reads.
func (s *State) Close() error { return s.db.Close() }
