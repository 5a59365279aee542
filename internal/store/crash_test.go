package store

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"
)

// crash is what would be left of the disk if the power failed now, and what is known of it.
type crash struct {
	fs          *vfs.MemFS
	floor, ceil uint64 // the position must be within
	op          string
}

// crasher takes crash clones before random file operations.
type crasher struct {
	mem *vfs.MemFS

	// Durable, and at most applied; set by the driver around its steps.
	floor, ceil atomic.Uint64

	mu      sync.Mutex
	rng     *rand.Rand
	one     int // a clone before one operation of so many
	crashes []crash
}

func (c *crasher) MaybeError(op errorfs.Op) error {
	if op.Kind.ReadOrWrite() == errorfs.OpIsRead {
		return nil
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	// Everything that is not one of Pebble's data files is a step of the store itself.
	own := !strings.Contains(op.Path, "db-") || strings.Contains(op.Path, creatingName)
	if len(c.crashes) == 200 || c.rng.IntN(c.one) > 0 && (!own || c.rng.IntN(3) > 0) {
		return nil
	}
	x := crash{floor: c.floor.Load(), op: fmt.Sprintf("before %d on %s", op.Kind, op.Path)}
	cfg := vfs.CrashCloneCfg{UnsyncedDataPercent: c.rng.IntN(3) * 50, RNG: c.rng}
	x.fs = c.mem.CrashClone(cfg)
	x.ceil = c.ceil.Load()
	c.crashes = append(c.crashes, x)
	return nil
}

func (c *crasher) String() string { return "crasher" }

// TestCrash drives a store through a random history and checks what every crash would leave.
func TestCrash(t *testing.T) {
	for seed := range uint64(2) {
		for _, sync := range []bool{false, true} {
			t.Run(fmt.Sprintf("sync=%v/%d", sync, seed), func(t *testing.T) {
				testCrash(t, seed, sync)
			})
		}
	}
}

func testCrash(t *testing.T, seed uint64, sync bool) {
	rng := rand.New(rand.NewPCG(seed, 1))
	c := &crasher{mem: vfs.NewCrashableMem(), rng: rand.New(rand.NewPCG(seed, 2)), one: 12}
	h := &history{t: t, c: c, rng: rng, sync: sync,
		cfg: testConfig(errorfs.Wrap(c.mem, c), sync),
		src: mustOpen(t, testConfig(vfs.NewMem(), false))}
	h.d = mustOpen(t, h.cfg)
	for range 120 {
		h.step()
	}
	if err := h.d.Close(); err != nil {
		t.Fatal(err)
	}
	if err := h.src.Close(); err != nil {
		t.Fatal(err)
	}
	if len(c.crashes) < 100 {
		t.Fatalf("only %d crashes", len(c.crashes))
	}
	for _, x := range c.crashes {
		t.Run("", func(t *testing.T) { checkCrash(t, &x, sync) })
	}
}

// checkCrash opens what is left after a crash: nothing acknowledged as durable is missing,
// nothing is there that was never written, and the store goes on from there.
func checkCrash(t *testing.T, x *crash, sync bool) {
	d, err := Open(testConfig(x.fs, sync))
	if err != nil {
		t.Fatalf("crash %s: %v", x.op, err)
	}
	got := checkHistory(t, d)
	if got < x.floor || got > x.ceil {
		t.Errorf("crash %s: position %d, want %d-%d", x.op, got, x.floor, x.ceil)
	}
	for i := range uint64(2) {
		if err := put(d, got+1+i); err != nil {
			t.Fatalf("crash %s: going on: %v", x.op, err)
		}
	}
	checkHistory(t, d)
	if err := d.Close(); err != nil {
		t.Fatalf("crash %s: closing: %v", x.op, err)
	}
	names, err := x.fs.List("/data/state")
	if err != nil || len(names) != 3 {
		t.Errorf("crash %s: leftovers: %q (%v)", x.op, names, err)
	}
}

// history is a random one.
type history struct {
	t    *testing.T
	c    *crasher
	rng  *rand.Rand
	sync bool
	cfg  Config
	d    *DB
	src  *DB // another replica, ahead when it is needed
}

func (h *history) step() {
	switch n := h.rng.IntN(100); {
	case n < 80:
		for range 1 + h.rng.IntN(20) {
			h.commit()
		}
	case n < 88:
		h.flush()
	case n < 91:
		h.checkpoint()
	case n < 96:
		h.install()
	default:
		h.reopen()
	}
}

func (h *history) commit() {
	i := h.d.Position().Index + 1
	h.c.ceil.Store(max(h.c.ceil.Load(), i))
	if err := put(h.d, i); err != nil {
		h.t.Fatal(err)
	}
	if h.sync {
		h.c.floor.Store(i)
	}
}

func (h *history) flush() {
	pos, err := h.d.Flush()
	if err != nil || pos.Index != h.d.Position().Index {
		h.t.Fatalf("Flush: index %d (%v), %d is applied", pos.Index, err, h.d.Position().Index)
	}
	h.c.floor.Store(pos.Index)
}

// checkpoint also sends the state to a fresh replica, which must then be equal.
func (h *history) checkpoint() {
	if h.d.Position().Index == 0 {
		return
	}
	to := mustOpen(h.t, testConfig(vfs.NewMem(), h.sync))
	at, err := move(h.d, to)
	if err == nil {
		err = to.Install(at)
	}
	if err != nil {
		h.t.Fatal(err)
	}
	if got := checkHistory(h.t, to); got != h.d.Position().Index {
		h.t.Fatalf("checkpoint of index %d, %d is applied", got, h.d.Position().Index)
	}
	h.c.floor.Store(at.Index)
	if err := to.Close(); err != nil {
		h.t.Fatal(err)
	}
}

func (h *history) install() {
	for i := h.src.Position().Index + 1; i <= h.d.Position().Index+uint64(h.rng.IntN(40)); i++ {
		if err := put(h.src, i); err != nil {
			h.t.Fatal(err)
		}
	}
	if h.src.Position().Index <= h.d.Position().Index {
		return
	}
	at, err := move(h.src, h.d)
	if err != nil {
		h.t.Fatal(err)
	}
	h.c.ceil.Store(max(h.c.ceil.Load(), at.Index))
	if err := h.d.Install(at); err != nil {
		h.t.Fatal(err)
	}
	h.c.floor.Store(at.Index)
	checkHistory(h.t, h.d)
}

func (h *history) reopen() {
	if err := h.d.Close(); err != nil {
		h.t.Fatal(err)
	}
	h.d = mustOpen(h.t, h.cfg)
	checkHistory(h.t, h.d)
}
