package store

import (
	"errors"
	"fmt"
	"io"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/staffetta/staffetta/wire"
)

// Stage returns a writer for a stream that a Checkpoint of another replica made. Its Close
// verifies that the state is whole and this group's, and makes it durable; after that, Install
// switches to it. Closing it early, or after an error, removes what arrived. At most one stage
// is being written; a closed one that was not installed gives way to the next.
func (d *DB) Stage() (io.WriteCloser, error) {
	if err := d.usable(); err != nil {
		return nil, err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.staging != nil && !d.staging.closed {
		return nil, wire.Errorf(wire.Conflict, "another copy of the state is being received")
	}
	dir := d.at.path(stagingName)
	if err := d.cfg.FS.RemoveAll(dir); err != nil {
		return nil, fmt.Errorf("store: stage: %w", err)
	}
	if err := d.cfg.FS.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("store: stage: %w", err)
	}
	s := &stage{db: d, dir: dir, names: map[string]bool{}}
	s.decoder = newDecoder(s)
	d.staging = s
	return s, nil
}

// stage receives a state. It is used by one goroutine.
type stage struct {
	db  *DB
	dir string
	*decoder
	names  map[string]bool
	file   vfs.File
	state  *streamHead
	copied []byte

	closed bool // guarded by DB.mu
	whole  bool // guarded by DB.mu: verified and durable
}

// Write takes the next part of the stream.
func (s *stage) Write(p []byte) (int, error) {
	n, err := s.decoder.Write(p)
	if err != nil {
		return n, fmt.Errorf("store: stage: %w", err)
	}
	return n, nil
}

func (s *stage) head(h *streamHead, files int) error {
	if err := s.db.cfg.Identity.check(h.Identity); err != nil {
		return err
	}
	// A replica at which nothing was ever applied belongs to no incarnation yet.
	if own := s.db.Identity().Incarnation; own != h.Identity.Incarnation &&
		s.db.Position().Index != 0 {
		return fmt.Errorf("state of incarnation %d of %s, this replica is of incarnation %d",
			h.Identity.Incarnation, h.Identity.Group, own)
	}
	if h.Position.Index == 0 || files == 0 {
		return errors.New("state without position or files")
	}
	usage, err := s.db.cfg.FS.GetDiskUsage(s.db.cfg.Dir)
	if err == nil && usage.AvailBytes < h.Bytes {
		return fmt.Errorf("state of %d bytes, %d are free", h.Bytes, usage.AvailBytes)
	}
	s.state = h
	return nil
}

func (s *stage) begin(f fileHead) (err error) {
	if s.names[f.name] {
		return fmt.Errorf("two files %q", f.name)
	}
	s.names[f.name] = true
	s.file, err = s.db.cfg.FS.Create(s.db.cfg.FS.PathJoin(s.dir, f.name), category)
	return err
}

// content copies p, since a vfs.File may change what it is given and an io.Writer may not.
func (s *stage) content(p []byte) error {
	s.copied = append(s.copied[:0], p...)
	_, err := s.file.Write(s.copied)
	return err
}

func (s *stage) end() error {
	f := s.file
	s.file = nil
	return errors.Join(f.Sync(), f.Close())
}

// Close ends the stream.
func (s *stage) Close() error {
	s.db.mu.Lock()
	closed := s.closed
	s.closed = true
	s.db.mu.Unlock()
	if closed {
		return nil
	}
	err := s.decoder.err
	if err == nil && !s.done {
		err = io.ErrUnexpectedEOF
	}
	if err == nil {
		err = syncDir(s.db.cfg.FS, s.dir)
	}
	if err == nil {
		err = syncDir(s.db.cfg.FS, s.db.cfg.Dir)
	}
	if err != nil {
		return fmt.Errorf("store: stage: %w", errors.Join(err, s.remove()))
	}
	s.db.mu.Lock()
	defer s.db.mu.Unlock()
	s.whole = true
	return nil
}

// remove deletes what arrived.
func (s *stage) remove() (err error) {
	if s.file != nil {
		err = s.file.Close()
		s.file = nil
	}
	return errors.Join(err, s.db.cfg.FS.RemoveAll(s.dir))
}

// abandon is called when the store closes; the next Open removes the files.
func (s *stage) abandon() {
	s.db.mu.Lock()
	defer s.db.mu.Unlock()
	s.closed = true
}

// Install switches to the closed stage, durably and as a whole: after a crash the store is the
// one of before or the staged one. The staged state must be as of at.Index and at.Term, else
// nothing changes. Position().Installed is true until the next Commit. Only the goroutine that
// commits may call it, with no batch open.
func (d *DB) Install(at wire.Position) error {
	d.commitMu.Lock()
	defer d.commitMu.Unlock()
	if err := d.usable(); err != nil {
		return err
	}
	d.mu.Lock()
	s, old := d.staging, d.live
	if s == nil || !s.whole {
		d.mu.Unlock()
		return errors.New("store: install: nothing is staged")
	}
	d.staging = nil
	d.mu.Unlock()
	if err := d.install(s, old, at); err != nil {
		return fmt.Errorf("store: install: %w", err)
	}
	return nil
}

func (d *DB) install(s *stage, old *handle, at wire.Position) error {
	number := old.number + 1
	dir := d.at.path(dbName(number))
	if err := d.cfg.FS.RemoveAll(dir); err != nil { // of an attempt that failed
		return errors.Join(err, s.remove())
	}
	if err := d.cfg.FS.Rename(s.dir, dir); err != nil {
		return errors.Join(err, s.remove())
	}
	if err := syncDir(d.cfg.FS, d.cfg.Dir); err != nil {
		return errors.Join(err, d.cfg.FS.RemoveAll(dir))
	}
	h, a, err := d.openDatabase(number)
	if err == nil {
		err = d.prepare(h, a, at, s.state)
		if err != nil {
			err = errors.Join(err, h.DB.Close())
		}
	}
	if err != nil {
		return errors.Join(err, d.cfg.FS.RemoveAll(dir))
	}
	// From here on a crash may find either; so any error but success stops the store.
	if err := d.at.setCurrent(number); err != nil {
		err = errors.Join(err, h.DB.Close())
		d.fail.set(err)
		return err
	}
	d.flushMu.Lock()
	d.durable = a.pos
	d.mu.Lock()
	d.live, old.drop = h, true
	d.applied.Store(a)
	d.mu.Unlock()
	d.flushMu.Unlock()
	d.release(old)
	return nil
}

// prepare checks a staged database against what raft and the stream said of it, and marks it
// durably as installed.
func (d *DB) prepare(h *handle, a *applied, at wire.Position, head *streamHead) error {
	if a.pos.Index != at.Index || a.pos.Term != at.Term {
		return fmt.Errorf("staged state is as of index %d, term %d; index %d, term %d expected",
			a.pos.Index, a.pos.Term, at.Index, at.Term)
	}
	if head.Position.Index != a.pos.Index || head.Position.Digest != a.digest {
		return errors.New("staged state is not the one that was announced")
	}
	a.pos.Installed = true
	b := h.NewBatch()
	defer b.Close()
	if err := putApplied(b, a, nil); err != nil {
		return err
	}
	err := d.guarded(func() error { return h.Apply(b, d.writeOptions()) })
	if err == nil {
		err = d.flush(h)
	}
	if err != nil {
		return err
	}
	back, err := readApplied(h, &pebble.IterOptions{OnlyReadGuaranteedDurable: true})
	if err == nil && (back.pos.Index != a.pos.Index || !back.pos.Installed) {
		err = errors.New("the mark of the installation did not reach the disk")
	}
	return err
}
