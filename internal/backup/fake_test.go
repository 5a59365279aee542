package backup

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/staffetta/staffetta/wire"
)

var errBroken = errors.New("the target broke")

// memory is a target in memory, with a clock of its own, that breaks when it is told to.
type memory struct {
	mu      sync.Mutex
	objects map[string]stored
	now     time.Time
	// The failing-th write from now on fails; applied says whether it is done all the same. After
	// it everything fails, as after a crash of whoever writes. Negative: never.
	failing int
	applied bool
	dead    bool
	puts    []string
}

type stored struct {
	content []byte
	changed time.Time
}

func newMemory() *memory {
	return &memory{objects: map[string]stored{}, failing: -1, now: time.Unix(1_800_000_000, 0)}
}

// write does f, or what is to go wrong instead. It must be called with mu held.
func (m *memory) write(f func()) error {
	if m.dead {
		return errBroken
	}
	if m.failing == 0 {
		m.dead = true
		if m.applied {
			f()
		}
		return errBroken
	}
	m.failing--
	f()
	return nil
}

func (m *memory) Put(_ context.Context, name string, content []byte) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.write(func() {
		m.puts = append(m.puts, name)
		m.objects[name] = stored{bytes.Clone(content), m.now}
	})
}

func (m *memory) Get(_ context.Context, name string, max int) ([]byte, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	o, ok := m.objects[name]
	switch {
	case m.dead:
		return nil, errBroken
	case !ok:
		return nil, fs.ErrNotExist
	case len(o.content) > max:
		return nil, errors.New("too large")
	}
	return bytes.Clone(o.content), nil
}

func (m *memory) List(_ context.Context, prefix string, f func(Object) error) error {
	m.mu.Lock()
	all := maps.Clone(m.objects)
	dead := m.dead
	m.mu.Unlock()
	if dead {
		return errBroken
	}
	for name, o := range all {
		if strings.HasPrefix(name, prefix) {
			if err := f(Object{name, int64(len(o.content)), o.changed}); err != nil {
				return err
			}
		}
	}
	return nil
}

func (m *memory) Delete(_ context.Context, name string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.write(func() { delete(m.objects, name) })
}

func (m *memory) String() string { return "memory" }

// revive ends what a crash of the writer left running.
func (m *memory) revive() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.dead, m.failing = false, -1
}

func (m *memory) names(prefix string) (list []string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for name := range m.objects {
		if strings.HasPrefix(name, prefix) {
			list = append(list, name)
		}
	}
	slices.Sort(list)
	return list
}

// source is a copy of invented files.
type source struct {
	head    wire.BackupHead
	listing []byte
	content map[string][]byte
	files   []wire.BackupFile
	// reads counts; before is called with each.
	mu     sync.Mutex
	reads  int
	before func(file string) error
}

func newSource(at int, files map[string][]byte) *source {
	s := &source{content: files, head: wire.BackupHead{Federation: "italia",
		Group: "region/lazio", Node: "lazio-2", Index: uint64(1000 + at), Term: 3,
		Taken: wire.TimeOf(time.Unix(1_800_000_000+int64(at), 0)), Format: 1, Key: [8]byte{7}}}
	for _, name := range slices.Sorted(maps.Keys(files)) {
		b := files[name]
		f := wire.BackupFile{Name: name, Size: uint64(len(b))}
		for ; len(b) > 0; b = b[min(len(b), wire.PieceBytes):] {
			sum := sha256.Sum256(b[:min(len(b), wire.PieceBytes)])
			f.Pieces = append(f.Pieces, sum[:])
		}
		s.files = append(s.files, f)
		s.head.Bytes += f.Size
	}
	s.head.Files = uint64(len(files))
	return s
}

func (s *source) Head() wire.BackupHead    { return s.head }
func (s *source) Listing() []byte          { return s.listing }
func (s *source) Files() []wire.BackupFile { return s.files }

func (s *source) Read(_ context.Context, file string, offset uint64, n int) ([]byte, error) {
	s.mu.Lock()
	s.reads++
	before := s.before
	s.mu.Unlock()
	if before != nil {
		if err := before(file); err != nil {
			return nil, err
		}
	}
	b := s.content[file]
	if offset+uint64(n) > uint64(len(b)) {
		return nil, fmt.Errorf("read beyond the end")
	}
	return bytes.Clone(b[offset : offset+uint64(n)]), nil
}

// some are n bytes that no compression shrinks.
func some(seed uint64, n int) []byte {
	r := rand.New(rand.NewPCG(seed, 1))
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(r.Uint32())
	}
	return b
}

// invented is a small state: two tables, one of more than a piece, and a manifest that differs each
// time.
func invented(at int) map[string][]byte {
	return map[string][]byte{
		"000005.sst":      some(1, 100_000),
		"000006.blob":     some(2, wire.PieceBytes+5000),
		"000007.sst":      {},
		"MANIFEST-000001": some(uint64(100+at), 300),
	}
}

var testKey = Key{1, 2, 3}

func newRepository(t *testing.T, target Target) *Repository {
	t.Helper()
	if made, err := Init(t.Context(), target, testKey); err != nil || !made {
		t.Fatal(made, err)
	}
	r, err := Open(t.Context(), target, testKey)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// check reads every copy back and compares it with what it was taken of.
func check(t *testing.T, r *Repository, of map[uint64]map[string][]byte) (copies int) {
	t.Helper()
	list, err := r.List(t.Context(), "")
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range list {
		v, err := r.Verify(t.Context(), e, "", Options{})
		if err != nil || len(v.Problems) > 0 {
			t.Fatalf("%s: %+v, %v", e.Name, v, err)
		}
		m, err := r.Manifest(t.Context(), e.Name)
		if err != nil {
			t.Fatal(err)
		}
		got := readFiles(t, r, m)
		if want := of[e.Index]; !maps.EqualFunc(got, want, bytes.Equal) {
			t.Fatalf("%s: %d files that are not those of the source", e.Name, len(got))
		}
	}
	return len(list)
}
