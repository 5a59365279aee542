package store

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/staffetta/staffetta/wire"
)

// sendingMax bounds the checkpoints open at once: each keeps files alive that the database has
// already replaced, and with them their disk space.
const sendingMax = 4

// Checkpoint makes everything applied durable and returns the state as a stream of size bytes,
// as of the position at. Making it costs hard links, not copies; the database goes on meanwhile.
// The caller closes the stream, which frees the disk space that it holds on to.
func (d *DB) Checkpoint() (stream io.ReadCloser, size int64, at wire.Position, err error) {
	if err := d.usable(); err != nil {
		return nil, 0, at, err
	}
	h, err := d.acquire()
	if err != nil {
		return nil, 0, at, err
	}
	defer d.release(h)
	dir, err := d.reserve()
	if err != nil {
		return nil, 0, at, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, d.unreserve(dir))
		}
	}()
	a, err := d.freeze(h, dir)
	if err != nil {
		return nil, 0, at, err
	}
	s, err := d.openStream(dir, a, h.incarnation)
	if err != nil {
		return nil, 0, at, err
	}
	return s, s.size, a.pos, nil
}

// reserve names the directory of a new checkpoint.
func (d *DB) reserve() (string, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.sending >= sendingMax {
		return "", wire.Errorf(wire.Overloaded, "%d copies of the state are being sent",
			d.sending)
	}
	d.sending++
	d.nextCP++
	return d.cfg.FS.PathJoin(d.at.path(sendingName), fmt.Sprintf("%06d", d.nextCP)), nil
}

func (d *DB) unreserve(dir string) error {
	d.mu.Lock()
	d.sending--
	d.mu.Unlock()
	return d.cfg.FS.RemoveAll(dir)
}

// freeze links the database's files into dir. Without a write-ahead log a checkpoint holds only
// what was flushed, so the rest is flushed while nothing can be committed: the position is then
// the state's. The first flush, outside the lock, keeps that short.
func (d *DB) freeze(h *handle, dir string) (*applied, error) {
	if _, err := d.Flush(); err != nil {
		return nil, err
	}
	d.commitMu.Lock()
	defer d.commitMu.Unlock()
	if _, err := d.Flush(); err != nil {
		return nil, err
	}
	if err := d.cfg.FS.MkdirAll(d.at.path(sendingName), 0o700); err != nil {
		return nil, err
	}
	if err := d.guarded(func() error { return h.DB.Checkpoint(dir) }); err != nil {
		return nil, fmt.Errorf("store: checkpoint: %w", err)
	}
	return d.applied.Load(), nil
}

func (d *DB) openStream(dir string, a *applied, incarnation uint32) (*sender, error) {
	names, err := d.cfg.FS.List(dir)
	if err != nil {
		return nil, err
	}
	s := &sender{db: d, dir: dir}
	identity := d.cfg.Identity
	identity.Incarnation = incarnation
	head := streamHead{Identity: identity, Configuration: a.pos.Configuration,
		Position: positionRow{Index: a.pos.Index, Term: a.pos.Term, Digest: a.digest,
			ConfigurationIndex: a.pos.ConfigurationIndex}}
	for _, name := range names {
		info, err := d.cfg.FS.Stat(d.cfg.FS.PathJoin(dir, name))
		if err != nil {
			return nil, err
		}
		if err := checkFileName(name); err != nil {
			return nil, err
		}
		f := fileHead{name: name, size: info.Size()}
		s.files = append(s.files, f)
		s.size += fileStreamBytes(f)
		head.Bytes += uint64(f.size)
	}
	if len(s.files) > filesOfStreamMax {
		return nil, fmt.Errorf("store: checkpoint of %d files", len(s.files))
	}
	s.all, s.begin = s.files, encodeStreamHead(len(s.files), &head)
	s.head.Write(s.begin)
	s.size += int64(s.head.Len())
	return s, nil
}

// sender reads a checkpoint as a stream. It is used by one goroutine.
type sender struct {
	db    *DB
	dir   string
	files []fileHead // still to be sent
	size  int64
	all   []fileHead
	begin []byte // the stream's head, encoded

	head bytes.Buffer // encoded bytes to be sent before the open file's content
	open vfs.File     // the file being sent
	left int64
	sum  uint32
	done bool
}

// Read fills p as far as one source goes.
func (s *sender) Read(p []byte) (int, error) {
	for {
		switch {
		case s.done:
			return 0, ErrClosed
		case s.head.Len() > 0:
			return s.head.Read(p)
		case s.open != nil && s.left > 0:
			return s.readContent(p)
		case s.open != nil:
			err := s.open.Close()
			s.open = nil
			if err != nil {
				return 0, err
			}
			s.head.Write(binary.LittleEndian.AppendUint32(nil, s.sum))
		case len(s.files) == 0:
			return 0, io.EOF
		default:
			f := s.files[0]
			s.files = s.files[1:]
			var err error
			s.open, err = s.db.openCopied(s.db.cfg.FS.PathJoin(s.dir, f.name),
				vfs.SequentialReadsOption)
			if err != nil {
				return 0, err
			}
			s.left, s.sum = f.size, 0
			s.head.Write(encodeFileHead(f))
		}
	}
}

func (s *sender) readContent(p []byte) (int, error) {
	n, err := s.open.Read(p[:min(int64(len(p)), s.left)])
	s.left -= int64(n)
	s.sum = crc32.Update(s.sum, castagnoli, p[:n])
	if err == io.EOF {
		if err = nil; s.left > 0 {
			err = io.ErrUnexpectedEOF
		}
	}
	return n, err
}

// Close removes the checkpoint.
func (s *sender) Close() error {
	if s.done {
		return nil
	}
	s.done = true
	var err error
	if s.open != nil {
		err = s.open.Close()
	}
	return errors.Join(err, s.db.unreserve(s.dir))
}
