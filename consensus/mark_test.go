package consensus

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"testing"
)

// marked is a store that a group was opened on, with entries that were acknowledged.
type marked struct{ *openStore }

func openMarkedKind(t *testing.T, kind string) marked {
	m := marked{openKind(t, kind)}
	m.config.Group, m.config.Self = "region/test", "n1"
	if err := m.reconcile(); err != nil {
		t.Fatal(err)
	}
	if err := m.stable.SetUint64(keyTerm, 3); err != nil {
		t.Fatal(err)
	}
	return m
}

// reconcile is what a group does with its stores before anything else.
func (m marked) reconcile() error {
	r := reconciler{config: &m.config, log: m.Stores.log, mark: m.mark,
		stable: markedStable{m.Stores.stable, m.mark}}
	return r.run()
}

// restart closes the stores, does harm, and opens them again as a group does.
func (m marked) restart(harm func()) error {
	m.t.Helper()
	if err := m.Stores.close(); err != nil {
		m.t.Fatal(err)
	}
	harm()
	stores, err := openStores(&m.config)
	if err != nil {
		m.Stores.close = func() error { return nil }
		return err
	}
	m.Stores = stores
	m.openStore.Stores = stores
	return m.reconcile()
}

// tail is the last segment of the log, and the offset of an entry's bytes in it.
func (m marked) tail(entry uint64) (path string, offset int64) {
	m.t.Helper()
	files, _ := filepath.Glob(filepath.Join(m.config.Dir, "*.wal"))
	slices.Sort(files)
	path = files[len(files)-1]
	b, err := os.ReadFile(path)
	if err != nil {
		m.t.Fatal(err)
	}
	at := bytes.Index(b, entryOf(fmt.Sprintf("3/%d", entry)))
	if at < 0 {
		m.t.Fatalf("entry %d is not in %s", entry, path)
	}
	return path, int64(at)
}

func (m marked) overwrite(path string, offset int64, b []byte) {
	m.t.Helper()
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		m.t.Fatal(err)
	}
	defer f.Close()
	if _, err := f.WriteAt(b, offset); err != nil {
		m.t.Fatal(err)
	}
}

// copyTo copies a directory of files.
func copyTo(t *testing.T, from, to string) {
	t.Helper()
	if err := os.RemoveAll(to); err != nil {
		t.Fatal(err)
	}
	if err := os.CopyFS(to, os.DirFS(from)); err != nil {
		t.Fatal(err)
	}
}

// harms are the ways in which a log loses acknowledged entries, or its mark.
var harms = []struct {
	name string
	kind string // of log store; empty: both
	do   func(m marked, early string)
}{
	{"LastSegmentCut", LogWAL, func(m marked, _ string) {
		path, at := m.tail(30)
		os.Truncate(path, at)
	}},
	{"LastSegmentRemoved", LogWAL, func(m marked, _ string) {
		path, _ := m.tail(30)
		os.Remove(path)
	}},
	{"PageZeroed", LogWAL, func(m marked, _ string) {
		path, at := m.tail(30)
		m.overwrite(path, at&^4095, make([]byte, 4096))
	}},
	{"EndZeroed", LogWAL, func(m marked, _ string) {
		path, at := m.tail(39)
		m.overwrite(path, at, make([]byte, 4096))
	}},
	{"BitFlippedInTheLastEntry", LogWAL, func(m marked, _ string) {
		path, at := m.tail(40)
		m.overwrite(path, at+20, []byte{0xff})
	}},
	{"EarlierCopyOfTheLog", "", func(m marked, early string) {
		copyTo(m.t, early, m.config.Dir)
	}},
	{"LogRemoved", "", func(m marked, _ string) { os.RemoveAll(m.config.Dir) }},
	{"FilesRemoved", "", func(m marked, _ string) {
		os.RemoveAll(m.config.Dir)
		os.Mkdir(m.config.Dir, 0o700)
	}},
	{"MarkRemoved", "", func(m marked, _ string) { os.Remove(m.config.Dir + markSuffix) }},
	{"MarkZeroed", "", func(m marked, _ string) {
		m.overwrite(m.config.Dir+markSuffix, 0, make([]byte, markSlots*markSlotBytes))
	}},
	{"BoltFallsBack", LogBolt, func(m marked, _ string) {
		// Of its two first pages the newer one counts; with that one damaged the other does.
		path := filepath.Join(m.config.Dir, boltFile)
		b, err := os.ReadFile(path)
		if err != nil {
			m.t.Fatal(err)
		}
		newer, page := int64(0), int64(os.Getpagesize())
		const txid = 16 + 48 // of a meta, behind the page's header
		if bytes.Compare(reversed(b[txid:txid+8]), reversed(b[page+txid:page+txid+8])) < 0 {
			newer = page
		}
		m.overwrite(path, newer, make([]byte, page))
	}},
}

func reversed(b []byte) []byte {
	b = slices.Clone(b)
	slices.Reverse(b)
	return b
}

// A log that ends before what was acknowledged is damaged, whatever the store takes it for.
func TestDamageIsNotTheEnd(t *testing.T) {
	for _, kind := range []string{LogWAL, LogBolt} {
		for _, harm := range harms {
			if harm.kind != "" && harm.kind != kind {
				continue
			}
			t.Run(kind+"/"+harm.name, func(t *testing.T) {
				m, early := openMarkedKind(t, kind), t.TempDir()
				for i := uint64(1); i <= 40; i++ {
					if i == 20 {
						copyTo(t, m.config.Dir, early)
					}
					m.store(3, i, i)
				}
				err := m.restart(func() { harm.do(m, early) })
				if !errors.Is(err, ErrCorrupt) {
					t.Errorf("the replica starts (%v), want %v", err, ErrCorrupt)
				}
			})
		}
	}
}

// What was never acknowledged may end anyhow: a power cut in the middle of an append is no damage.
func TestTornAppendIsAnEnd(t *testing.T) {
	for _, harm := range []struct {
		name string
		do   func(m marked)
	}{
		{"whole", func(marked) {}},
		{"torn", func(m marked) {
			path, at := m.tail(41)
			m.overwrite(path, at, make([]byte, 8))
		}},
		{"absent", func(m marked) {
			path, at := m.tail(41)
			m.overwrite(path, at, make([]byte, 4096))
		}},
	} {
		t.Run(harm.name, func(t *testing.T) {
			m := openMarkedKind(t, LogWAL)
			for i := uint64(1); i <= 40; i++ {
				m.store(3, i, i)
			}
			if err := m.Stores.log.StoreLogs(logsOf(3, 41, 41)); err != nil {
				t.Fatal(err)
			}
			if err := m.restart(func() { harm.do(m) }); err != nil {
				t.Fatal(err)
			}
			if last, _ := m.Stores.log.LastIndex(); last < 40 {
				t.Errorf("the log ends at %d, want 40 at least", last)
			}
		})
	}
}

// What a leader demands is no damage: a tail that it contradicts, and a log that a snapshot
// replaces, at whatever moment the process ends.
func TestCutLogIsNoDamage(t *testing.T) {
	for _, kind := range []string{LogWAL, LogBolt} {
		for _, c := range []struct {
			name string
			do   func(m marked) error
			last uint64
		}{
			{"tail", func(m marked) error { return m.log.DeleteRange(31, 40) }, 30},
			{"tail rewritten", func(m marked) error {
				return errors.Join(m.stable.SetUint64(keyTerm, 4), m.log.DeleteRange(31, 40),
					m.log.StoreLogs(logsOf(4, 31, 33)))
			}, 33},
			{"all", func(m marked) error { return m.log.DeleteRange(1, 40) }, 0},
			{"noted only", func(m marked) error { return m.mark.cut(30) }, 40},
		} {
			t.Run(kind+"/"+c.name, func(t *testing.T) {
				m := openMarkedKind(t, kind)
				m.store(3, 1, 40)
				if err := c.do(m); err != nil {
					t.Fatal(err)
				}
				if err := m.restart(func() {}); err != nil {
					t.Fatal(err)
				}
				if last, _ := m.Stores.log.LastIndex(); last != c.last {
					t.Errorf("the log ends at %d, want %d", last, c.last)
				}
			})
		}
	}
}

// Votes that went back are refused as entries are.
func TestForgottenVoteIsRefused(t *testing.T) {
	for _, kind := range []string{LogWAL, LogBolt} {
		m, early := openMarkedKind(t, kind), t.TempDir()
		copyTo(t, m.config.Dir, early)
		err := errors.Join(m.stable.SetUint64(keyTerm, 4), m.stable.SetUint64(keyVoteTerm, 4))
		if err != nil {
			t.Fatal(err)
		}
		err = m.restart(func() { copyTo(t, early, m.config.Dir) })
		if !errors.Is(err, ErrCorrupt) {
			t.Errorf("%s: the replica starts (%v), want %v", kind, err, ErrCorrupt)
		}
	}
}

// An append costs no fsync of the mark, which is synced beside: a power cut takes the mark back to
// any of its synced states, and each of them reads.
func TestMarkIsNotSyncedByAppends(t *testing.T) {
	path := filepath.Join(t.TempDir(), "log.mark")
	m, err := openMark(path)
	if err != nil {
		t.Fatal(err)
	}
	defer m.close()
	if err := errors.Join(m.make(), m.sync()); err != nil {
		t.Fatal(err)
	}
	durable, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	synced := m.slot
	for i := uint64(1); i <= 100; i++ {
		if err := m.appended(i, 1); err != nil {
			t.Fatal(err)
		}
	}
	if m.slot != synced {
		t.Error("an append synced the mark")
	}
	// Torn at will, what was written since the sync takes nothing with it.
	b, _ := os.ReadFile(path)
	for i := range b {
		if b[i] != durable[i] {
			b[i] = 0xff
		}
	}
	torn := path + "-torn"
	if err := os.WriteFile(torn, b, 0o600); err != nil {
		t.Fatal(err)
	}
	for p, want := range map[string]uint64{path: 100, torn: 0} {
		again, err := openMark(p)
		if err != nil {
			t.Fatal(err)
		}
		if got := again.now().Last; got != want {
			t.Errorf("%s: entry %d, want %d", filepath.Base(p), got, want)
		}
		again.close()
	}
}

// Of two statements about one directory the earlier one is known.
func TestHeldOnlyGrows(t *testing.T) {
	inOrder := []Held{
		{}, {Term: 1}, {Term: 1, Last: 10}, {Term: 1, Vote: 1, Last: 10},
		{Term: 1, Vote: 1, Cuts: 1, Last: 4}, {Term: 1, Vote: 1, Cuts: 1, Last: 5},
		{Term: 2, Vote: 1, Cuts: 1, Last: 5}, {Term: 2, Vote: 1, Cuts: 2}, {Term: 3, Vote: 3, Cuts: 2},
	}
	for i, a := range inOrder {
		for j, b := range inOrder {
			if got, want := a.Before(b), i < j; got != want {
				t.Errorf("%+v before %+v: %v, want %v", a, b, got, want)
			}
		}
	}
}
