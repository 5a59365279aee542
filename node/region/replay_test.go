package region

import (
	"errors"
	"io"
	"math/rand/v2"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/staffetta/staffetta/internal/fiscalcode"
	"github.com/staffetta/staffetta/wire"
)

// batches cuts a log at random places.
func batches(rng *rand.Rand, log []wire.LogEntry) [][]wire.LogEntry {
	var list [][]wire.LogEntry
	for len(log) > 0 {
		n := min(1+rng.IntN(12), len(log))
		list, log = append(list, log[:n]), log[n:]
	}
	return list
}

// checkEqual compares two states that applied the same log: digest, rows, positions, caches.
func checkEqual(t *testing.T, what string, got, want *fixture) {
	t.Helper()
	gi, gs := got.Digest()
	wi, ws := want.Digest()
	if gi != wi || gs != ws {
		t.Errorf("%s: digest %x at %d, want %x at %d", what, gs[:4], gi, ws[:4], wi)
	}
	if diff := diffRows(got.rows(), want.rows()); diff != "" {
		t.Errorf("%s: %s", what, diff)
	}
	gp, wp := got.Position(), want.Position()
	gp.Installed, wp.Installed = false, false
	if !reflect.DeepEqual(gp, wp) {
		t.Errorf("%s: position %+v, want %+v", what, gp, wp)
	}
	if got.Now() != want.Now() {
		t.Errorf("%s: time %v, want %v", what, got.Now(), want.Now())
	}
	got.checkCaches()
}

// TestReplay applies one random log with other batch boundaries, with restarts, and from a
// snapshot on. States, digests and the answers to the log's entries are the same.
func TestReplay(t *testing.T) {
	seeds := uint64(4)
	if testing.Short() {
		seeds = 1
	}
	for seed := range seeds {
		coder := newCoder(t)
		want := newHistory(openFixture(t, testConfig(vfs.NewMem(), "lazio", coder)), seed)
		for range 400 {
			want.step()
		}
		want.checkCaches()
		rng := rand.New(rand.NewPCG(seed, 99))
		cutAt := len(want.log) / 2

		batched := openFixture(t, testConfig(vfs.NewMem(), "lazio", coder))
		restarted := openFixture(t, testConfig(vfs.NewMem(), "lazio", coder))
		var results, first []any
		for _, b := range batches(rng, want.log) {
			results = append(results, batched.apply(b...)...)
		}
		checkEqual(t, "other batches", batched, want.fixture)
		for _, b := range batches(rng, want.log) {
			first = append(first, restarted.apply(b...)...)
			if rng.IntN(4) == 0 {
				restarted.restart()
			}
		}
		checkEqual(t, "restarts", restarted, want.fixture)
		if !slices.EqualFunc(results, first, func(a, b any) bool { return reflect.DeepEqual(a, b) }) {
			t.Error("the answers depend on the batches")
		}

		source := openFixture(t, testConfig(vfs.NewMem(), "lazio", coder))
		source.apply(want.log[:cutAt]...)
		installed := openFixture(t, testConfig(vfs.NewMem(), "lazio", coder))
		installed.apply(want.log[:rng.IntN(cutAt)]...)
		install(t, source, installed)
		checkEqual(t, "installed", installed, source)
		for _, b := range batches(rng, want.log[cutAt:]) {
			installed.apply(b...)
		}
		checkEqual(t, "installed and caught up", installed, want.fixture)
	}
}

// send stages a checkpoint of from at to.
func send(t *testing.T, from, to *fixture) wire.Position {
	t.Helper()
	stream, size, at, err := from.Checkpoint()
	if err != nil {
		t.Fatal(err)
	}
	stage, err := to.Stage()
	if err != nil {
		t.Fatal(err)
	}
	n, err := io.Copy(stage, stream)
	if err != nil || n != size {
		t.Fatalf("checkpoint of %d bytes, %d announced, %v", n, size, err)
	}
	if err := errors.Join(stream.Close(), stage.Close()); err != nil {
		t.Fatal(err)
	}
	return at
}

func install(t *testing.T, from, to *fixture) {
	t.Helper()
	before := to.rows()
	wrong := send(t, from, to)
	wrong.Index++
	if err := to.Install(wrong); err == nil {
		t.Fatal("a state of another index was installed")
	}
	if diff := diffRows(to.rows(), before); diff != "" {
		t.Errorf("a refused install changed the state: %s", diff)
	}
	at := send(t, from, to)
	woken := to.PendingChanged()
	if err := to.Install(at); err != nil {
		t.Fatal(err)
	}
	if !to.Position().Installed {
		t.Error("the position does not say that it was installed")
	}
	select {
	case <-woken:
	default:
		t.Error("an install wakes nobody who waits for pending work")
	}
}

// TestCrash crashes a state at random points of a random history, with any part of what was not
// flushed lost, and replays the rest of the log.
func TestCrash(t *testing.T) {
	crashes := 30
	if testing.Short() {
		crashes = 8
	}
	coder := newCoder(t)
	want := newHistory(openFixture(t, testConfig(vfs.NewMem(), "lazio", coder)), 42)
	for range 300 {
		want.step()
	}
	for seed := range uint64(crashes) {
		rng := rand.New(rand.NewPCG(seed, 7))
		fs := vfs.NewCrashableMem()
		cfg := testConfig(fs, "lazio", coder)
		cfg.Store.MemTableBytes = 256 << 10
		f := openFixture(t, cfg)
		var flushed uint64
		stop := rng.IntN(len(want.log))
		for _, b := range batches(rng, want.log[:stop]) {
			f.apply(b...)
			if rng.IntN(10) == 0 {
				at, err := f.Flush()
				if err != nil {
					t.Fatal(err)
				}
				flushed = at.Index
			}
		}
		cfg.Store.FS = fs.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: rng.IntN(101), RNG: rng})
		applied := f.Position().Index
		crashed := openFixture(t, cfg)
		at := crashed.Position().Index
		if at < flushed || at > applied {
			t.Errorf("crash %d: reopened at %d, flushed at %d, applied up to %d", seed, at, flushed,
				applied)
		}
		for _, b := range batches(rng, want.log) { // entries up to the position are ignored
			crashed.apply(b...)
		}
		checkEqual(t, "after a crash", crashed, want.fixture)
		for _, s := range []*fixture{f, crashed} {
			if err := s.Close(); err != nil {
				t.Error(err)
			}
		}
	}
}

// TestInvariants reads a random history's state as a checker would.
func TestInvariants(t *testing.T) {
	h := newHistory(openFixture(t, testConfig(vfs.NewMem(), "lazio", newCoder(t))), 5)
	for range 500 {
		h.step()
	}
	rows, sets := h.rows(), map[string]int{}
	for k, v := range rows {
		key := []byte(k)
		switch key[0] {
		case inboxPrefix:
			r, id := wire.Recipient(key[1:17]), wire.MessageID(key[17:])
			if _, both := rows[string(rejectedPrefix)+k[1:]]; both {
				t.Errorf("message %v is both delivered and rejected", id)
			}
			var row inboxRow
			if err := wire.Decode([]byte(v), &row); err != nil {
				t.Fatal(err)
			}
			rec := h.block(row.Block).Records[row.Position]
			if rec.ID != id || rec.RecipientUnder(h.hasher) != r {
				t.Errorf("the row of %v leads to another record", id)
			}
		case deletedPrefix:
			_, in := rows[string(inboxPrefix)+k[1:]]
			if _, out := rows[string(rejectedPrefix)+k[1:]]; in || out {
				t.Errorf("a message is deleted, and delivered or rejected")
			}
		case statusPrefix, latePrefix:
			if _, in := rows[string(inboxPrefix)+k[1:]]; !in {
				t.Errorf("a row of kind %q outlives its message", key[0])
			}
		case ownerPrefix:
			var row ownerRow
			if err := wire.Decode([]byte(v), &row); err != nil {
				t.Fatal(err)
			}
			want := standing{State: row.Ownership.State}
			var profile profileRow
			if p, ok := rows[string(profilePrefix)+k[1:]]; ok {
				if err := wire.Decode([]byte(p), &profile); err != nil {
					t.Fatal(err)
				}
				want = profile.standing()
			}
			if row.Standing != want {
				t.Errorf("stored standing %+v, the profile says %+v", row.Standing, want)
			}
		case idempotencyPrefix:
			use := idempotencyRow([]byte(v))
			id := use.id()
			_, in := rows[string(inboxPrefix)+k[1:17]+string(id[:])]
			_, out := rows[string(rejectedPrefix)+k[1:17]+string(id[:])]
			_, gone := rows[string(deletedPrefix)+k[1:17]+string(id[:])]
			if !in && !out && !gone {
				t.Errorf("an idempotency key outlives its message")
			}
		case sessionPrefix:
			var s wire.Session
			if err := wire.Decode([]byte(v), &s); err != nil {
				t.Fatal(err)
			}
			r := h.hasher.Recipient(s.FiscalCode)
			place := string(recipientKey(currentPrefix, r))
			if s.ID != (wire.SessionID{}) {
				place = string(memberKey(r, s.ID))
			}
			if rows[place] != k[1:] {
				t.Error("a session is not among its citizen's")
			}
		case memberPrefix:
			if sets[k[:17]]++; sets[k[:17]] > wire.SessionsMax {
				t.Errorf("a citizen has %d sessions", sets[k[:17]])
			}
			_, here := rows[string(sessionPrefix)+v]
			_, left := rows[string(forwardKey(wire.TokenHash([]byte(v))))]
			if here == left {
				t.Errorf("of a session of a set: it is here %v, it left %v", here, left)
			}
		}
		for _, code := range h.codes {
			if mayNameCitizen(kindOf(key)) {
				continue
			}
			if strings.Contains(k, string(code)) || strings.Contains(v, string(code)) {
				t.Errorf("a row of kind %q holds a fiscal code", key[0])
			}
		}
	}
	for _, k := range moveStages {
		if h.count(k.prefix) == 0 {
			t.Errorf("the history made no row of kind %q: it tests less than it says", k.begins())
		}
	}
}

// mayNameCitizen reports whether a fiscal code may stand in rows of a kind: in a profile, a session,
// or a record.
func mayNameCitizen(k *rowKind) (may bool) {
	if k.value != nil {
		types(reflect.TypeOf(k.value), func(of reflect.Type) {
			may = may || of == reflect.TypeFor[fiscalcode.Code]()
		})
	}
	return may || k.prefix == blockPrefix
}
