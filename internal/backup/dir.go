package backup

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// temporary begins the name of a file that is being written. One that a crash left is removed by a
// prune, as everything that nobody names.
const temporary = "tmp-"

// dir is a target in a directory.
type dir struct{ path string }

func openDir(path string) (*dir, error) {
	if path == "" {
		return nil, errors.New("no target given")
	}
	path, err := filepath.Abs(path)
	if err != nil {
		return nil, err
	}
	return &dir{path: path}, nil
}

func (d *dir) String() string { return d.path }

func (d *dir) file(name string) string { return filepath.Join(d.path, filepath.FromSlash(name)) }

// Put writes beside the name, syncs, and renames.
func (d *dir) Put(_ context.Context, name string, content []byte) (err error) {
	to := d.file(name)
	if err := makeDir(filepath.Dir(to)); err != nil {
		return err
	}
	f, err := os.CreateTemp(filepath.Dir(to), temporary+"*")
	if err != nil {
		return err
	}
	_, err = f.Write(content)
	err = errors.Join(err, f.Sync(), f.Close())
	if err == nil {
		err = os.Rename(f.Name(), to)
	}
	if err != nil {
		return errors.Join(err, os.Remove(f.Name()))
	}
	return syncDir(filepath.Dir(to))
}

// makeDir makes a directory and its missing parents, durably.
func makeDir(path string) error {
	if info, err := os.Stat(path); err == nil {
		if !info.IsDir() {
			return fmt.Errorf("%s is no directory", path)
		}
		return nil
	}
	parent := filepath.Dir(path)
	if err := makeDir(parent); err != nil {
		return err
	}
	if err := os.Mkdir(path, 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	return syncDir(parent)
}

func syncDir(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}

func (d *dir) Get(_ context.Context, name string, max int) ([]byte, error) {
	f, err := os.Open(d.file(name))
	if err != nil {
		return nil, err
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, int64(max)+1))
	if err == nil && len(b) > max {
		err = fmt.Errorf("%s is larger than %d bytes", name, max)
	}
	return b, err
}

func (d *dir) List(ctx context.Context, prefix string, f func(Object) error) error {
	// The last part of the prefix may be the beginning of a name.
	root := d.file(prefix[:strings.LastIndexByte(prefix, '/')+1])
	return filepath.WalkDir(root, func(path string, e fs.DirEntry, err error) error {
		switch {
		case errors.Is(err, fs.ErrNotExist):
			return nil // removed meanwhile, or nothing is there yet
		case err != nil:
			return err
		case e.IsDir():
			return ctx.Err()
		}
		rel, err := filepath.Rel(d.path, path)
		if err != nil {
			return err
		}
		name := filepath.ToSlash(rel)
		if !strings.HasPrefix(name, prefix) {
			return nil
		}
		info, err := e.Info()
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err != nil {
			return err
		}
		return f(Object{Name: name, Bytes: info.Size(), Changed: info.ModTime()})
	})
}

func (d *dir) Delete(_ context.Context, name string) error {
	err := os.Remove(d.file(name))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}
