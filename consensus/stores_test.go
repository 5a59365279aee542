package consensus

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/raft"
	"github.com/hashicorp/raft-wal/fs"
	"github.com/hashicorp/raft-wal/metadb"
	"github.com/staffetta/staffetta/wire"
)

// kinds are the log stores; reopen closes and opens again, where that is possible.
var kinds = []string{LogMemory, LogWAL, LogBolt}

type openStore struct {
	*Stores
	t      *testing.T
	config Config
	log    *diskLog
	stable diskStable
}

func openKind(t *testing.T, kind string) *openStore {
	t.Helper()
	s := &openStore{t: t, config: Config{LogStore: kind, Dir: t.TempDir(), Logger: testLogger(),
		guards: offNow()}}
	if kind == LogMemory {
		s.config.Stores = NewMemoryStores()
	}
	s.open()
	t.Cleanup(func() { s.close() })
	return s
}

// open puts the guards around the store, as a group does.
func (s *openStore) open() {
	s.t.Helper()
	stores, err := openStores(&s.config)
	if err != nil {
		s.t.Fatal(err)
	}
	s.Stores = stores
	d := &disk{stall: time.Minute, guards: offNow(), fatal: func(error) {},
		stats: newStats(&Group{})}
	none := func() uint64 { return 0 }
	s.log = newDiskLog(d, stores, none, none, 0)
	s.stable = diskStable{d, markedStable{stores.stable, stores.mark}}
	if err := s.log.recount(); err != nil {
		s.t.Fatal(err)
	}
}

func (s *openStore) reopen() {
	s.t.Helper()
	if err := s.Stores.close(); err != nil {
		s.t.Fatal(err)
	}
	s.open()
}

func logsOf(term, from, to uint64) []*raft.Log {
	var logs []*raft.Log
	for i := from; i <= to; i++ {
		logs = append(logs, &raft.Log{Index: i, Term: term, Type: raft.LogCommand,
			Data: entryOf(fmt.Sprintf("%d/%d", term, i)), AppendedAt: time.UnixMilli(int64(i))})
	}
	return logs
}

// expect checks that the log is exactly from..to, of the terms that term answers.
func (s *openStore) expect(from, to uint64, term func(uint64) uint64) {
	s.t.Helper()
	first, err := s.log.FirstIndex()
	last, err2 := s.log.LastIndex()
	if err != nil || err2 != nil || first != from || last != to {
		s.t.Fatalf("log is %d to %d (%v, %v), want %d to %d", first, last, err, err2, from, to)
	}
	for i := from; i <= to && to > 0; i++ {
		var l raft.Log
		if err := s.log.GetLog(i, &l); err != nil {
			s.t.Fatalf("entry %d: %v", i, err)
		}
		want := entryOf(fmt.Sprintf("%d/%d", term(i), i))
		if l.Index != i || l.Term != term(i) || !bytes.Equal(l.Data, want) {
			s.t.Fatalf("entry %d is %d of term %d", i, l.Index, l.Term)
		}
	}
	// The library compares this error by identity. (raft-wal may still serve what was deleted
	// from the front of its last segment.)
	var l raft.Log
	if err := s.log.GetLog(to+1, &l); err != raft.ErrLogNotFound {
		s.t.Fatalf("entry %d: %v, want exactly %v", to+1, err, raft.ErrLogNotFound)
	}
}

func always(term uint64) func(uint64) uint64 { return func(uint64) uint64 { return term } }

// The contract that everything above relies on, whatever the store.
func TestLogStoreContract(t *testing.T) {
	steps := []struct {
		name string
		run  func(t *testing.T, s *openStore)
	}{
		{"empty", func(t *testing.T, s *openStore) { s.expect(0, 0, nil) }},
		{"append", func(t *testing.T, s *openStore) {
			s.store(1, 1, 10)
			s.store(1, 11, 11)
			s.expect(1, 11, always(1))
		}},
		{"append anywhere when empty", func(t *testing.T, s *openStore) {
			s.store(1, 500, 510)
			s.expect(500, 510, always(1))
		}},
		{"prefix", func(t *testing.T, s *openStore) {
			s.store(1, 1, 100)
			s.delete(1, 40)
			s.expect(41, 100, always(1))
			s.store(1, 101, 102)
			s.expect(41, 102, always(1))
		}},
		{"suffix, written again", func(t *testing.T, s *openStore) {
			s.store(1, 1, 100)
			s.delete(61, 100)
			s.expect(1, 60, always(1))
			s.store(2, 61, 70)
			s.expect(1, 70, func(i uint64) uint64 {
				if i > 60 {
					return 2
				}
				return 1
			})
		}},
		{"everything, then far away", func(t *testing.T, s *openStore) {
			s.store(1, 1, 100)
			s.delete(1, 100)
			s.expect(0, 0, nil)
			s.store(3, 1000, 1010)
			s.expect(1000, 1010, always(3))
		}},
		{"delete beyond both ends", func(t *testing.T, s *openStore) {
			s.store(1, 10, 20)
			s.delete(1, 100)
			s.expect(0, 0, nil)
		}},
		{"votes", func(t *testing.T, s *openStore) {
			if v, err := s.stable.GetUint64([]byte("absent")); v != 0 || err != nil {
				t.Fatalf("absent number: %d, %v", v, err)
			}
			if v, err := s.stable.Get([]byte("absent")); len(v) != 0 || err != nil {
				t.Fatalf("absent value: %q, %v", v, err)
			}
			if err := s.stable.SetUint64([]byte("n"), 1<<63); err != nil {
				t.Fatal(err)
			}
			if err := s.stable.Set([]byte("v"), []byte("node")); err != nil {
				t.Fatal(err)
			}
		}},
	}
	for _, kind := range kinds {
		for _, step := range steps {
			t.Run(kind+"/"+step.name, func(t *testing.T) {
				s := openKind(t, kind)
				step.run(t, s)
				first, _ := s.log.FirstIndex()
				last, _ := s.log.LastIndex()
				s.reopen()
				again, _ := s.log.FirstIndex()
				againLast, _ := s.log.LastIndex()
				if again != first || againLast != last {
					t.Errorf("reopened as %d to %d, was %d to %d", again, againLast, first, last)
				}
				if step.name == "votes" {
					n, _ := s.stable.GetUint64([]byte("n"))
					v, _ := s.stable.Get([]byte("v"))
					if n != 1<<63 || string(v) != "node" {
						t.Errorf("votes reopened as %d and %q", n, v)
					}
				}
			})
		}
	}
}

func (s *openStore) store(term, from, to uint64) {
	s.t.Helper()
	if err := s.log.StoreLogs(logsOf(term, from, to)); err != nil {
		s.t.Fatal(err)
	}
}

func (s *openStore) delete(from, to uint64) {
	s.t.Helper()
	if err := s.log.DeleteRange(from, to); err != nil {
		s.t.Fatal(err)
	}
}

// A log with a hole would be served to followers as if it were whole.
func TestLogWithAGapIsRefused(t *testing.T) {
	for _, kind := range kinds {
		t.Run(kind, func(t *testing.T) {
			s := openKind(t, kind)
			s.store(1, 1, 10)
			if err := s.log.StoreLogs(logsOf(1, 12, 13)); err == nil {
				t.Error("entry 12 was appended after 10")
			}
		})
	}
}

// lateLog does something between reading the log's end and telling it.
type lateLog struct {
	raft.LogStore
	between func()
}

func (l *lateLog) LastIndex() (uint64, error) {
	index, err := l.LogStore.LastIndex()
	if f := l.between; f != nil {
		l.between = nil
		f()
	}
	return index, err
}

// The library truncates the log behind a snapshot while its other goroutine appends. Neither
// changes what the other one knows.
func TestTruncationBesideAppends(t *testing.T) {
	for _, kind := range kinds {
		t.Run(kind, func(t *testing.T) {
			s := openKind(t, kind)
			s.store(1, 1, 10)
			appended := make(chan struct{})
			s.log.to = &lateLog{s.log.to, func() {
				go func() {
					defer close(appended)
					s.log.StoreLogs(logsOf(1, 11, 11))
				}()
				select {
				case <-appended:
				case <-time.After(50 * time.Millisecond): // it waits, as it should
				}
			}}
			s.delete(1, 4)
			<-appended
			noop := []*raft.Log{{Index: 12, Term: 2, Type: raft.LogNoop}}
			if err := s.log.StoreLogs(noop); err != nil {
				t.Fatalf("appending after a truncation: %v", err)
			}
			if begin, ok := s.log.beginning(2); !ok || begin.index != 12 || begin.visible != 11 {
				t.Errorf("term 2 begins at %+v, want entry 12 behind entry 11", begin)
			}
		})
	}
}

// The last entry of a new term is preceded by what the state machine sees, also when what was
// behind it was cut off.
func TestVisibleEntriesAfterATruncatedTail(t *testing.T) {
	for _, kind := range kinds {
		t.Run(kind, func(t *testing.T) {
			s := openKind(t, kind)
			s.store(1, 1, 10)
			s.delete(6, 10)
			noop := []*raft.Log{{Index: 6, Term: 2, Type: raft.LogNoop}}
			if err := s.log.StoreLogs(noop); err != nil {
				t.Fatal(err)
			}
			begin, ok := s.log.beginning(2)
			if !ok || begin.index != 6 || begin.visible != 5 {
				t.Errorf("term 2 begins at %+v, want entry 6 behind entry 5", begin)
			}
			if _, ok := s.log.beginning(1); ok {
				t.Error("term 1 has a beginning")
			}
			s.store(2, 7, 8)
			s.delete(6, 8)
			if begin, ok := s.log.beginning(2); ok {
				t.Errorf("term 2 still begins at %+v after it was cut off", begin)
			}
		})
	}
}

// A damaged entry must not reach the state or a follower.
func TestDamagedEntryIsNotRead(t *testing.T) {
	body := []byte("3f0c2e1c8d-find-me-on-disk")
	for _, kind := range []string{LogWAL, LogBolt} {
		t.Run(kind, func(t *testing.T) {
			s := openKind(t, kind)
			s.store(1, 1, 3)
			damaged := &raft.Log{Index: 4, Term: 1, Type: raft.LogCommand,
				Data: wire.EncodeEntry(wire.CommandsEntry, 1, body)}
			if err := s.log.StoreLog(damaged); err != nil {
				t.Fatal(err)
			}
			s.store(1, 5, 8)
			if err := s.Stores.close(); err != nil {
				t.Fatal(err)
			}
			flip(t, s.config.Dir, body)
			s.open()
			var l raft.Log
			if err := s.log.GetLog(4, &l); !errors.Is(err, ErrCorrupt) {
				t.Errorf("damaged entry: %v, want %v", err, ErrCorrupt)
			}
		})
	}
}

// flip changes one byte of body, wherever it lies in dir.
func flip(t *testing.T, dir string, body []byte) {
	t.Helper()
	files, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		path := filepath.Join(dir, f.Name())
		b, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if at := bytes.Index(b, body); at >= 0 {
			b[at+5] ^= 0x40
			if err := os.WriteFile(path, b, 0o600); err != nil {
				t.Fatal(err)
			}
			return
		}
	}
	t.Fatal("the entry is in no file")
}

// Files that are none of ours, or were damaged, are refused with the reason.
func TestGarbageIsRefused(t *testing.T) {
	for kind, file := range map[string]string{LogWAL: metadb.FileName, LogBolt: boltFile} {
		c := Config{LogStore: kind, Dir: t.TempDir(), Logger: testLogger()}
		garbage := bytes.Repeat([]byte("garbage "), 8<<10)
		if err := os.WriteFile(filepath.Join(c.Dir, file), garbage, 0o600); err != nil {
			t.Fatal(err)
		}
		for range 2 { // and the lock is given back
			if _, err := openStores(&c); !errors.Is(err, ErrCorrupt) {
				t.Errorf("garbage in %s: %v, want %v", file, err, ErrCorrupt)
			}
		}
	}
}

func TestDirectoryIsUsedOnce(t *testing.T) {
	s := openKind(t, LogWAL)
	if _, err := openStores(&s.config); err == nil {
		t.Error("a directory in use was opened")
	}
}

func TestOtherLogStoreIsRefused(t *testing.T) {
	for _, kind := range []string{LogWAL, LogBolt} {
		s := openKind(t, kind)
		if err := s.Stores.close(); err != nil {
			t.Fatal(err)
		}
		other := s.config
		other.LogStore = map[string]string{LogWAL: LogBolt, LogBolt: LogWAL}[kind]
		if _, err := openStores(&other); !errors.Is(err, ErrForeign) {
			t.Errorf("%s log opened as %s: %v, want %v", kind, other.LogStore, err, ErrForeign)
		}
		s.open()
	}
}

// An append is one fsync in raft-wal.
func TestFsyncsPerAppend(t *testing.T) {
	dir := t.TempDir()
	files := &countedFiles{VFS: fs.New()}
	s, err := walParts{dir: dir, files: files, meta: &metadb.BoltMetaDB{}, segment: segmentBytes,
		logger: hclog.NewNullLogger()}.open()
	if err != nil {
		t.Fatal(err)
	}
	defer s.close()
	if err := s.log.StoreLogs(logsOf(1, 1, 1)); err != nil {
		t.Fatal(err)
	}
	before := files.syncs.Load()
	for i := uint64(0); i < 100; i++ {
		if err := s.log.StoreLogs(logsOf(1, 2+8*i, 9+8*i)); err != nil {
			t.Fatal(err)
		}
	}
	if got := files.syncs.Load() - before; got != 100 {
		t.Errorf("%d fsyncs for 100 appends, want 100", got)
	}
}
