package store

import (
	"bytes"
	"io"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/staffetta/staffetta/wire"
)

// written returns a closed store with some entries.
func written(t *testing.T, entries uint64) *vfs.MemFS {
	t.Helper()
	fs := vfs.NewMem()
	d := mustOpen(t, testConfig(fs, false))
	for i := uint64(1); i <= entries; i++ {
		if err := put(d, i); err != nil {
			t.Fatal(err)
		}
	}
	if err := d.Close(); err != nil {
		t.Fatal(err)
	}
	return fs
}

func readAll(t *testing.T, fs vfs.FS, name string) []byte {
	t.Helper()
	f, err := fs.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	b, err := io.ReadAll(f)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// TestRefuse opens directories that must not be opened: each with its reason.
func TestRefuse(t *testing.T) {
	put := func(name, content string) func(fs vfs.FS) error {
		return func(fs vfs.FS) error { return writeFile(fs, "/data/state/"+name, []byte(content)) }
	}
	remove := func(name string) func(fs vfs.FS) error {
		return func(fs vfs.FS) error { return fs.RemoveAll("/data/state/" + name) }
	}
	for _, c := range []struct {
		name   string
		damage func(fs vfs.FS) error
		cfg    func(*Config)
		want   string
	}{
		{"other federation", nil, func(c *Config) { c.Identity.Federation = "europa" },
			`federation "italia", not "europa"`},
		{"other group", nil, func(c *Config) { c.Identity.Group = "region/sicilia" },
			`group "region/lazio", not "region/sicilia"`},
		{"other key", nil, func(c *Config) { c.Identity.Key[0]++ }, "directory key"},
		{"other format", nil, func(c *Config) { c.Identity.Format = 2 }, "format 1"},
		{"no CURRENT", remove(currentName), nil, "CURRENT is damaged: it is missing"},
		{"empty CURRENT", put(currentName, ""), nil, "CURRENT is damaged"},
		{"short CURRENT", put(currentName, "staffetta store 1\ndb-0"), nil, "CURRENT is damaged"},
		{"altered CURRENT", put(currentName, "staffetta store 1\ndb-000002\n00000000\n"), nil,
			"CURRENT is damaged"},
		{"later layout", put(currentName, "staffetta store 2\nx\n"), nil, "another version"},
		{"no database", remove("db-000001"), nil, "db-000001 is damaged: it is missing"},
		{"empty database", func(fs vfs.FS) error {
			if err := fs.RemoveAll("/data/state/db-000001"); err != nil {
				return err
			}
			return fs.MkdirAll("/data/state/db-000001", 0o700)
		}, nil, "db-000001"},
		{"no group", nil, func(c *Config) { c.Identity.Group = "" }, "group's name"},
		{"tiny buffer", nil, func(c *Config) { c.MemTableBytes = 5 }, "write buffer"},
	} {
		t.Run(c.name, func(t *testing.T) {
			fs := written(t, 30)
			if c.damage != nil {
				if err := c.damage(fs); err != nil {
					t.Fatal(err)
				}
			}
			cfg := testConfig(fs, false)
			if c.cfg != nil {
				c.cfg(&cfg)
			}
			d, err := Open(cfg)
			if err == nil {
				d.Close()
				t.Fatalf("opened, want an error with %q", c.want)
			}
			if !strings.Contains(err.Error(), c.want) {
				t.Errorf("refused with %q, want %q in it", err, c.want)
			}
		})
	}
}

func TestRefuseForeignDirectory(t *testing.T) {
	fs := vfs.NewMem()
	if err := fs.MkdirAll("/data/state", 0o700); err != nil {
		t.Fatal(err)
	}
	if err := writeFile(fs, "/data/state/holiday.jpg", []byte("x")); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(testConfig(fs, false)); err == nil ||
		!strings.Contains(err.Error(), "holiday.jpg") {
		t.Errorf("a directory with other files: %v", err)
	}
}

func TestRefuseTwice(t *testing.T) {
	fs := vfs.NewMem()
	d := mustOpen(t, testConfig(fs, false))
	defer d.Close()
	if _, err := Open(testConfig(fs, false)); err == nil ||
		!strings.Contains(err.Error(), "in use") {
		t.Errorf("a store in use was opened again: %v", err)
	}
}

// TestDamagedFiles flips one byte of one of Pebble's files at a time. The store must refuse, or
// fail the read, or read exactly what was written up to its position; never anything else. The
// position may be an earlier one, since a manifest with a damaged end looks like one that was
// being written in a crash: whoever owns the log sees that it no longer joins the position.
func TestDamagedFiles(t *testing.T) {
	rng := rand.New(rand.NewPCG(5, 6))
	noticed, whole := 0, 0
	for range 120 {
		fs := written(t, 120)
		names, err := fs.List("/data/state/db-000001")
		if err != nil {
			t.Fatal(err)
		}
		var data []string
		for _, n := range names {
			if strings.HasSuffix(n, ".sst") || strings.HasSuffix(n, ".blob") ||
				strings.HasPrefix(n, "MANIFEST") {
				data = append(data, "/data/state/db-000001/"+n)
			}
		}
		name := data[rng.IntN(len(data))]
		content := readAll(t, fs, name)
		content[rng.IntN(len(content))] ^= byte(1 + rng.IntN(255))
		if err := writeFile(fs, name, content); err != nil {
			t.Fatal(err)
		}
		if readsWhole(t, fs) {
			whole++
		} else {
			noticed++
		}
	}
	if noticed < 60 {
		t.Errorf("damage was noticed %d times of %d", noticed, noticed+whole)
	}
}

// readsWhole reports whether everything reads back; false when the damage was noticed.
func readsWhole(t *testing.T, fs vfs.FS) bool {
	d, err := Open(testConfig(fs, false))
	if err != nil {
		return false
	}
	defer d.Close()
	index, next := d.Position().Index, uint64(1)
	err = d.Iterate([]byte("k/"), []byte("k0"), false, func(_, v []byte) (bool, error) {
		if want := bytes.Repeat([]byte{byte(next)}, int(next*37%3000)); !bytes.Equal(v, want) {
			t.Fatalf("entry %d reads back as something else", next)
		}
		next++
		return true, nil
	})
	if err == nil && next-1 != index {
		t.Fatalf("position %d with %d entries and without an error", index, next-1)
	}
	return err == nil && index == 120
}

// TestStageRefuses gives a store streams that it must not take.
func TestStageRefuses(t *testing.T) {
	src := mustOpen(t, testConfig(written(t, 60), false))
	defer src.Close()
	stream, _, at, err := src.Checkpoint()
	if err != nil {
		t.Fatal(err)
	}
	good, err := io.ReadAll(stream)
	if err != nil {
		t.Fatal(err)
	}
	stream.Close()

	d := mustOpen(t, testConfig(vfs.NewMem(), false))
	defer d.Close()
	if err := put(d, 1); err != nil {
		t.Fatal(err)
	}
	take := func(d *DB, b []byte) error {
		w, err := d.Stage()
		if err != nil {
			return err
		}
		_, err = w.Write(b)
		if closing := w.Close(); err == nil {
			err = closing
		}
		return err
	}
	rng := rand.New(rand.NewPCG(7, 8))
	for range 300 {
		bad := bytes.Clone(good)
		bad[rng.IntN(len(bad))] ^= byte(1 + rng.IntN(255))
		if err := take(d, bad); err == nil {
			t.Fatal("a damaged stream was taken")
		}
		if err := take(d, good[:rng.IntN(len(good))]); err == nil {
			t.Fatal("a cut stream was taken")
		}
	}
	if err := take(d, append(bytes.Clone(good), 0)); err == nil {
		t.Error("a stream with more after its end was taken")
	}
	if err := d.Install(at); err == nil {
		t.Error("a refused stream was installed")
	}
	other := testConfig(vfs.NewMem(), false)
	other.Identity.Group = "region/sicilia"
	o := mustOpen(t, other)
	defer o.Close()
	if err := take(o, good); err == nil || !strings.Contains(err.Error(), "region/lazio") {
		t.Errorf("another group's state: %v", err)
	}
	if names, _ := d.cfg.FS.List("/data/state"); len(names) != 3 {
		t.Errorf("leftovers: %q", names)
	}
	w, err := d.Stage()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := d.Stage(); wire.AsError(err).Code != wire.Conflict {
		t.Errorf("a second stage: %v", err)
	}
	w.Close()
	if err := take(d, good); err != nil {
		t.Fatal(err)
	}
	if err := d.Install(at); err != nil {
		t.Fatal(err)
	}
	checkHistory(t, d)
}

func TestCheckpointsAreBounded(t *testing.T) {
	d := mustOpen(t, testConfig(written(t, 5), false))
	defer d.Close()
	var open []io.Closer
	for range sendingMax {
		s, _, _, err := d.Checkpoint()
		if err != nil {
			t.Fatal(err)
		}
		open = append(open, s)
	}
	if _, _, _, err := d.Checkpoint(); wire.AsError(err).Code != wire.Overloaded {
		t.Errorf("checkpoint beyond the bound: %v", err)
	}
	for _, s := range open {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	}
	names, err := d.cfg.FS.List("/data/state/checkpoints")
	if err != nil || len(names) != 0 {
		t.Errorf("checkpoints left: %q (%v)", names, err)
	}
}

// discard takes what a decoder reads.
type discard struct{ bytes int64 }

func (d *discard) head(*streamHead, int) error { return nil }
func (d *discard) begin(fileHead) error        { return nil }
func (d *discard) content(p []byte) error      { d.bytes += int64(len(p)); return nil }
func (d *discard) end() error                  { return nil }

// FuzzStream gives the decoder arbitrary bytes, in pieces. It must take or refuse them alike
// however they are cut, and hold no more of them than its bounds allow.
func FuzzStream(f *testing.F) {
	head := streamHead{Identity: testIdentity, Position: positionRow{Index: 3, Term: 1}, Bytes: 5}
	file := fileHead{name: "000004.sst", size: 5}
	b := append(encodeStreamHead(1, &head), encodeFileHead(file)...)
	f.Add(append(b, withSum([]byte("hello"))...), 3)
	f.Add(encodeStreamHead(0, &head), 1)
	f.Add([]byte(streamMagic), 2)
	f.Add(append(encodeStreamHead(1, &head),
		encodeFileHead(fileHead{name: "../../etc/passwd", size: 5})...), 7)
	f.Fuzz(func(t *testing.T, b []byte, piece int) {
		a := newDecoder(&discard{})
		_, errA := a.Write(b)
		piece = max(1, piece%100)
		c := newDecoder(&discard{})
		var errC error
		for rest := b; errC == nil && len(rest) > 0; {
			n := min(piece, len(rest))
			_, errC = c.Write(rest[:n])
			rest = rest[n:]
			if len(c.buf) > streamFixed+headBytesMax+sumBytes || len(c.buf) > len(b) {
				t.Fatalf("the decoder holds %d bytes", len(c.buf))
			}
		}
		if (errA == nil) != (errC == nil) || a.done != c.done {
			t.Fatalf("whole: %v, done %v; in pieces: %v, done %v", errA, a.done, errC, c.done)
		}
	})
}
