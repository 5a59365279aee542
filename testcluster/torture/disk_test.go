package torture

import (
	"errors"
	"os"
	"path/filepath"
	"syscall"
	"testing"
)

// TestDisk: a disk runs full to the last byte, and one that fails answers errors and has
// afterwards what was synced, and not what was not.
func TestDisk(t *testing.T) {
	if missing := disksMissing(); missing != "" || testing.Short() {
		t.Skipf("needs %s and time", missing)
	}
	dir := t.TempDir()
	d, err := newDisk(filepath.Join(dir, "disk.img"), filepath.Join(dir, "node"))
	if err != nil {
		t.Skipf("a disk cannot be made here: %v", err)
	}
	defer func() {
		if err := d.unmount(); err != nil {
			t.Error(err)
		}
	}()
	path := func(name string) string { return filepath.Join(d.dir, name) }
	write := func(name string, sync bool) error {
		f, err := os.Create(path(name))
		if err != nil {
			return err
		}
		_, err = f.WriteString("written")
		if sync {
			err = errors.Join(err, f.Sync())
		}
		return errors.Join(err, f.Close())
	}
	if err := d.fill(0); err != nil {
		t.Fatal(err)
	}
	if err := write("full", true); !errors.Is(err, syscall.ENOSPC) {
		t.Errorf("writing on a full disk: got %v, want no space", err)
	}
	if err := d.empty(); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(write("synced", true), write("unsynced", false), d.fail()); err != nil {
		t.Fatal(err)
	}
	if err := write("late", true); !errors.Is(err, syscall.EIO) {
		t.Errorf("writing on a failed disk: got %v, want an I/O error", err)
	}
	if err := d.again(); err != nil {
		t.Fatal(err)
	}
	if b, err := os.ReadFile(path("synced")); err != nil || string(b) != "written" {
		t.Errorf("what was synced is %q, %v", b, err)
	}
	if b, err := os.ReadFile(path("unsynced")); err == nil && len(b) > 0 {
		t.Errorf("what was not synced is there: %q", b)
	}
}
