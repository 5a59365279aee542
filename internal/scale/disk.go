package scale

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// room refuses a run that needs more disk space than there is; used is what it has already.
func room(dir string, need, used int64) error {
	var s unix.Statfs_t
	if err := unix.Statfs(dir, &s); err != nil {
		return fmt.Errorf("free disk space: %w", err)
	}
	if free := int64(s.Bavail) * int64(s.Bsize); free+used < need {
		return fmt.Errorf("%s has %.1f GB free and the run needs %.1f GB more", dir,
			float64(free)/1e9, float64(need-used)/1e9)
	}
	return nil
}

// eachFile calls f for the regular files below dir.
func eachFile(dir string, f func(path string, info fs.FileInfo) error) error {
	return filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) || err == nil && !d.Type().IsRegular() {
			return nil
		}
		if err != nil {
			return err
		}
		info, err := d.Info()
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err != nil {
			return err
		}
		return f(path, info)
	})
}

// sizeOf is the length of all files below dir; 0 when there is none.
func sizeOf(dir string) (total int64, err error) {
	err = eachFile(dir, func(_ string, info fs.FileInfo) error {
		total += info.Size()
		return nil
	})
	return total, err
}

// warm reads all files below dir, so that they are in memory as far as they fit.
func warm(dir string) error {
	return eachFile(dir, func(path string, _ fs.FileInfo) error {
		f, err := os.Open(path)
		if err != nil {
			return err
		}
		_, err = io.Copy(io.Discard, f)
		return errors.Join(err, f.Close())
	})
}
