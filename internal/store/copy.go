package store

import (
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/staffetta/staffetta/wire"
)

// Copy is the state as of a moment: files that nobody changes any more. It keeps disk space alive,
// so it is closed soon. Its methods may be called concurrently.
type Copy struct {
	Identity Identity
	Position wire.Position
	Digest   [32]byte
	// Database tells apart the databases that the store had one after the other: a file of one
	// name and size is the same as long as Database is, if it is Final.
	Database uint64
	Files    []File

	db    *DB
	dir   string
	close sync.Once
	err   error
}

// File is a file of a Copy.
type File struct {
	Name string
	Size int64
	// Final files, tables and blobs, are never written again under their name.
	Final bool
}

// Copy makes everything applied durable and holds on to it as files. It costs hard links, and
// the database goes on meanwhile. Overloaded when too many copies and checkpoints are open.
func (d *DB) Copy() (_ *Copy, err error) {
	if err := d.usable(); err != nil {
		return nil, err
	}
	h, err := d.acquire()
	if err != nil {
		return nil, err
	}
	defer d.release(h)
	dir, err := d.reserve()
	if err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, d.unreserve(dir))
		}
	}()
	a, err := d.freeze(h, dir)
	if err != nil {
		return nil, err
	}
	c := &Copy{Identity: d.cfg.Identity, Position: a.pos, Digest: a.digest, Database: h.number,
		db: d, dir: dir}
	c.Identity.Incarnation = h.incarnation
	names, err := d.cfg.FS.List(dir)
	if err != nil {
		return nil, err
	}
	slices.Sort(names)
	for _, name := range names {
		if err := checkFileName(name); err != nil {
			return nil, err
		}
		info, err := d.cfg.FS.Stat(d.cfg.FS.PathJoin(dir, name))
		if err != nil {
			return nil, err
		}
		c.Files = append(c.Files, File{Name: name, Size: info.Size(),
			Final: strings.HasSuffix(name, ".sst") || strings.HasSuffix(name, ".blob")})
	}
	if len(c.Files) > filesOfStreamMax {
		return nil, fmt.Errorf("store: copy of %d files", len(c.Files))
	}
	return c, nil
}

// Open opens a file of the copy for reading; fs.ErrNotExist for any other name.
func (c *Copy) Open(name string) (vfs.File, error) {
	if err := checkFileName(name); err != nil {
		return nil, err
	}
	return c.db.cfg.FS.Open(c.db.cfg.FS.PathJoin(c.dir, name))
}

// ReadAt fills p from a file of the copy; io.ErrUnexpectedEOF when it ends before.
func (c *Copy) ReadAt(name string, p []byte, offset int64) error {
	f, err := c.Open(name)
	if err != nil {
		return err
	}
	n, err := f.ReadAt(p, offset)
	if err == io.EOF {
		if err = nil; n < len(p) {
			err = io.ErrUnexpectedEOF
		}
	}
	return errors.Join(err, f.Close())
}

// Close lets go of the files.
func (c *Copy) Close() error {
	c.close.Do(func() { c.err = c.db.unreserve(c.dir) })
	return c.err
}
