package backup

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/staffetta/staffetta/wire"
)

func readFiles(t *testing.T, r *Repository, m *Manifest) map[string][]byte {
	t.Helper()
	got := map[string][]byte{}
	err := r.Files(t.Context(), m, nil, func(name string, size int64, content io.Reader) error {
		b, err := io.ReadAll(content)
		if err == nil && int64(len(b)) != size {
			err = fmt.Errorf("%d bytes, %d announced", len(b), size)
		}
		got[name] = b
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return got
}

// TestBackup takes three copies, of which only what is new is read and stored.
func TestBackup(t *testing.T) {
	for name, target := range map[string]Target{"memory": newMemory(),
		"directory": &dir{path: filepath.Join(t.TempDir(), "a", "b")}} {
		r := newRepository(t, target)
		want := map[uint64]map[string][]byte{}
		for at := range 3 {
			files := invented(at)
			src := newSource(at, files)
			want[src.head.Index] = files
			var mu sync.Mutex
			var last uint64 // guarded by mu
			report, err := r.Backup(t.Context(), src, Options{Progress: func(done, total uint64) {
				mu.Lock()
				defer mu.Unlock()
				last = max(last, done)
			}})
			if err != nil {
				t.Fatal(name, err)
			}
			if wantReads := 4; at == 0 && src.reads != wantReads || at > 0 && src.reads != 1 {
				t.Errorf("%s: copy %d took %d reads", name, at, src.reads)
			}
			if at > 0 && report.AddedBytes != 300 || report.Bytes != src.head.Bytes {
				t.Errorf("%s: copy %d: %+v", name, at, report)
			}
			if last != report.Bytes {
				t.Errorf("%s: progress ends at %d of %d", name, last, report.Bytes)
			}
		}
		if n := check(t, r, want); n != 3 {
			t.Errorf("%s: %d copies, want 3", name, n)
		}
		e, err := r.Find(t.Context(), "region/lazio", time.Unix(1_800_000_001, 500))
		if err != nil || e.Index != 1001 {
			t.Errorf("%s: found %+v, %v", name, e, err)
		}
		if _, err := r.Find(t.Context(), "region/lazio", time.Unix(1_700_000_000, 0)); err == nil {
			t.Errorf("%s: found a copy older than all", name)
		}
		if _, err := r.Find(t.Context(), "federation", time.Time{}); err == nil {
			t.Errorf("%s: found a copy of a group that has none", name)
		}
	}
}

// TestNothingInClear looks for the state in what a target gets.
func TestNothingInClear(t *testing.T) {
	m := newMemory()
	r := newRepository(t, m)
	text := []byte("Gentile cittadino, questo avviso è per lei")
	src := newSource(0, map[string][]byte{"000005.sst": bytes.Repeat(text, 100),
		"nome-di-file.sst": text})
	if _, err := r.Backup(t.Context(), src, Options{}); err != nil {
		t.Fatal(err)
	}
	for name, o := range m.objects {
		for _, secret := range [][]byte{text[:20], []byte("nome-di-file"), testKey[:3]} {
			if bytes.Contains(o.content, secret) {
				t.Errorf("%s holds %q in clear", name, secret)
			}
		}
		for _, f := range src.files {
			for _, p := range f.Pieces {
				if strings.Contains(name, fmt.Sprintf("%x", p)) {
					t.Errorf("%s names a piece by its content", name)
				}
			}
		}
	}
}

// TestCrash breaks a backup off at every write to the target, done or not done: every copy that
// is there is whole, and the next backup goes on.
func TestCrash(t *testing.T) {
	for _, applied := range []bool{false, true} {
		for at := 0; ; at++ {
			m := newMemory()
			r := newRepository(t, m)
			want := map[uint64]map[string][]byte{1000: invented(0), 1001: invented(1)}
			if _, err := r.Backup(t.Context(), newSource(0, want[1000]), Options{}); err != nil {
				t.Fatal(err)
			}
			m.failing, m.applied = at, applied
			_, err := r.Backup(t.Context(), newSource(1, want[1001]), Options{})
			survived := !m.dead
			m.revive()
			before := check(t, r, want)
			if err == nil && before != 2 {
				t.Fatalf("write %d: done, and %d copies", at, before)
			}
			// The lock of the one that broke off is no hindrance to another backup.
			if _, err := r.Backup(t.Context(), newSource(1, want[1001]), Options{}); err != nil {
				t.Fatalf("write %d: %v", at, err)
			}
			if n := check(t, r, want); n != before+1 {
				t.Fatalf("write %d: %d copies after %d", at, n, before)
			}
			if survived {
				if at < 3 {
					t.Errorf("only %d writes were broken", at)
				}
				break
			}
		}
	}
}

// TestDamage changes, swaps and removes what is stored: verifying names it, and reading ends.
func TestDamage(t *testing.T) {
	for name, harm := range map[string]func(m *memory, pieces []string, manifest string){
		"a flipped bit": func(m *memory, p []string, _ string) {
			m.objects[p[0]].content[100] ^= 1
		},
		"a cut piece": func(m *memory, p []string, _ string) {
			o := m.objects[p[0]]
			o.content = o.content[:len(o.content)-1]
			m.objects[p[0]] = o
		},
		"an empty piece": func(m *memory, p []string, _ string) { m.objects[p[0]] = stored{} },
		"a missing one":  func(m *memory, p []string, _ string) { delete(m.objects, p[0]) },
		"two swapped": func(m *memory, p []string, _ string) {
			m.objects[p[0]], m.objects[p[1]] = m.objects[p[1]], m.objects[p[0]]
		},
		"the manifest": func(m *memory, _ []string, name string) {
			m.objects[name].content[60] ^= 1
		},
		"another's manifest": func(m *memory, _ []string, name string) {
			o := m.objects[name]
			delete(m.objects, name)
			m.objects[strings.Replace(name, "lazio", "sicilia", 1)] = o
		},
	} {
		m := newMemory()
		r := newRepository(t, m)
		report, err := r.Backup(t.Context(), newSource(0, invented(0)), Options{})
		if err != nil {
			t.Fatal(err)
		}
		harm(m, m.names(objectsPrefix), report.Name)
		list, err := r.List(t.Context(), "")
		if err != nil || len(list) != 1 {
			t.Fatal(list, err)
		}
		v, err := r.Verify(t.Context(), list[0], t.TempDir(), Options{})
		if err != nil || len(v.Problems) == 0 {
			t.Errorf("%s: verified: %+v, %v", name, v, err)
		}
		got, err := r.Manifest(t.Context(), list[0].Name)
		if err != nil {
			continue
		}
		err = r.Files(t.Context(), got, nil, func(_ string, _ int64, c io.Reader) error {
			_, err := io.ReadAll(c)
			return err
		})
		if err == nil {
			t.Errorf("%s: read without an error", name)
		}
	}
}

// TestSourceThatChanges sends something else than was announced.
func TestSourceThatChanges(t *testing.T) {
	m := newMemory()
	r := newRepository(t, m)
	src := newSource(0, invented(0))
	src.content["000005.sst"] = some(99, 100_000)
	if _, err := r.Backup(t.Context(), src, Options{}); err == nil ||
		!strings.Contains(err.Error(), "something else") {
		t.Errorf("got %v", err)
	}
	if n := m.names(manifestsPrefix); len(n) > 0 {
		t.Errorf("there is a manifest: %v", n)
	}
	if n := m.names(locksPrefix); len(n) > 0 {
		t.Errorf("the lock stayed: %v", n)
	}
}

func TestInit(t *testing.T) {
	m := newMemory()
	if _, err := Open(t.Context(), m, testKey); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("opened nothing: %v", err)
	}
	newRepository(t, m)
	if made, err := Init(t.Context(), m, testKey); made || err != nil {
		t.Errorf("a second time: %v, %v", made, err)
	}
	if _, err := Init(t.Context(), m, Key{9}); err == nil {
		t.Error("made with another key over one that is there")
	}
	if _, err := Open(t.Context(), m, Key{9}); err == nil || isNotExist(err) {
		t.Errorf("opened with another key: %v", err)
	}
	other := newMemory()
	other.objects["photo.jpg"] = stored{}
	if _, err := Init(t.Context(), other, testKey); err == nil {
		t.Error("made among other files")
	}
}

func TestKeyFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "backup.key")
	key, err := NewKeyFile(path)
	if err != nil || key == (Key{}) {
		t.Fatal(key, err)
	}
	if _, err := NewKeyFile(path); !errors.Is(err, fs.ErrExist) {
		t.Errorf("a key was overwritten: %v", err)
	}
	if got, err := ReadKeyFile(path); got != key || err != nil {
		t.Errorf("got another key: %v", err)
	}
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("mode %v, %v", info.Mode(), err)
	}
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for _, wrong := range []string{"", "x", string(whole[:len(whole)-3]),
		string(whole) + "00", strings.Replace(string(whole), "key 1", "key 2", 1)} {
		if err := os.WriteFile(path, []byte(wrong), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := ReadKeyFile(path); err == nil {
			t.Errorf("%d bytes are taken for a key", len(wrong))
		}
	}
}

// TestPrune removes old copies and what they alone named, old enough.
func TestPrune(t *testing.T) {
	m := newMemory()
	r := newRepository(t, m)
	want := map[uint64]map[string][]byte{}
	for at := range 4 {
		m.now = time.Unix(1_800_000_000, 0).Add(time.Duration(at) * 24 * time.Hour)
		src := newSource(at, invented(at))
		src.head.Taken = wire.TimeOf(m.now)
		want[src.head.Index] = src.content
		if _, err := r.Backup(t.Context(), src, Options{}); err != nil {
			t.Fatal(err)
		}
	}
	m.now = m.now.Add(30 * time.Minute)
	objects := len(m.names(objectsPrefix))
	dry, err := r.Prune(t.Context(), Retention{Last: 1, Within: 36 * time.Hour}, true)
	if err != nil || len(dry.Removed) != 2 || dry.Pieces != 2 {
		t.Fatalf("%+v, %v", dry, err)
	}
	if n := check(t, r, want); n != 4 || len(m.names(objectsPrefix)) != objects {
		t.Fatalf("the dry run left %d copies", n)
	}
	done, err := r.Prune(t.Context(), Retention{Last: 1, Within: 36 * time.Hour}, false)
	if err != nil || len(done.Removed) != 2 || done.Pieces != 2 || done.Bytes == 0 {
		t.Fatalf("%+v, %v", done, err)
	}
	if n := check(t, r, want); n != 2 || len(m.names(objectsPrefix)) != objects-2 {
		t.Errorf("%d copies, %d pieces of %d", n, len(m.names(objectsPrefix)), objects)
	}
	// The third copy's own piece is 30 minutes too young... and stays until a later prune.
	if done, err = r.Prune(t.Context(), Retention{Last: 1}, false); err != nil ||
		len(done.Removed) != 1 {
		t.Fatalf("%+v, %v", done, err)
	}
	if _, err := r.Prune(t.Context(), Retention{}, false); err == nil {
		t.Error("a prune that keeps nothing")
	}
	if n := check(t, r, want); n != 1 {
		t.Errorf("%d copies", n)
	}
}

// TestPruneSparesTheYoung: a piece that no copy names yet is the beginning of one.
func TestPruneSparesTheYoung(t *testing.T) {
	m := newMemory()
	r := newRepository(t, m)
	src := newSource(0, invented(0))
	if _, err := r.Backup(t.Context(), src, Options{}); err != nil {
		t.Fatal(err)
	}
	src = newSource(1, invented(1))
	m.failing = 3 // lock, piece, unlock
	r.Backup(t.Context(), src, Options{})
	m.revive()
	delete(m.objects, m.names(locksPrefix + "backup")[0])
	objects := len(m.names(objectsPrefix))
	for age, want := range map[time.Duration]int{0: objects, PieceAgeMin - 1: objects} {
		m.now = time.Unix(1_800_000_000, 0).Add(age)
		if _, err := r.Prune(t.Context(), Retention{Last: 5}, false); err != nil {
			t.Fatal(err)
		}
		if got := len(m.names(objectsPrefix)); got != want {
			t.Errorf("after %s: %d pieces, want %d", age, got, want)
		}
	}
}

// TestPruneReadsFirst: a copy that stays and cannot be read ends a prune before it begins.
func TestPruneReadsFirst(t *testing.T) {
	m := newMemory()
	r := newRepository(t, m)
	var names []string
	for at := range 3 {
		report, err := r.Backup(t.Context(), newSource(at, invented(at)), Options{})
		if err != nil {
			t.Fatal(err)
		}
		names = append(names, report.Name)
	}
	m.objects[names[2]].content[50] ^= 1
	m.now = m.now.Add(72 * time.Hour)
	before := len(m.objects)
	if _, err := r.Prune(t.Context(), Retention{Last: 1}, false); err == nil {
		t.Error("pruned")
	}
	if len(m.objects) != before {
		t.Errorf("%d objects of %d are left", len(m.objects), before)
	}
}

// TestLocks: backups run beside each other, never beside a prune, and a holder that died is
// forgotten.
func TestLocks(t *testing.T) {
	m := newMemory()
	r := newRepository(t, m)
	src := newSource(0, invented(0))
	within := func(f func()) {
		var once sync.Once
		src.before = func(string) error {
			once.Do(f)
			return nil
		}
	}
	within(func() {
		if _, err := r.Prune(t.Context(), Retention{Last: 1}, false); err == nil ||
			!strings.Contains(err.Error(), "in use") {
			t.Errorf("a prune beside a backup: %v", err)
		}
		if _, err := r.Backup(t.Context(), newSource(5, invented(5)), Options{}); err != nil {
			t.Errorf("a backup beside a backup: %v", err)
		}
	})
	if _, err := r.Backup(t.Context(), src, Options{}); err != nil {
		t.Fatal(err)
	}
	held, err := r.lock(t.Context(), lockPrune)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := r.Backup(t.Context(), newSource(6, invented(6)), Options{}); err == nil {
		t.Error("a backup beside a prune")
	}
	held.stop() // the holder dies
	<-held.done
	m.now = m.now.Add(lockStale - time.Second)
	if _, err := r.Backup(t.Context(), newSource(6, invented(6)), Options{}); err == nil {
		t.Error("a backup beside a prune that may live")
	}
	m.now = m.now.Add(time.Second)
	if _, err := r.Backup(t.Context(), newSource(6, invented(6)), Options{}); err != nil {
		t.Error(err)
	}
}

// TestLostLock: a backup whose lock could not be refreshed writes no manifest, since a prune may
// have begun meanwhile.
func TestLostLock(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMemory()
		r := newRepository(t, m)
		src := newSource(0, invented(0))
		src.before = func(string) error {
			m.mu.Lock()
			m.dead = true
			m.mu.Unlock()
			time.Sleep(lockStale)
			m.revive()
			return nil
		}
		if _, err := r.Backup(t.Context(), src, Options{}); err == nil ||
			!strings.Contains(err.Error(), "could not be refreshed") {
			t.Errorf("got %v", err)
		}
		if n := m.names(manifestsPrefix); len(n) > 0 {
			t.Errorf("there is a manifest: %v", n)
		}
	})
}

// TestCancelled: an operator who gives up leaves no manifest and no lock.
func TestCancelled(t *testing.T) {
	m := newMemory()
	r := newRepository(t, m)
	ctx, cancel := context.WithCancel(t.Context())
	src := newSource(0, invented(0))
	src.before = func(string) error {
		cancel()
		return ctx.Err()
	}
	if _, err := r.Backup(ctx, src, Options{}); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
	if left := append(m.names(manifestsPrefix), m.names(locksPrefix)...); len(left) > 0 {
		t.Errorf("left: %v", left)
	}
}
