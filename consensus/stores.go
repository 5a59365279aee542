package consensus

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"syscall"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/raft"
	raftboltdb "github.com/hashicorp/raft-boltdb/v2"
	wal "github.com/hashicorp/raft-wal"
	walfs "github.com/hashicorp/raft-wal/fs"
	"github.com/hashicorp/raft-wal/metadb"
	"github.com/hashicorp/raft-wal/segment"
	"github.com/hashicorp/raft-wal/types"
	"go.etcd.io/bbolt"
)

// segmentBytes is the size of raft-wal's files. Each is reserved whole when it is begun, so it is
// also what an empty log takes on disk, and a machine with a whole federation has eighteen of
// them. Files that grow instead cost 10 to 30 % more per fsync; between 16 and 256 MiB there is no
// difference to measure (docs/design/002-consensus.md).
const segmentBytes = 32 << 20

const (
	boltFile = "raft.db"
	lockFile = "LOCK"
	// markSuffix makes the name of the mark of that of the log's directory, which it lies beside.
	markSuffix = ".mark"
)

// Stores is where a group keeps its log and its votes.
type Stores struct {
	log    raft.LogStore
	stable raft.StableStore
	mark   *mark  // of what both hold
	dir    string // empty in memory
	close  func() error
}

// NewMemoryStores returns stores that live as long as they are referenced; a group may be opened
// on them again and finds everything. They are for tests in virtual time.
func NewMemoryStores() *Stores {
	m := newMemory()
	return &Stores{log: m, stable: m, mark: newMark(), close: func() error { return nil }}
}

// CopyMemory copies stores in memory as they are now: what a snapshot of a machine has.
func (s *Stores) CopyMemory() *Stores {
	m := s.log.(*memory)
	m.mu.Lock()
	defer m.mu.Unlock()
	c := &memory{first: m.first, logs: slices.Clone(m.logs), values: maps.Clone(m.values),
		ints: maps.Clone(m.ints)}
	marked := newMark()
	marked.held = s.mark.now()
	return &Stores{log: c, stable: c, mark: marked, close: func() error { return nil }}
}

// FirstIndex is the index of the oldest entry in the log, 0 when it is empty or unreadable.
func (s *Stores) FirstIndex() uint64 {
	index, _ := s.log.FirstIndex()
	return index
}

// openStores opens or creates what c asks for.
func openStores(c *Config) (*Stores, error) {
	if c.Stores != nil {
		s := *c.Stores
		s.close = func() error { return nil }
		if s.mark == nil {
			s.mark = newMark()
		}
		return &s, nil
	}
	if c.LogStore == LogMemory {
		return NewMemoryStores(), nil
	}
	if err := os.MkdirAll(c.Dir, 0o700); err != nil {
		return nil, fmt.Errorf("open log: %w", refused(c.Dir, err))
	}
	lock := filepath.Join(c.Dir, lockFile)
	unlock, err := lockDir(lock)
	if errors.Is(err, syscall.EWOULDBLOCK) {
		return nil, fmt.Errorf("open log: %s is in use by another process", c.Dir)
	}
	if err != nil {
		return nil, fmt.Errorf("open log: %w", refused(lock, err))
	}
	s, err := openMarked(c)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("open log: %w", err), unlock())
	}
	closeFiles := s.close
	s.dir, s.close = c.Dir, func() error { return errors.Join(closeFiles(), unlock()) }
	return s, nil
}

// openMarked opens the mark before the log, which is made when it is missing and the mark knows of
// none.
func openMarked(c *Config) (*Stores, error) {
	m, err := openMark(filepath.Clean(c.Dir) + markSuffix)
	if err != nil {
		return nil, err
	}
	s, err := openFiles(c, m.now() != (Held{}))
	if err != nil {
		return nil, errors.Join(err, m.close())
	}
	closeFiles := s.close
	s.mark, s.close = m, func() error { return errors.Join(closeFiles(), m.close()) }
	return s, nil
}

func openFiles(c *Config, used bool) (*Stores, error) {
	other, otherFile := LogBolt, boltFile
	if c.LogStore == LogBolt {
		other, otherFile = LogWAL, metadb.FileName
	}
	if exists(filepath.Join(c.Dir, otherFile)) {
		return nil, fmt.Errorf("%w: it holds a %s log", ErrForeign, other)
	}
	if err := checkFiles(c, used); err != nil {
		return nil, err
	}
	if c.LogStore == LogBolt {
		return openBolt(c.Dir)
	}
	return walParts{dir: c.Dir, files: walfs.New(), meta: &metadb.BoltMetaDB{},
		segment: segmentBytes, logger: newHclog(c.Logger)}.open()
}

// walParts are what raft-wal is made of.
type walParts struct {
	dir     string
	files   types.VFS
	meta    types.MetaStore
	segment int
	logger  hclog.Logger
}

func (p walParts) open() (*Stores, error) {
	files, meta := &namedFiles{VFS: p.files}, filepath.Join(p.dir, metadb.FileName)
	var w *wal.WAL
	err := survive(meta, func() (err error) {
		w, err = wal.Open(p.dir, wal.WithLogger(p.logger), wal.WithSegmentSize(p.segment),
			wal.WithMetaStore(p.meta), wal.WithSegmentFiler(segment.NewFiler(p.dir, files)))
		return err
	})
	if err == nil {
		return &Stores{log: fileLog{w, p.dir, meta}, stable: fileStable{w, meta}, close: w.Close}, nil
	}
	if damaged(err) {
		// Before it opens a segment it reads the list of them.
		path := meta
		if last := files.last.Load(); last != nil {
			path = *last
		}
		err = damagedFile(path, err)
	}
	return nil, errors.Join(err, p.meta.Close())
}

func openBolt(dir string) (*Stores, error) {
	path := filepath.Join(dir, boltFile)
	var b *raftboltdb.BoltStore
	err := survive(path, func() (err error) {
		b, err = raftboltdb.New(raftboltdb.Options{Path: path, MsgpackUseNewTimeFormat: true,
			BoltOptions: &bbolt.Options{Timeout: time.Second, FreelistType: bbolt.FreelistMapType}})
		return err
	})
	if err != nil {
		return nil, refused(path, err)
	}
	return &Stores{log: fileLog{b, dir, path}, stable: fileStable{b, path}, close: b.Close}, nil
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return !errors.Is(err, fs.ErrNotExist)
}

// bytes is the log's size on disk.
func (s *Stores) bytes() int64 {
	if s.dir == "" {
		return 0
	}
	entries, err := os.ReadDir(s.dir)
	if err != nil {
		return 0
	}
	var total int64
	for _, e := range entries {
		if info, err := e.Info(); err == nil && info.Mode().IsRegular() {
			total += info.Size()
		}
	}
	return total
}
