package store

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"sync"
	"sync/atomic"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/staffetta/staffetta/wire"
)

// ErrClosed is returned by every call after Close.
var ErrClosed = errors.New("store is closed")

// DB is one group's database. One goroutine commits and installs; everything else may be called
// concurrently.
type DB struct {
	// Set at construction.
	cfg     Config
	at      layout
	lock    io.Closer
	fail    *failure
	closing chan struct{}
	events  chan struct{} // signalled when a flush or compaction ends
	pace    pace

	applied atomic.Pointer[applied]

	// commitMu orders commits, checkpoints and installs.
	commitMu  sync.Mutex
	unchecked int // bytes committed since makeRoom last asked Pebble

	flushMu sync.Mutex
	durable wire.Position // guarded by flushMu: what the last flush read back

	mu      sync.Mutex // guards what follows
	live    *handle
	closed  bool
	staging *stage
	sending int
	nextCP  uint64
}

// handle is an open Pebble database that is closed when its last user lets go of it, so that
// Install need not wait for readers nor pull the database away under them.
type handle struct {
	*pebble.DB
	number uint64
	// Set before the handle is shared.
	reader      pebble.Reader // of what reads it; one for all, since each read needs it
	incarnation uint32
	origin      Origin
	refs        int           // guarded by DB.mu; one belongs to DB.live
	drop        bool          // guarded by DB.mu: the directory goes with the last user
	gone        chan struct{} // closed when the database is
	err         error         // of closing, set before gone is closed
}

func (d *DB) newHandle(db *pebble.DB, number uint64) *handle {
	return &handle{DB: db, number: number, refs: 1, gone: make(chan struct{}),
		reader: reader{Reader: db, db: d, number: number}}
}

// Open opens the store in cfg.Dir, or makes one when the directory is empty or absent. It
// removes what an interrupted Install, Stage or Checkpoint left. An error says why the directory
// is refused; nothing was changed then.
func Open(cfg Config) (*DB, error) {
	cfg, err := cfg.withDefaults()
	if err != nil {
		return nil, fmt.Errorf("store: configuration: %w", err)
	}
	d := newDB(cfg)
	if err := d.open(); err != nil {
		if d.lock != nil {
			err = errors.Join(err, d.lock.Close())
		}
		if f := (*Fault)(nil); !errors.As(err, &f) { // which names its file
			err = fmt.Errorf("%s: %w", cfg.Dir, err)
		}
		return nil, fmt.Errorf("store: %w", err)
	}
	return d, nil
}

func newDB(cfg Config) *DB {
	d := &DB{cfg: cfg, at: layout{fs: cfg.FS, dir: cfg.Dir}, fail: newFailure(),
		closing: make(chan struct{}), events: make(chan struct{}, 1)}
	d.pace.closing = d.closing
	return d
}

func (d *DB) open() error {
	if err := makeDir(d.cfg.FS, d.cfg.Dir); err != nil {
		return err
	}
	var err error
	lock := d.at.path(lockName)
	d.lock, err = d.cfg.FS.Lock(lock)
	if opening := (*fs.PathError)(nil); errors.As(err, &opening) {
		return newFault(lock, err)
	}
	if err != nil {
		return fmt.Errorf("in use by another process: %w", err)
	}
	there, err := d.at.scan()
	if err != nil {
		return err
	}
	number, err := d.at.current()
	switch {
	case err == nil:
	case !isNotExist(err):
		return newFault(d.at.path(currentName), err)
	case there.creating: // the last creation did not finish, so nothing was ever committed
		if err := d.at.reap(there.names, 0); err != nil {
			return err
		}
		return d.create()
	case there.dbs:
		return damaged(d.at.path(currentName), "it is missing, and there is a database")
	case there.other != "":
		return fmt.Errorf("not a store, and not empty: it holds %q", there.other)
	default:
		return d.create()
	}
	if _, err := d.cfg.FS.Stat(d.at.path(dbName(number))); err != nil {
		return newFault(d.at.path(dbName(number)), err)
	}
	if err := d.at.reap(there.names, number); err != nil {
		return err
	}
	h, a, err := d.openDatabase(number)
	if err != nil {
		return err
	}
	d.live = h
	d.applied.Store(a)
	return nil
}

// makeDir makes dir and the entries that lead to it durable.
func makeDir(fs vfs.FS, dir string) error {
	if _, err := fs.Stat(dir); err == nil {
		return nil
	}
	if err := fs.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	for d := dir; ; {
		parent := fs.PathDir(d)
		if parent == d {
			return nil
		}
		if err := syncDir(fs, parent); err != nil {
			return nil // not ours to sync; what matters was synced before
		}
		d = parent
	}
}

// create makes an empty database, in an order that lets a crash at any point start over.
func (d *DB) create() error {
	if err := writeFile(d.cfg.FS, d.at.path(creatingName), nil); err != nil {
		return err
	}
	if err := syncDir(d.cfg.FS, d.cfg.Dir); err != nil {
		return err
	}
	db, err := d.openPebble(1, true)
	if err != nil {
		return err
	}
	h := d.newHandle(db, 1)
	h.incarnation = d.cfg.Identity.Incarnation
	err = d.putIdentity(h)
	if err == nil {
		err = d.at.setCurrent(1)
	}
	if err == nil {
		err = d.cfg.FS.Remove(d.at.path(creatingName))
	}
	if err != nil {
		return errors.Join(err, db.Close())
	}
	d.live = h
	d.applied.Store(&applied{})
	return nil
}

func (d *DB) putIdentity(h *handle) error {
	row := wire.Encode(&d.cfg.Identity)
	if err := h.Set(identityKey, row, d.writeOptions()); err != nil {
		return err
	}
	if err := d.flush(h); err != nil {
		return err
	}
	return syncDir(d.cfg.FS, d.cfg.Dir)
}

// openDatabase opens db-number and checks that it is this group's and whole.
func (d *DB) openDatabase(number uint64) (*handle, *applied, error) {
	db, err := d.openPebble(number, false)
	if err != nil {
		return nil, nil, err
	}
	h := d.newHandle(db, number)
	a, err := d.check(h)
	if err != nil {
		return nil, nil, errors.Join(err, db.Close())
	}
	return h, a, nil
}

func (d *DB) check(h *handle) (*applied, error) {
	var id Identity
	if err := readRow(h, nil, identityKey, &id); err != nil {
		return nil, d.openFault(h.number, err)
	}
	if id == (Identity{}) {
		return nil, damaged(d.at.path(dbName(h.number)), "it has no identity")
	}
	if err := d.cfg.Identity.check(id); err != nil {
		return nil, err
	}
	if err := readRow(h, nil, originKey, &h.origin); err != nil {
		return nil, d.openFault(h.number, err)
	}
	h.incarnation = id.Incarnation
	a, err := readApplied(h, nil)
	if err != nil {
		return nil, d.openFault(h.number, err)
	}
	return a, nil
}

// Close waits for running reads and closes the database. In the absence of a failure everything
// applied is made durable first, so that the next start has little to replay.
func (d *DB) Close() error {
	d.commitMu.Lock()
	defer d.commitMu.Unlock()
	d.mu.Lock()
	if d.closed {
		d.mu.Unlock()
		return ErrClosed
	}
	d.closed = true
	h, st := d.live, d.staging
	d.staging = nil
	d.mu.Unlock()

	var err error
	if st != nil {
		st.abandon()
	}
	if d.fail.get() == nil && !d.cfg.Sync {
		err = d.flush(h)
	}
	close(d.closing)
	if !d.fail.wedged() { // its locks are lost, closing it would wait for ever
		d.release(h)
		<-h.gone
		if d.fail.get() == nil { // otherwise closing only says again what was reported
			err = errors.Join(err, h.err)
		}
	}
	if err = errors.Join(err, d.lock.Close()); err != nil {
		return fmt.Errorf("store: closing: %w", err)
	}
	return nil
}

// acquire returns the database in use, which stays open until release.
func (d *DB) acquire() (*handle, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.closed {
		return nil, ErrClosed
	}
	d.live.refs++
	return d.live, nil
}

// release lets go of a handle; the last one closes it.
func (d *DB) release(h *handle) {
	d.mu.Lock()
	h.refs--
	last, drop := h.refs == 0, h.drop
	d.mu.Unlock()
	if !last {
		return
	}
	h.err = h.DB.Close()
	if drop && h.err == nil {
		h.err = d.cfg.FS.RemoveAll(d.at.path(dbName(h.number)))
	}
	close(h.gone)
}

// Position is how far the state is applied, in memory. Its configuration must not be changed.
func (d *DB) Position() wire.Position { return d.applied.Load().pos }

// Identity says whose state it is, and of which incarnation.
func (d *DB) Identity() Identity {
	d.mu.Lock()
	defer d.mu.Unlock()
	id := d.cfg.Identity
	id.Incarnation = d.live.incarnation
	return id
}

// Origin is the copy that the state's incarnation began from.
func (d *DB) Origin() Origin {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.live.origin
}

// Digest is the digest that came with the last Commit, and its index.
func (d *DB) Digest() (index uint64, sum [32]byte) {
	a := d.applied.Load()
	return a.pos.Index, a.digest
}
