package store

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"
)

// coldConfig is testConfig with a cache that holds nothing, so that every read is one of a file.
func coldConfig(t *testing.T, fs vfs.FS) Config {
	t.Helper()
	cfg := testConfig(fs, false)
	cfg.Cache = pebble.NewCache(1)
	t.Cleanup(cfg.Cache.Unref)
	return cfg
}

// contents are the tables or blobs of the store's first database.
func contents(t *testing.T, fs vfs.FS, ending string) (paths []string) {
	t.Helper()
	names, err := fs.List("/data/state/db-000001")
	if err != nil {
		t.Fatal(err)
	}
	for _, n := range names {
		if strings.HasSuffix(n, ending) {
			paths = append(paths, "/data/state/db-000001/"+n)
		}
	}
	if len(paths) == 0 {
		t.Fatalf("no file %s", ending)
	}
	return paths
}

// damages are what a disk does to a file. In place says that a process feels it that has the file
// open.
var damages = []struct {
	name    string
	inPlace bool
	do      func(fs vfs.FS, path string, content []byte) error
}{
	{"bits flipped", true, func(fs vfs.FS, path string, b []byte) error {
		for i := len(b) / 10; i < len(b); i += max(1, len(b)/10) {
			b[i] ^= 0x10
		}
		return overwrite(fs, path, b)
	}},
	{"zeroed", true, func(fs vfs.FS, path string, b []byte) error {
		return overwrite(fs, path, make([]byte, len(b)))
	}},
	{"cut", false, func(fs vfs.FS, path string, b []byte) error {
		return writeFile(fs, path, b[:len(b)/3])
	}},
	{"emptied", false, func(fs vfs.FS, path string, _ []byte) error {
		return writeFile(fs, path, nil)
	}},
	{"removed", false, func(fs vfs.FS, path string, _ []byte) error { return fs.Remove(path) }},
	{"a directory", false, func(fs vfs.FS, path string, _ []byte) error {
		if err := fs.Remove(path); err != nil {
			return err
		}
		return fs.MkdirAll(path, 0o700)
	}},
}

// overwrite changes a file where it lies.
func overwrite(fs vfs.FS, path string, b []byte) error {
	f, err := fs.OpenReadWrite(path, category)
	if err != nil {
		return err
	}
	_, err = f.WriteAt(b, 0)
	return errors.Join(err, f.Close())
}

// TestDamagedReadStops damages tables and blobs under a store that runs, or that is closed. The
// first read that meets the damage must end the store with the file's name, and every start after
// it must say the same.
func TestDamagedReadStops(t *testing.T) {
	for _, ending := range []string{".sst", ".blob"} {
		for _, damage := range damages {
			t.Run(damage.name+" "+ending, func(t *testing.T) {
				fs := written(t, 120)
				d := mustOpen(t, coldConfig(t, fs))
				file := contents(t, fs, ending)[0]
				if err := damage.do(fs, file, readAll(t, fs, file)); err != nil {
					t.Fatal(err)
				}
				if damage.inPlace || ending == ".blob" {
					if _, err := d.Scan(); err == nil {
						t.Fatal("the damage went unnoticed")
					}
					checkFault(t, d, file)
				}
				d.Close()
				d, err := Open(coldConfig(t, fs))
				if err == nil {
					if _, err = d.Scan(); err == nil {
						t.Fatal("the damage went unnoticed at the next start")
					}
					d.Close()
				}
				if !errors.Is(err, ErrDamaged) || strings.ContainsAny(err.Error(), "\n<") ||
					!strings.Contains(err.Error(), "/data/state/db-000001") ||
					len(err.Error()) > 400 {
					t.Errorf("at the next start: %v, want one line about the file", err)
				}
			})
		}
	}
}

// checkFault expects that the store has ended because a file is damaged, in one line.
func checkFault(t *testing.T, d *DB, file string) {
	t.Helper()
	select {
	case err := <-d.Err():
		if !errors.Is(err, ErrDamaged) || !strings.Contains(err.Error(), file) ||
			strings.ContainsAny(err.Error(), "\n<") || len(err.Error()) > 400 {
			t.Errorf("reported %q, want one line about %s", err, file)
		}
	default:
		t.Error("the store goes on")
	}
	if err := put(d, d.Position().Index+1); err == nil {
		t.Error("it takes another commit")
	}
}

// TestSwallowedReadStops: whoever reads may make of the error what he wants.
func TestSwallowedReadStops(t *testing.T) {
	for name, read := range map[string]func(d *DB, key []byte){
		"Get": func(d *DB, key []byte) { d.Get(key) },
		"View": func(d *DB, key []byte) {
			d.View(func(r pebble.Reader) error { GetFrom(r, nil, key); return nil })
		},
		"Iterate": func(d *DB, key []byte) {
			d.Iterate(key, append(key, 0), false, func(_, _ []byte) (bool, error) { return true, nil })
		},
		"a batch": func(d *DB, key []byte) {
			b := d.NewIndexedBatch()
			defer b.Close()
			GetFrom(d.Reading(b), nil, key)
		},
	} {
		t.Run(name, func(t *testing.T) { swallowed(t, read) })
	}
}

func swallowed(t *testing.T, read func(d *DB, key []byte)) {
	fs := written(t, 120)
	d := mustOpen(t, coldConfig(t, fs))
	defer d.Close()
	file := contents(t, fs, ".blob")[0]
	if err := damages[0].do(fs, file, readAll(t, fs, file)); err != nil {
		t.Fatal(err)
	}
	for i := 1; i <= 120; i++ {
		read(d, fmt.Appendf(nil, "k/%08d", i))
	}
	checkFault(t, d, file)
}

// TestFailedReadStops fails reads by the operating system's word. What is no damage must not be
// called so: nothing is wrong with a disk because the process has too many files open.
func TestFailedReadStops(t *testing.T) {
	for _, c := range []struct {
		err     error
		is, not error
	}{
		{syscall.EIO, syscall.EIO, ErrDamaged},
		{syscall.EACCES, fs.ErrPermission, ErrDamaged},
		{syscall.EMFILE, ErrExhausted, ErrDamaged},
		{syscall.ENFILE, ErrExhausted, ErrDamaged},
		{syscall.ENOENT, ErrDamaged, fs.ErrNotExist},
		{syscall.EUCLEAN, ErrDamaged, ErrExhausted},
	} {
		for _, op := range []errorfs.OpKind{errorfs.OpOpen, errorfs.OpFileReadAt} {
			t.Run(fmt.Sprint(c.err, op), func(t *testing.T) {
				mem := written(t, 120)
				inject := &failingReads{err: c.err, kind: op}
				d := mustOpen(t, coldConfig(t, errorfs.Wrap(mem, inject)))
				defer d.Close()
				inject.on.Store(true)
				if _, err := d.Scan(); err == nil {
					t.Fatal("no read failed")
				}
				select {
				case err := <-d.Err():
					if !errors.Is(err, c.is) || errors.Is(err, c.not) ||
						!strings.Contains(err.Error(), "/data/state/db-000001/0") {
						t.Errorf("reported %v", err)
					}
				default:
					t.Error("the store goes on")
				}
			})
		}
	}
}

// TestDamagedCopyIsNotSent: a state that cannot be read is not handed on.
func TestDamagedCopyIsNotSent(t *testing.T) {
	mem := written(t, 120)
	inject := &failingReads{err: syscall.EIO, kind: errorfs.OpFileRead}
	d := mustOpen(t, coldConfig(t, errorfs.Wrap(mem, inject)))
	defer d.Close()
	stream, _, _, err := d.Checkpoint()
	if err != nil {
		t.Fatal(err)
	}
	defer stream.Close()
	inject.on.Store(true)
	if _, err := bytes.NewBuffer(nil).ReadFrom(stream); !errors.Is(err, syscall.EIO) {
		t.Errorf("sending: %v, want EIO", err)
	}
	select {
	case err := <-d.Err():
		if !errors.Is(err, syscall.EIO) {
			t.Errorf("reported %v", err)
		}
	default:
		t.Error("the store goes on")
	}
}

// failingReads fails reads of tables and blobs, once it is on.
type failingReads struct {
	err  error
	kind errorfs.OpKind
	on   atomic.Bool
}

func (f *failingReads) MaybeError(op errorfs.Op) error {
	if f.on.Load() && op.Kind == f.kind && content(op.Path) {
		return &fs.PathError{Op: "test", Path: op.Path, Err: f.err}
	}
	return nil
}

func (f *failingReads) String() string { return "failing reads" }
