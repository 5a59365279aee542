package consensus

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime/debug"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/hashicorp/raft"
	wal "github.com/hashicorp/raft-wal"
	"github.com/hashicorp/raft-wal/metadb"
	"github.com/hashicorp/raft-wal/types"
	"go.etcd.io/bbolt"
	bbolterrors "go.etcd.io/bbolt/errors"
)

// A log's directory holds bbolt's files and raft-wal's segments. Neither library says which file it
// fails on, bbolt panics where one is damaged, and both make a file anew that is missing. So files
// are looked at before the libraries see them, and what these say is given the file's name.

const segmentSuffix = ".wal"

// damagedFile makes an ErrCorrupt about a file.
func damagedFile(path string, err error) error {
	switch said := (*fs.PathError)(nil); {
	case errors.Is(err, ErrCorrupt):
		return err // which names it
	case errors.Is(err, fs.ErrNotExist):
		return corrupt("%s is missing", path)
	case errors.As(err, &said) && said.Path == path:
		return corrupt("%s: %s: %w", path, said.Op, said.Err)
	}
	return corrupt("%s: %w", path, err)
}

// refused is what the system said of a file that must be there.
func refused(path string, err error) error {
	if damaged(err) {
		return damagedFile(path, err)
	}
	return err
}

// damaged reports whether what a library or the system said of a file means that it does not hold
// what was written to it. What is neither the system's word nor that another process holds it is.
func damaged(err error) bool {
	if errors.Is(err, ErrForeign) || errors.Is(err, bbolterrors.ErrTimeout) {
		return false
	}
	if errno := syscall.Errno(0); !errors.As(err, &errno) {
		return true
	}
	for _, known := range []error{ErrCorrupt, wal.ErrCorrupt, io.ErrUnexpectedEOF,
		syscall.ENOENT, syscall.EEXIST, syscall.EISDIR, syscall.ENOTDIR, syscall.EUCLEAN,
		syscall.EBADMSG, syscall.EINVAL} {
		if errors.Is(err, known) {
			return true
		}
	}
	return false
}

// survive runs an operation on a file of bbolt, which panics when the file is damaged, or reads
// behind the end of one that was cut: it has it mapped.
func survive(path string, op func() error) (err error) {
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() {
		r := recover()
		if r == nil {
			return
		}
		if !strings.Contains(string(debug.Stack()), "go.etcd.io/bbolt.") {
			panic(r) // a fault of ours
		}
		said, _, _ := strings.Cut(fmt.Sprint(r), "\n")
		err = corrupt("%s: %s", path, said)
	}()
	return op()
}

// checkFiles refuses a directory that was in use, as its mark says, or as other files in it do, and
// lacks the file without which the log store would begin anew.
func checkFiles(c *Config, used bool) error {
	path, all := filepath.Join(c.Dir, boltFile), false
	if c.LogStore != LogBolt {
		segments, err := filepath.Glob(filepath.Join(c.Dir, "*"+segmentSuffix))
		if err != nil {
			return err
		}
		path, all, used = filepath.Join(c.Dir, metadb.FileName), true, used || len(segments) > 0
	}
	info, err := os.Stat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist) && !used:
		return nil
	case err != nil:
		return refused(path, err)
	case info.IsDir():
		return damagedFile(path, syscall.EISDIR)
	case info.Size() == 0 && !used:
		return nil
	case info.Size() == 0:
		return corrupt("%s is empty", path)
	}
	return checkBolt(path, info.Size(), all)
}

// checkBolt reads a file of bbolt: whether all of it is there, and, where it is small, that every
// page of it is one.
func checkBolt(path string, size int64, all bool) error {
	return survive(path, func() error {
		db, err := bbolt.Open(path, 0o600, &bbolt.Options{ReadOnly: true, Timeout: time.Second})
		if err != nil {
			return refused(path, err)
		}
		defer db.Close()
		return db.View(func(tx *bbolt.Tx) error {
			if tx.Size() > size {
				return corrupt("%s has %d bytes of %d", path, size, tx.Size())
			}
			if !all {
				return nil
			}
			return tx.ForEach(func(_ []byte, b *bbolt.Bucket) error {
				return b.ForEach(func(_, _ []byte) error { return nil })
			})
		})
	})
}

// namedFiles remembers the file that raft-wal opened last: the one it fails on at its start.
type namedFiles struct {
	types.VFS
	last atomic.Pointer[string]
}

func (n *namedFiles) note(dir, name string) {
	path := filepath.Join(dir, name)
	n.last.Store(&path)
}

func (n *namedFiles) Create(dir, name string, size uint64) (types.WritableFile, error) {
	n.note(dir, name)
	return n.VFS.Create(dir, name, size)
}

func (n *namedFiles) OpenReader(dir, name string) (types.ReadableFile, error) {
	n.note(dir, name)
	return n.VFS.OpenReader(dir, name)
}

func (n *namedFiles) OpenWriter(dir, name string) (types.WritableFile, error) {
	n.note(dir, name)
	return n.VFS.OpenWriter(dir, name)
}

// fileOf is the file of a log's directory that holds an entry, for people.
func fileOf(dir string, index uint64) string {
	segments, _ := filepath.Glob(filepath.Join(dir, "*"+segmentSuffix))
	if len(segments) == 0 {
		return filepath.Join(dir, boltFile)
	}
	// Their names begin with their first entry, of a fixed width.
	at, _ := slices.BinarySearch(segments, filepath.Join(dir, fmt.Sprintf("%020d.", index)))
	return segments[max(at-1, 0)]
}

// fileLog is a log store in a directory, which says of what it cannot read that it is damaged, and
// in which file.
type fileLog struct {
	raft.LogStore
	dir   string
	index string // the file that leads to the entries
}

func (l fileLog) FirstIndex() (index uint64, err error) {
	err = survive(l.index, func() (err error) { index, err = l.LogStore.FirstIndex(); return err })
	return index, err
}

func (l fileLog) LastIndex() (index uint64, err error) {
	err = survive(l.index, func() (err error) { index, err = l.LogStore.LastIndex(); return err })
	return index, err
}

func (l fileLog) GetLog(index uint64, log *raft.Log) error {
	err := survive(l.index, func() error { return l.LogStore.GetLog(index, log) })
	if err == nil || errors.Is(err, raft.ErrLogNotFound) || errors.Is(err, wal.ErrClosed) ||
		errors.Is(err, bbolterrors.ErrDatabaseNotOpen) || !damaged(err) {
		return err
	}
	return damagedFile(fileOf(l.dir, index), fmt.Errorf("entry %d: %w", index, err))
}

func (l fileLog) StoreLog(log *raft.Log) error { return l.StoreLogs([]*raft.Log{log}) }

func (l fileLog) StoreLogs(logs []*raft.Log) error {
	return survive(l.index, func() error { return l.LogStore.StoreLogs(logs) })
}

func (l fileLog) DeleteRange(from, to uint64) error {
	return survive(l.index, func() error { return l.LogStore.DeleteRange(from, to) })
}

// fileStable is a stable store in a file of bbolt.
type fileStable struct {
	raft.StableStore
	path string
}

func (s fileStable) Set(key, val []byte) error {
	return survive(s.path, func() error { return s.StableStore.Set(key, val) })
}

func (s fileStable) Get(key []byte) (val []byte, err error) {
	err = survive(s.path, func() (err error) { val, err = s.StableStore.Get(key); return err })
	return val, err
}

func (s fileStable) SetUint64(key []byte, val uint64) error {
	return survive(s.path, func() error { return s.StableStore.SetUint64(key, val) })
}

func (s fileStable) GetUint64(key []byte) (val uint64, err error) {
	err = survive(s.path, func() (err error) { val, err = s.StableStore.GetUint64(key); return err })
	return val, err
}
