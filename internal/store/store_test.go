package store

import (
	"bytes"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/staffetta/staffetta/wire"
)

var testIdentity = Identity{Federation: "italia", Group: "region/lazio", Key: [8]byte{1}, Format: 1}

func testConfig(fs vfs.FS, sync bool) Config {
	return Config{Dir: "/data/state", FS: fs, Sync: sync, Identity: testIdentity,
		MemTableBytes: memTableMin}
}

func mustOpen(t *testing.T, cfg Config) *DB {
	t.Helper()
	d, err := Open(cfg)
	if err != nil {
		t.Fatalf("Open: %v", err)
	}
	return d
}

// put commits entry i: one key per entry, so that a prefix of the history shows as such, and a
// counter that every entry overwrites.
func put(d *DB, i uint64) error {
	b := d.NewBatch()
	defer b.Close()
	value := bytes.Repeat([]byte{byte(i)}, int(i*37%3000))
	b.Set(fmt.Appendf(nil, "k/%08d", i), value, nil)
	b.Set([]byte("n"), fmt.Append(nil, i), nil)
	return d.Commit(b, positionOf(i), digestOf(i))
}

func positionOf(i uint64) wire.Position {
	pos := wire.Position{Index: i, Term: 1 + i/7, ConfigurationIndex: i / 10 * 10}
	if pos.ConfigurationIndex > 0 {
		pos.Configuration = fmt.Appendf(nil, "members@%d", pos.ConfigurationIndex)
	}
	return pos
}

func digestOf(i uint64) [32]byte { return [32]byte{byte(i), byte(i >> 8), 7} }

// checkHistory verifies that d holds exactly entries 1..Position, and returns that index.
func checkHistory(t *testing.T, d *DB) uint64 {
	t.Helper()
	pos := d.Position()
	index, digest := d.Digest()
	if index != pos.Index || pos.Index > 0 && digest != digestOf(index) {
		t.Fatalf("digest of index %d with position %d", index, pos.Index)
	}
	if pos.Index > 0 {
		want := positionOf(pos.Index)
		want.Installed = pos.Installed
		if fmt.Sprint(pos) != fmt.Sprint(want) {
			t.Fatalf("position %+v, want %+v", pos, want)
		}
		if n, _, err := d.Get([]byte("n")); err != nil || string(n) != fmt.Sprint(pos.Index) {
			t.Fatalf("counter is %q (%v), position %d", n, err, pos.Index)
		}
	}
	next := uint64(1)
	err := d.Iterate([]byte("k/"), []byte("k0"), false, func(k, v []byte) (bool, error) {
		if string(k) != fmt.Sprintf("k/%08d", next) {
			t.Fatalf("entry %q where %d is due", k, next)
		}
		if want := bytes.Repeat([]byte{byte(next)}, int(next*37%3000)); !bytes.Equal(v, want) {
			t.Fatalf("entry %d has another value", next)
		}
		next++
		return true, nil
	})
	if err != nil {
		t.Fatalf("Iterate: %v", err)
	}
	if next-1 != pos.Index {
		t.Fatalf("%d entries, position %d", next-1, pos.Index)
	}
	return pos.Index
}

func TestReopen(t *testing.T) {
	for _, sync := range []bool{false, true} {
		t.Run(fmt.Sprintf("sync=%v", sync), func(t *testing.T) {
			fs := vfs.NewMem()
			d := mustOpen(t, testConfig(fs, sync))
			for i := uint64(1); i <= 300; i++ {
				if err := put(d, i); err != nil {
					t.Fatal(err)
				}
			}
			checkHistory(t, d)
			if err := d.Close(); err != nil {
				t.Fatal(err)
			}
			d = mustOpen(t, testConfig(fs, sync))
			if got := checkHistory(t, d); got != 300 {
				t.Errorf("position %d after reopening, want 300", got)
			}
			if err := put(d, 300); err == nil {
				t.Error("a commit below the position was taken")
			}
			if err := d.Close(); err != nil {
				t.Fatal(err)
			}
			if err := d.Close(); err != ErrClosed {
				t.Errorf("second Close: %v", err)
			}
			if _, _, err := d.Get([]byte("n")); err != ErrClosed {
				t.Errorf("Get after Close: %v", err)
			}
		})
	}
}

// move sends from's state to to, and returns the position it is as of.
func move(from, to *DB) (wire.Position, error) {
	stream, size, at, err := from.Checkpoint()
	if err != nil {
		return at, err
	}
	defer stream.Close()
	w, err := to.Stage()
	if err != nil {
		return at, err
	}
	n, err := io.Copy(w, stream)
	if err != nil {
		w.Close()
		return at, err
	}
	if n != size {
		return at, fmt.Errorf("stream of %d bytes, %d announced", n, size)
	}
	return at, w.Close()
}

func TestInstall(t *testing.T) {
	a := mustOpen(t, testConfig(vfs.NewMem(), false))
	defer a.Close()
	for i := uint64(1); i <= 200; i++ {
		if err := put(a, i); err != nil {
			t.Fatal(err)
		}
	}
	fs := vfs.NewMem()
	b := mustOpen(t, testConfig(fs, false))
	if err := put(b, 1); err != nil {
		t.Fatal(err)
	}
	at, err := move(a, b)
	if err != nil {
		t.Fatal(err)
	}
	if err := b.Install(wire.Position{Index: at.Index, Term: at.Term + 1}); err == nil {
		t.Fatal("a state of another term was installed")
	}
	if got := checkHistory(t, b); got != 1 {
		t.Fatalf("position %d after a refused Install, want 1", got)
	}
	if at, err = move(a, b); err != nil {
		t.Fatal(err)
	}
	if err := b.Install(at); err != nil {
		t.Fatal(err)
	}
	if got := checkHistory(t, b); got != 200 || !b.Position().Installed {
		t.Errorf("position %+v, want 200 and installed", b.Position())
	}
	if err := b.Close(); err != nil {
		t.Fatal(err)
	}
	b = mustOpen(t, testConfig(fs, false))
	defer b.Close()
	if got := checkHistory(t, b); got != 200 || !b.Position().Installed {
		t.Errorf("position %+v after reopening, want 200 and installed", b.Position())
	}
	if err := put(b, 201); err != nil {
		t.Fatal(err)
	}
	if b.Position().Installed {
		t.Error("still marked as installed after a commit")
	}
	names, err := fs.List("/data/state")
	slices.Sort(names)
	if got, want := strings.Join(names, " "), "CURRENT LOCK db-000002"; err != nil || got != want {
		t.Errorf("directory holds %q (%v), want %q", got, err, want)
	}
}

// A checkpoint of a database without write-ahead log holds what was flushed. This shows why
// Checkpoint flushes first.
func TestCheckpointNeedsFlush(t *testing.T) {
	fs := vfs.NewMem()
	d := mustOpen(t, testConfig(fs, false))
	defer d.Close()
	for i := uint64(1); i <= 50; i++ {
		if err := put(d, i); err != nil {
			t.Fatal(err)
		}
	}
	if err := d.live.Checkpoint("/bare"); err != nil {
		t.Fatal(err)
	}
	bare, err := pebble.Open("/bare", d.options(1, false, &opening{scheduler: newScheduler()}))
	if err != nil {
		t.Fatal(err)
	}
	defer bare.Close()
	a, err := readApplied(bare, nil)
	if err != nil {
		t.Fatal(err)
	}
	if a.pos.Index == 50 {
		t.Error("Pebble's checkpoint holds what was never flushed: the flush is needed no more")
	}
	stream, _, at, err := d.Checkpoint()
	if err != nil {
		t.Fatal(err)
	}
	defer stream.Close()
	if at.Index != 50 {
		t.Errorf("checkpoint as of index %d, want 50", at.Index)
	}
}

func TestPositionReadBack(t *testing.T) {
	d := mustOpen(t, testConfig(vfs.NewMem(), false))
	defer d.Close()
	if err := put(d, 1); err != nil {
		t.Fatal(err)
	}
	durable := &pebble.IterOptions{OnlyReadGuaranteedDurable: true}
	if a, err := readApplied(d.live.DB, durable); err != nil || a.pos.Index != 0 {
		t.Errorf("index %d is durable before Flush (%v)", a.pos.Index, err)
	}
	if pos, err := d.Flush(); err != nil || pos.Index != 1 {
		t.Errorf("Flush: index %d, %v", pos.Index, err)
	}
	before := d.Stats().Flushes
	if pos, err := d.Flush(); err != nil || pos.Index != 1 {
		t.Errorf("second Flush: index %d, %v", pos.Index, err)
	}
	if got := d.Stats().Flushes; got != before {
		t.Errorf("%d flushes with nothing to write, want %d", got, before)
	}
}

// Reads that began before an Install go on reading the state of before.
func TestInstallUnderReaders(t *testing.T) {
	src := mustOpen(t, testConfig(vfs.NewMem(), false))
	defer src.Close()
	for i := uint64(1); i <= 20; i++ {
		if err := put(src, i); err != nil {
			t.Fatal(err)
		}
	}
	fs := vfs.NewMem()
	d := mustOpen(t, testConfig(fs, false))
	if err := put(d, 1); err != nil {
		t.Fatal(err)
	}
	at, err := move(src, d)
	if err != nil {
		t.Fatal(err)
	}
	err = d.View(func(r pebble.Reader) error {
		if err := d.Install(at); err != nil {
			return err
		}
		if n, _, err := GetFrom(r, nil, []byte("n")); err != nil || string(n) != "1" {
			return fmt.Errorf("the old view reads %q (%v)", n, err)
		}
		if n, _, err := d.Get([]byte("n")); err != nil || string(n) != "20" {
			return fmt.Errorf("a new read reads %q (%v)", n, err)
		}
		if _, err := fs.Stat("/data/state/db-000001"); err != nil {
			return fmt.Errorf("the old database went while it was read: %w", err)
		}
		return nil
	})
	if err != nil {
		t.Error(err)
	}
	if _, err := fs.Stat("/data/state/db-000001"); err == nil {
		t.Error("the old database is still there")
	}
	if err := d.Close(); err != nil {
		t.Error(err)
	}
}

func TestIterate(t *testing.T) {
	d := mustOpen(t, testConfig(vfs.NewMem(), false))
	defer d.Close()
	b := d.NewIndexedBatch()
	defer b.Close()
	for _, k := range []string{"a", "b", "c", "d"} {
		b.Set([]byte(k), []byte(k+k), nil)
	}
	if v, ok, err := GetFrom(b, []byte("x"), []byte("c")); err != nil || !ok || string(v) != "xcc" {
		t.Errorf("batch reads %q, %v, %v", v, ok, err)
	}
	if err := d.Commit(b, positionOf(1), digestOf(1)); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		lower, upper string
		reverse      bool
		stop, want   string
	}{
		{"a", "z", false, "", "aabbccdd"}, {"b", "d", false, "", "bbcc"},
		{"b", "d", true, "", "ccbb"}, {"a", "z", true, "c", "ddcc"}, {"x", "z", true, "", ""},
	} {
		got := ""
		err := d.Iterate([]byte(c.lower), []byte(c.upper), c.reverse,
			func(k, v []byte) (bool, error) { got += string(v); return string(k) != c.stop, nil })
		if err != nil || got != c.want {
			t.Errorf("Iterate %+v: got %q, %v", c, got, err)
		}
	}
	if _, ok, err := d.Get([]byte("absent")); ok || err != nil {
		t.Errorf("Get of an absent key: %v, %v", ok, err)
	}
	if err := d.Iterate(nil, nil, false, func(_, _ []byte) (bool, error) {
		return true, io.ErrNoProgress
	}); err != io.ErrNoProgress {
		t.Errorf("the callback's error came back as %v", err)
	}
}

func TestMetrics(t *testing.T) {
	d := mustOpen(t, testConfig(vfs.NewMem(), false))
	defer d.Close()
	reg := prometheus.NewPedanticRegistry()
	reg.MustRegister(d.Metrics()...)
	families, err := reg.Gather()
	if err != nil || len(families) != 8 {
		t.Errorf("%d metrics, %v", len(families), err)
	}
	if d.DiskBytes() == 0 {
		t.Error("no disk space is used")
	}
}

// TestCompacts: compactions go on, one after the other, for as long as there is work.
func TestCompacts(t *testing.T) {
	d := mustOpen(t, testConfig(vfs.NewMem(), false))
	defer d.Close()
	i := uint64(0)
	for d.Stats().Compactions < 5 {
		if i++; i > 10_000 {
			t.Fatalf("%d compactions after %d flushes", d.Stats().Compactions, i)
		}
		if err := put(d, i); err != nil {
			t.Fatal(err)
		}
		if _, err := d.Flush(); err != nil {
			t.Fatal(err)
		}
	}
	checkHistory(t, d)
}
