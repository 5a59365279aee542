package process_test

import (
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"
)

// directory starts the node on directories that are another's, half written or damaged. What is
// changed is put back, and the test's end shows that nothing is lost.
func (r *refused) directory(t *testing.T) {
	sub := func(elem ...string) string {
		return filepath.Join(append([]string{r.dir}, elem...)...)
	}
	t.Run("another node's", func(t *testing.T) {
		r.damage(t, sub("owner.json"), []byte(`{"format":1,"federation":"local",`+
			`"region":"lazio","node":"lazio-2"}`))
		r.node(t, "belongs to node lazio-2")
	})
	t.Run("another federation's", func(t *testing.T) {
		r.damage(t, sub("owner.json"), []byte(`{"format":1,"federation":"altra",`+
			`"region":"lazio","node":"lazio-1"}`))
		r.node(t, "in federation altra")
	})
	t.Run("another version's", func(t *testing.T) {
		r.damage(t, sub("owner.json"), []byte(`{"format":99,"federation":"local",`+
			`"region":"lazio","node":"lazio-1"}`))
		r.node(t, "version 99")
	})
	t.Run("owner missing", func(t *testing.T) {
		r.damage(t, sub("owner.json"), nil)
		r.node(t, "owner.json is damaged: it is missing")
	})
	t.Run("owner cut", func(t *testing.T) {
		r.damage(t, sub("owner.json"), []byte(`{"format":1,"feder`))
		r.node(t, "owner.json is damaged")
	})
	t.Run("owner empty", func(t *testing.T) {
		r.damage(t, sub("owner.json"), []byte{})
		r.node(t, "owner.json is damaged")
	})
	for _, group := range []string{"region", "federation"} {
		t.Run(group, func(t *testing.T) {
			t.Run("CURRENT missing", func(t *testing.T) {
				r.damage(t, sub(group, "state", "CURRENT"), nil)
				r.node(t, "CURRENT is damaged: it is missing")
			})
			t.Run("CURRENT cut", func(t *testing.T) {
				r.damage(t, sub(group, "state", "CURRENT"), []byte("staffetta sto"))
				r.node(t, "CURRENT is damaged")
			})
			t.Run("database missing", func(t *testing.T) {
				r.damage(t, sub(group, "state", "db-000001"), nil)
				r.node(t, "db-000001 is damaged: it is missing")
			})
			t.Run("group missing", func(t *testing.T) {
				r.damage(t, sub(group), nil)
				r.node(t, "has lost its "+group)
			})
			t.Run("log missing", func(t *testing.T) {
				r.damage(t, sub(group, "log"), nil)
				r.node(t, "wal-meta.db is missing")
			})
			t.Run("log empty", func(t *testing.T) {
				r.damage(t, sub(group, "log", "wal-meta.db"), nil)
				r.node(t, "group "+group)
			})
			t.Run("log is a file", func(t *testing.T) {
				r.damage(t, sub(group, "log"), []byte("log"))
				r.node(t, sub(group, "log"))
			})
		})
	}
	t.Run("other files", func(t *testing.T) {
		dir := t.TempDir()
		if err := os.WriteFile(filepath.Join(dir, "letter.txt"), nil, 0o600); err != nil {
			t.Fatal(err)
		}
		r.node(t, "letter.txt", "--dir", dir)
	})
	t.Run("a file", func(t *testing.T) { r.node(t, "data directory", "--dir", sub("owner.json")) })
	t.Run("read-only", func(t *testing.T) {
		mount(t, r.dir, "", unix.MS_BIND)
		remount(t, r.dir, unix.MS_BIND|unix.MS_REMOUNT|unix.MS_RDONLY)
		r.node(t, "read-only file system")
	})
	t.Run("disk full", func(t *testing.T) {
		dir := t.TempDir()
		mount(t, dir, "size=64k", 0)
		r.node(t, "no space left on device", "--dir", dir)
	})
}

// damage replaces a file or a directory by a file with b, or by nothing, until the test's end.
func (r *refused) damage(t *testing.T, path string, b []byte) {
	t.Helper()
	aside := r.path("aside")
	if err := os.Rename(path, aside); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		os.RemoveAll(path)
		if err := os.Rename(aside, path); err != nil {
			t.Fatal(err)
		}
	})
	if b != nil {
		if err := os.WriteFile(path, b, 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

// mount mounts a file system in memory over dir, or with MS_BIND dir over itself, until the
// test's end.
func mount(t *testing.T, dir, options string, flags uintptr) {
	t.Helper()
	source, kind := "tmpfs", "tmpfs"
	if flags&unix.MS_BIND != 0 {
		source, kind = dir, ""
	}
	if err := unix.Mount(source, dir, kind, flags, options); err != nil {
		t.Skipf("nothing can be mounted here, so this is not tested: %v", err)
	}
	t.Cleanup(func() {
		if err := unix.Unmount(dir, unix.MNT_DETACH); err != nil {
			t.Errorf("unmount: %v", err)
		}
	})
}

func remount(t *testing.T, dir string, flags uintptr) {
	t.Helper()
	if err := unix.Mount("", dir, "", flags, ""); err != nil {
		t.Fatal(err)
	}
}
