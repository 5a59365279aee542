package consensus

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"slices"
	"sort"
	"sync"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/raft"
	"github.com/hashicorp/raft-wal/types"
)

// crashDisk is raft-wal's disk: files of which only what was synced is sure to survive, and its
// metadata, whose commits are atomic.
type crashDisk struct {
	rng *rand.Rand

	mu    sync.Mutex
	files map[string]*crashFile
	meta  types.PersistentState
	kv    map[string][]byte
	// left counts down to the fault; ops counts what happened.
	left  int
	fault diskFault
	dead  bool
	ops   int
}

// diskFault is what happens to one operation on the disk.
type diskFault int

const (
	faultNone    diskFault = iota
	faultCrash             // it and everything after it fails, as a dead process sees it
	faultFailed            // it fails and did not take place
	faultApplied           // it fails and took place
)

type crashFile struct {
	synced  []byte
	pending []write
	linked  bool // the directory entry is synced
}

type write struct {
	at int64
	b  []byte
}

func newCrashDisk(rng *rand.Rand) *crashDisk {
	return &crashDisk{rng: rng, files: map[string]*crashFile{}, kv: map[string][]byte{}}
}

var errDead = errors.New("the process is dead")

// do runs a change of the disk, or what the fault makes of it.
func (d *crashDisk) do(change func()) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.dead {
		return errDead
	}
	d.ops++
	if d.left > 0 {
		if d.left--; d.left == 0 {
			switch d.fault {
			case faultCrash:
				if d.rng.IntN(2) == 0 {
					change()
				}
				d.dead = true
				return errDead
			case faultFailed:
				return errInjected
			case faultApplied:
				change()
				return errInjected
			}
		}
	}
	change()
	return nil
}

// reborn is what the disk holds after a crash of the machine.
func (d *crashDisk) reborn() *crashDisk {
	d.mu.Lock()
	defer d.mu.Unlock()
	n := newCrashDisk(d.rng)
	n.meta = types.PersistentState{NextSegmentID: d.meta.NextSegmentID,
		Segments: slices.Clone(d.meta.Segments)}
	for k, v := range d.kv {
		n.kv[k] = v
	}
	for name, f := range d.files {
		if !f.linked && d.rng.IntN(2) == 0 {
			continue
		}
		kept := &crashFile{synced: slices.Clone(f.synced), linked: true}
		for _, w := range f.pending {
			kept.synced = d.tear(kept.synced, w)
		}
		n.files[name] = kept
	}
	return n
}

const sector = 512

// tear applies some sectors of a write.
func (d *crashDisk) tear(b []byte, w write) []byte {
	whole, none := d.rng.IntN(3) == 0, d.rng.IntN(3) == 0
	for i := 0; i < len(w.b); i += sector {
		if none || !whole && d.rng.IntN(2) == 0 {
			continue
		}
		b = overlay(b, write{w.at + int64(i), w.b[i:min(i+sector, len(w.b))]})
	}
	return b
}

func overlay(b []byte, w write) []byte {
	if need := int(w.at) + len(w.b); need > len(b) {
		b = append(b, make([]byte, need-len(b))...)
	}
	copy(b[w.at:], w.b)
	return b
}

func (d *crashDisk) ListDir(string) ([]string, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	var names []string
	for name := range d.files {
		names = append(names, name)
	}
	sort.Strings(names)
	return names, nil
}

func (d *crashDisk) Create(_, name string, _ uint64) (types.WritableFile, error) {
	err := d.do(func() { d.files[name] = &crashFile{} })
	return &crashHandle{d, name}, err
}

func (d *crashDisk) Delete(_, name string) error { return d.do(func() { delete(d.files, name) }) }

func (d *crashDisk) OpenReader(dir, name string) (types.ReadableFile, error) {
	return d.OpenWriter(dir, name)
}

func (d *crashDisk) OpenWriter(_, name string) (types.WritableFile, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.files[name] == nil {
		return nil, fs.ErrNotExist
	}
	return &crashHandle{d, name}, nil
}

type crashHandle struct {
	d    *crashDisk
	name string
}

func (h *crashHandle) WriteAt(p []byte, off int64) (int, error) {
	w := write{off, slices.Clone(p)}
	err := h.d.do(func() {
		if f := h.d.files[h.name]; f != nil {
			f.pending = append(f.pending, w)
		}
	})
	if err != nil {
		return 0, err
	}
	return len(p), nil
}

func (h *crashHandle) Sync() error {
	return h.d.do(func() {
		if f := h.d.files[h.name]; f != nil {
			f.synced, f.pending, f.linked = f.now(), nil, true
		}
	})
}

func (f *crashFile) now() []byte {
	b := slices.Clone(f.synced)
	for _, w := range f.pending {
		b = overlay(b, w)
	}
	return b
}

func (h *crashHandle) ReadAt(p []byte, off int64) (int, error) {
	h.d.mu.Lock()
	defer h.d.mu.Unlock()
	f := h.d.files[h.name]
	if f == nil {
		return 0, fs.ErrNotExist
	}
	b := f.now()
	if off >= int64(len(b)) {
		return 0, io.EOF
	}
	n := copy(p, b[off:])
	if n < len(p) {
		return n, io.EOF
	}
	return n, nil
}

func (h *crashHandle) Close() error { return nil }

// crashMeta is the metadata of one opening of the disk.
type crashMeta struct{ d *crashDisk }

func (m crashMeta) Load(string) (types.PersistentState, error) {
	m.d.mu.Lock()
	defer m.d.mu.Unlock()
	return types.PersistentState{NextSegmentID: m.d.meta.NextSegmentID,
		Segments: slices.Clone(m.d.meta.Segments)}, nil
}

func (m crashMeta) CommitState(s types.PersistentState) error {
	return m.d.do(func() { m.d.meta = s })
}

func (m crashMeta) GetStable(key []byte) ([]byte, error) {
	m.d.mu.Lock()
	defer m.d.mu.Unlock()
	return m.d.kv[string(key)], nil
}

func (m crashMeta) SetStable(key, value []byte) error {
	return m.d.do(func() { m.d.kv[string(key)] = slices.Clone(value) })
}

func (m crashMeta) Close() error { return nil }

func (d *crashDisk) open() (*Stores, error) {
	return walParts{dir: "wal", files: d, meta: crashMeta{d}, segment: 8 << 10,
		logger: hclog.NewNullLogger()}.open()
}

// model is what a log must hold.
type model struct{ first, last, term uint64 }

// TestWALSurvivesEveryCrash drives random histories against raft-wal and lets the disk crash, or
// fail in either way, at every one of its operations in turn. After a restart the log is what it
// was before the operation that met the fault, or after it.
func TestWALSurvivesEveryCrash(t *testing.T) {
	for _, fault := range []diskFault{faultCrash, faultFailed, faultApplied} {
		seeds := uint64(6)
		if testing.Short() {
			seeds = 2
		}
		for seed := range seeds {
			t.Run(fmt.Sprintf("fault=%d/seed=%d", fault, seed), func(t *testing.T) {
				for at := 1; ; at++ {
					if !crashHistory(t, seed, fault, at) {
						break
					}
				}
			})
		}
	}
}

// crashHistory reports whether the fault was met.
func crashHistory(t *testing.T, seed uint64, fault diskFault, at int) bool {
	rng := rand.New(rand.NewPCG(seed, uint64(fault)))
	d := newCrashDisk(rand.New(rand.NewPCG(seed, uint64(at))))
	s, err := d.open()
	if err != nil {
		t.Fatal(err)
	}
	d.left, d.fault = at, fault
	terms := map[uint64]uint64{}
	var m model
	m.term = 1
	for range 60 {
		before, after := m, m
		old := cloneTerms(terms)
		run := randomOp(rng, &after, terms)
		if err := run(s); err == nil {
			m = after
			continue
		}
		s.close()
		d = d.reborn()
		if s, err = d.open(); err != nil {
			t.Fatalf("operation %d: reopen: %v", at, err)
		}
		defer s.close()
		if holds(s, before, old) != nil {
			if err := holds(s, after, terms); err != nil {
				t.Fatalf("operation %d: log is neither %+v nor %+v: %v", at, before, after, err)
			}
		}
		return true
	}
	// A fault may also meet the background and stay unnoticed until the end.
	met := d.ops >= at
	s.close()
	d = d.reborn()
	if s, err = d.open(); err != nil {
		t.Fatalf("operation %d: reopen at the end: %v", at, err)
	}
	defer s.close()
	if err := holds(s, m, terms); err != nil {
		t.Fatalf("operation %d: at the end: %v", at, err)
	}
	return met
}

func cloneTerms(m map[uint64]uint64) map[uint64]uint64 {
	c := make(map[uint64]uint64, len(m))
	for k, v := range m {
		c[k] = v
	}
	return c
}

// randomOp changes the model, and answers what does the same to the store.
func randomOp(rng *rand.Rand, m *model, terms map[uint64]uint64) func(*Stores) error {
	size := m.last - m.first + 1
	switch k := rng.IntN(20); {
	case k == 0 && m.last > 0 && size > 10: // prefix
		from, to := m.first, m.first+rng.Uint64N(size-1)
		m.first = to + 1
		return func(s *Stores) error { return s.log.DeleteRange(from, to) }
	case k <= 2 && m.last > 0 && size > 2: // suffix, of an older leader
		to := m.last
		from := to - rng.Uint64N(min(size-1, 20))
		m.last = from - 1
		m.term++
		return func(s *Stores) error { return s.log.DeleteRange(from, to) }
	case k == 3 && m.last > 0: // everything, as after a snapshot
		from, to := m.first, m.last
		*m = model{term: m.term, first: to + 100}
		return func(s *Stores) error { return s.log.DeleteRange(from, to) }
	}
	n := 1 + rng.Uint64N(8)
	from := m.last + 1
	if m.last == 0 {
		from = max(m.first, 1)
		m.first = from
	}
	m.last = from + n - 1
	for i := from; i <= m.last; i++ {
		terms[i] = m.term
	}
	logs := logsOf(m.term, from, m.last)
	for _, l := range logs { // of different sizes, so that segments fill
		l.Data = append(l.Data, make([]byte, rng.IntN(900))...)
	}
	return func(s *Stores) error { return s.log.StoreLogs(logs) }
}

// holds reports how the store differs from the model.
func holds(s *Stores, m model, terms map[uint64]uint64) error {
	first, err := s.log.FirstIndex()
	if err != nil {
		return err
	}
	last, err := s.log.LastIndex()
	if err != nil {
		return err
	}
	wantFirst := m.first
	if m.last == 0 {
		wantFirst = 0
	}
	if first != wantFirst || last != m.last {
		return fmt.Errorf("log is %d to %d, want %d to %d", first, last, wantFirst, m.last)
	}
	for i := first; i <= last && last > 0; i++ {
		var l raft.Log
		if err := s.log.GetLog(i, &l); err != nil {
			return fmt.Errorf("entry %d: %w", i, err)
		}
		want := entryOf(fmt.Sprintf("%d/%d", terms[i], i))
		if l.Index != i || l.Term != terms[i] || string(l.Data[:len(want)]) != string(want) {
			return fmt.Errorf("entry %d is %d of term %d", i, l.Index, l.Term)
		}
	}
	return nil
}

// TestAcknowledgedEntriesSurviveDiskErrors fails a random operation of every store, in both ways,
// under a replica at work: it ends, opens again, and has everything that it acknowledged.
func TestAcknowledgedEntriesSurviveDiskErrors(t *testing.T) {
	for _, kind := range kinds {
		t.Run(kind, func(t *testing.T) {
			bubble(t, 1, func(t *testing.T, c *cluster) {
				var files *Stores
				if kind != LogMemory {
					cfg := Config{LogStore: kind, Dir: t.TempDir(), Logger: testLogger()}
					var err error
					if files, err = openStores(&cfg); err != nil {
						t.Fatal(err)
					}
					defer files.close()
					c.nodes["n1"].stores = files
				}
				var f *faultyStores
				c.tweak = func(cfg *Config) {
					f = &faultyStores{log: cfg.Stores.log, stable: cfg.Stores.stable}
					cfg.Stores = f.stores()
				}
				c.timing.TrailingLogs = TrailingLogsMin
				c.start()
				for round := range 6 {
					l := c.leader()
					c.fill(l, fmt.Sprint("round", round), 700)
					op, applied := opStoreLogs, round%2 == 0
					if round >= 4 {
						op = opDeleteRange
					}
					f.failNext(op, applied)
					if op == opDeleteRange {
						l.Snapshot(t.Context())
					} else {
						l.Propose(t.Context(), entryOf("fails"))
					}
					c.restarted("n1", ErrDisk, time.Minute)
				}
				c.check()
			})
		})
	}
}
