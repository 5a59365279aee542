package store

import (
	"bytes"
	"errors"
	"io"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"
)

// planOf builds from a copy, as of its own position.
func planOf(c *Copy) Plan {
	return Plan{Digest: c.Digest, Configuration: []byte("alone"),
		Origin: Origin{Index: c.Position.Index, Term: c.Position.Term, Taken: 42},
		Files: func(write func(string, int64, io.Reader) error) error {
			for _, f := range c.Files {
				b := make([]byte, f.Size)
				if err := c.ReadAt(f.Name, b, 0); err != nil {
					return err
				}
				if err := write(f.Name, f.Size, bytes.NewReader(b)); err != nil {
					return err
				}
			}
			return nil
		}}
}

func builtConfig(fs vfs.FS, sync bool, incarnation uint32) Config {
	cfg := testConfig(fs, sync)
	cfg.Dir = "/built/state"
	cfg.Identity.Incarnation = incarnation
	return cfg
}

func mustCopy(t *testing.T, d *DB) *Copy {
	t.Helper()
	c, err := d.Copy()
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// TestBuild makes a store of a copy: the copy's state, of a new incarnation, whatever the
// original did since.
func TestBuild(t *testing.T) {
	for _, sync := range []bool{false, true} {
		fs := vfs.NewMem()
		d := mustOpen(t, testConfig(fs, sync))
		for i := uint64(1); i <= 200; i++ {
			if err := put(d, i); err != nil {
				t.Fatal(err)
			}
		}
		c := mustCopy(t, d)
		for i := uint64(201); i <= 300; i++ {
			if err := put(d, i); err != nil {
				t.Fatal(err)
			}
		}
		if err := Build(builtConfig(fs, sync, 3), planOf(c)); err != nil {
			t.Fatal(err)
		}
		if err := c.Close(); err != nil {
			t.Fatal(err)
		}
		b := mustOpen(t, builtConfig(fs, sync, 0))
		pos, origin := b.Position(), b.Origin()
		if pos.Index != 200 || !pos.Installed || string(pos.Configuration) != "alone" ||
			pos.ConfigurationIndex != 200 {
			t.Errorf("position %+v of a copy made at 200", pos)
		}
		if id := b.Identity(); id.Incarnation != 3 || origin.Index != 200 || origin.Taken != 42 {
			t.Errorf("identity %+v, origin %+v", id, origin)
		}
		if rows, err := b.Scan(); err != nil || rows < 201 {
			t.Errorf("%d rows, %v", rows, err)
		}
		if err := put(b, 201); err != nil || b.Position().Installed {
			t.Errorf("the built store does not go on: %v", err)
		}
		// Neither takes the other's state: from entry 200 on they are two histories.
		if _, err := move(d, b); err == nil || !strings.Contains(err.Error(), "incarnation") {
			t.Errorf("incarnation 3 took a state of 0: %v", err)
		}
		if _, err := move(b, d); err == nil || !strings.Contains(err.Error(), "incarnation") {
			t.Errorf("incarnation 0 took a state of 3: %v", err)
		}
		// One that has nothing yet takes it, and is of that incarnation.
		cfg := testConfig(fs, sync)
		cfg.Dir = "/new/state"
		n := mustOpen(t, cfg)
		at, err := move(b, n)
		if err == nil {
			err = n.Install(at)
		}
		if err != nil || n.Identity().Incarnation != 3 || n.Origin() != origin {
			t.Errorf("%+v, %v", n.Identity(), err)
		}
		for _, x := range []*DB{d, b, n} {
			if err := x.Close(); err != nil {
				t.Error(err)
			}
		}
	}
}

// TestBuildRefuses tries what must not become a store.
func TestBuildRefuses(t *testing.T) {
	fs := vfs.NewMem()
	d := mustOpen(t, testConfig(fs, false))
	defer d.Close()
	if err := put(d, 1); err != nil {
		t.Fatal(err)
	}
	c := mustCopy(t, d)
	defer c.Close()
	broken := errors.New("broken")
	for name, refuse := range map[string]func(*Config, *Plan){
		"another group":     func(c *Config, _ *Plan) { c.Identity.Group = "region/sicilia" },
		"another position":  func(_ *Config, p *Plan) { p.Origin.Index++ },
		"another digest":    func(_ *Config, p *Plan) { p.Digest[0]++ },
		"directory in use":  func(cfg *Config, _ *Plan) { cfg.Dir = d.cfg.Dir },
		"a path for a name": func(_ *Config, p *Plan) { p.Files = named("../x") },
		"broken off": func(_ *Config, p *Plan) {
			p.Files = func(func(string, int64, io.Reader) error) error { return broken }
		},
	} {
		cfg, plan := builtConfig(vfs.NewMem(), false, 1), planOf(c)
		cfg.Dir = "/" + strings.ReplaceAll(name, " ", "-")
		if name == "directory in use" {
			cfg.FS = fs
		}
		refuse(&cfg, &plan)
		if err := Build(cfg, plan); err == nil {
			t.Errorf("%s: built", name)
			continue
		}
		if name == "directory in use" {
			continue
		}
		if b, err := Open(cfg); err == nil {
			b.Close()
			t.Errorf("%s: what was left opens", name)
		}
	}
}

func named(name string) func(func(string, int64, io.Reader) error) error {
	return func(write func(string, int64, io.Reader) error) error {
		return write(name, 1, strings.NewReader("x"))
	}
}

// TestBuildCrashes cuts a build off at every write: what is left either is whole or is refused,
// and is never an empty store.
func TestBuildCrashes(t *testing.T) {
	src := vfs.NewMem()
	d := mustOpen(t, testConfig(src, false))
	defer d.Close()
	for i := uint64(1); i <= 20; i++ {
		if err := put(d, i); err != nil {
			t.Fatal(err)
		}
	}
	c := mustCopy(t, d)
	defer c.Close()
	whole, refused := 0, 0
	for at := 0; ; at++ {
		mem := vfs.NewCrashableMem()
		if err := makeDir(mem, "/built/state"); err != nil {
			t.Fatal(err)
		}
		x := &cut{mem: mem, at: at}
		err := Build(builtConfig(errorfs.Wrap(mem, x), false, 1), planOf(c))
		left := x.left
		if left == nil {
			left = mem.CrashClone(vfs.CrashCloneCfg{})
		}
		b, openErr := Open(builtConfig(left, false, 0))
		switch {
		case openErr != nil && x.left == nil:
			t.Fatalf("built, and then: %v", openErr)
		case openErr != nil:
			refused++
		case b.Position().Index == 20 && b.Identity().Incarnation == 1:
			whole++
		case b.Position().Index > 0 || x.first != "":
			t.Fatalf("crash at write %d leaves %+v of incarnation %d, after %s", at, b.Position(),
				b.Identity().Incarnation, x.first)
		}
		if openErr == nil {
			b.Close()
		}
		if x.left == nil {
			if err != nil {
				t.Fatal(err)
			}
			break
		}
	}
	if whole == 0 || refused < 5 {
		t.Errorf("%d whole, %d refused", whole, refused)
	}
}

// cut crashes the machine at a write: nothing reaches the disk any more.
type cut struct {
	mem *vfs.MemFS
	at  int

	mu    sync.Mutex
	seen  int
	first string // the first write below the database's directory that was made durable
	left  *vfs.MemFS
}

func (c *cut) MaybeError(op errorfs.Op) error {
	if op.Kind.ReadOrWrite() == errorfs.OpIsRead {
		return nil
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.seen++; c.left == nil && c.seen <= c.at {
		if op.Kind == errorfs.OpFileSync && strings.Contains(op.Path, "db-") {
			c.first = op.Path
		}
		return nil
	}
	if c.left == nil {
		c.left = c.mem.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: c.at % 3 * 50,
			RNG: rand.New(rand.NewPCG(uint64(c.at), 1))})
	}
	return errorfs.ErrInjected
}

func (c *cut) String() string { return "cut" }
