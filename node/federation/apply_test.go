package federation

import (
	"bytes"
	"fmt"
	"io"
	"math/rand/v2"
	"reflect"
	"sync"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"
	"github.com/staffetta/staffetta/wire"
)

// randomLog is a history with every kind of command, good and bad ones.
func randomLog(rng *rand.Rand, n int) []wire.LogEntry {
	regions := []wire.RegionID{"lazio", "lombardia", "sicilia", "europa"}
	log := []wire.LogEntry{entryOf(1, command(wire.CmdFound, testMap(regions[:3]...)))}
	pick := func(prefix string, n int) string { return fmt.Sprintf("%s%d", prefix, rng.IntN(n)) }
	for i := uint64(2); len(log) < n; i += 1 + uint64(rng.IntN(2)) {
		if rng.IntN(20) == 0 {
			log = append(log, wire.LogEntry{Index: i, Term: 1, Configuration: true,
				Data: fmt.Appendf(nil, "members@%d", i)})
			continue
		}
		var commands []wire.Command
		for range rng.IntN(6) {
			switch rng.IntN(6) {
			case 0:
				commands = append(commands, command(wire.CmdPutInstitution, &wire.Institution{
					ID: wire.InstitutionID(pick("0000000000", 3)), Name: pick("n", 3)}))
			case 1:
				commands = append(commands, command(wire.CmdPutService, &wire.Service{
					ID: wire.ServiceID(pick("s", 4)), Name: pick("n", 3),
					Institution: wire.InstitutionID(pick("0000000000", 4)),
					Keys:        [2]wire.KeyHash{keyOf(pick("k", 9)), keyOf(pick("k", 9))}}))
			case 2:
				key := keyOf(pick("k", 9))
				if rng.IntN(4) == 0 {
					key = wire.KeyHash{}
				}
				commands = append(commands, command(wire.CmdSetKey, &wire.SetKey{
					Service: wire.ServiceID(pick("s", 5)), Hash: key, Name: wire.KeyName(rng.IntN(3))}))
			default:
				commands = append(commands, directoryOp(wire.DirectoryOpKind(1+rng.IntN(3)),
					pick("c", 30), regions[rng.IntN(4)], wire.Epoch(rng.IntN(3)), rng.IntN(2) == 0))
			}
		}
		log = append(log, entryOf(i, commands...))
	}
	return log
}

// cut cuts a log into batches at random places.
func cut(rng *rand.Rand, log []wire.LogEntry) [][]wire.LogEntry {
	var batches [][]wire.LogEntry
	for len(log) > 0 {
		n := min(len(log), 1+rng.IntN(12))
		batches, log = append(batches, log[:n]), log[n:]
	}
	return batches
}

// outcome is all that a replica may not differ in.
type outcome struct {
	results  []any
	index    uint64
	digest   [32]byte
	values   map[string]string
	position wire.Position
}

func outcomeOf(t *testing.T, s *State, results []any) outcome {
	_, values := rowsOf(t, s)
	index, digest := s.Digest()
	return outcome{results, index, digest, values, s.Position()}
}

// TestReplay applies one log in other batches, with restarts, and by way of a snapshot. Results,
// rows and digest are always the same.
func TestReplay(t *testing.T) {
	for seed := range uint64(8) {
		rng := rand.New(rand.NewPCG(seed, 9))
		log := randomLog(rng, 150)
		var want outcome
		for round := range 5 {
			fs := vfs.NewMem()
			s := mustOpen(t, fs)
			var results []any
			for i, batch := range cut(rng, log) {
				r, err := s.Apply(batch)
				if err != nil {
					t.Fatal(err)
				}
				results = append(results, r...)
				if round >= 2 && rng.IntN(8) == 0 {
					s = restart(t, s, fs)
				}
				if round >= 3 && i%10 == 5 {
					s = transplant(t, s)
					fs = s.cfg.Store.FS.(*vfs.MemFS)
				}
			}
			got := outcomeOf(t, s, results)
			if round == 0 {
				want = got
			}
			if !reflect.DeepEqual(got, want) {
				t.Fatalf("seed %d, round %d: got %+v, want %+v", seed, round, got, want)
			}
			if err := s.Close(); err != nil {
				t.Fatal(err)
			}
		}
	}
}

func restart(t *testing.T, s *State, fs vfs.FS) *State {
	t.Helper()
	before := s.Position()
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s = mustOpen(t, fs)
	if !reflect.DeepEqual(s.Position(), before) {
		t.Fatalf("position %+v after a restart, want %+v", s.Position(), before)
	}
	return s
}

// transplant moves the state to a fresh replica by checkpoint and installation.
func transplant(t *testing.T, s *State) *State {
	t.Helper()
	to := mustOpen(t, vfs.NewMem())
	stream, _, at, err := s.Checkpoint()
	if err != nil {
		t.Fatal(err)
	}
	w, err := to.Stage()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.Copy(w, stream); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	if err := stream.Close(); err != nil {
		t.Fatal(err)
	}
	_, wait := to.Feed(0)
	if err := to.Install(at); err != nil {
		t.Fatal(err)
	}
	<-wait
	if frame, _ := to.Feed(0); !frame.Reset || frame.Index != at.Index {
		t.Fatalf("the feed of an installed replica: %+v", frame)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	return to
}

// TestCrash cuts the power before random writes. What Apply returned from is there.
func TestCrash(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	mem := vfs.NewCrashableMem()
	type crash struct {
		fs      *vfs.MemFS
		applied int
	}
	var crashes []crash
	var mu sync.Mutex
	applied := 0
	fs := errorfs.Wrap(mem, errorfs.InjectorFunc(func(op errorfs.Op) error {
		mu.Lock()
		defer mu.Unlock()
		if op.Kind.ReadOrWrite() == errorfs.OpIsWrite && rng.IntN(10) == 0 && applied > 0 {
			crashes = append(crashes, crash{applied: applied, fs: mem.CrashClone(
				vfs.CrashCloneCfg{UnsyncedDataPercent: 50 * rng.IntN(2), RNG: rng})})
		}
		return nil
	}))
	log := randomLog(rand.New(rand.NewPCG(3, 4)), 400)
	reference := mustOpen(t, vfs.NewMem())
	defer reference.Close()
	digests := map[uint64][32]byte{}
	s := mustOpen(t, fs)
	for i := range log {
		if _, err := reference.Apply(log[i : i+1]); err != nil {
			t.Fatal(err)
		}
		index, digest := reference.Digest()
		digests[index] = digest
		if _, err := s.Apply(log[i : i+1]); err != nil {
			t.Fatal(err)
		}
		mu.Lock()
		applied = i + 1
		mu.Unlock()
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if len(crashes) < 50 {
		t.Fatalf("only %d crashes", len(crashes))
	}
	for _, c := range crashes {
		s := mustOpen(t, c.fs)
		index, digest := s.Digest()
		if acked := log[c.applied-1].Index; index < acked {
			t.Errorf("index %d after a crash, %d was acknowledged", index, acked)
		}
		if digest != digests[index] {
			t.Errorf("another digest at index %d after a crash", index)
		}
		for i := range log { // the rest of the log brings it to the same end
			if log[i].Index > index {
				if _, err := s.Apply(log[i:]); err != nil {
					t.Fatal(err)
				}
				break
			}
		}
		if last, digest := s.Digest(); digest != digests[last] || last != log[len(log)-1].Index {
			t.Errorf("replay after a crash ends at %d with another digest", last)
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

// TestStops gives a replica entries that it must not skip: it applies nothing of the batch.
func TestStops(t *testing.T) {
	s := mustOpen(t, vfs.NewMem())
	defer s.Close()
	succeed(t, s, command(wire.CmdFound, testMap("lazio")))
	wantIndex, wantDigest := s.Digest()
	many := wire.Commands{List: make([]wire.Command, wire.CommandsMax+1)}
	for i := range many.List {
		many.List[i].Kind = wire.CmdDirectory
	}
	good := entryOf(2, directoryOp(wire.OpClaim, "anna", "lazio", 1, false))
	for name, bad := range map[string]wire.LogEntry{
		"no entry": {Index: 3, Term: 1, Data: []byte("hello")},
		"empty":    {Index: 3, Term: 1},
		"altered":  {Index: 3, Term: 1, Data: append(bytes.Clone(good.Data), 1)},
		"block":    {Index: 3, Term: 1, Data: wire.EncodeEntry(wire.BlockEntry, 5, []byte("x"))},
		"no commands": {Index: 3, Term: 1,
			Data: wire.EncodeEntry(wire.CommandsEntry, 5, []byte{1})},
		"a region's":        entryOf(3, command(wire.CmdExpire, &wire.Expire{})),
		"a later version's": entryOf(3, wire.Command{Kind: wire.CmdDirectory + 1}),
		"too many":          entryOf(3, many.List...),
		"earlier":           entryOf(2, directoryOp(wire.OpClaim, "anna", "lazio", 1, false)),
	} {
		if _, err := s.Apply([]wire.LogEntry{good, bad}); err == nil {
			t.Errorf("%s: applied", name)
		}
		if index, digest := s.Digest(); index != wantIndex || digest != wantDigest {
			t.Fatalf("%s: the state changed", name)
		}
	}
	if e, err := s.Directory(recipientOf("anna")); err != nil || e.State != wire.Unclaimed {
		t.Errorf("the good entry before a bad one was applied: %+v, %v", e, err)
	}
}

// TestBadBody: a command that cannot be decoded fails alone.
func TestBadBody(t *testing.T) {
	s := mustOpen(t, vfs.NewMem())
	defer s.Close()
	results := apply(t, s, command(wire.CmdFound, testMap("lazio")),
		wire.Command{Kind: wire.CmdPutService, Body: []byte{0xff}},
		directoryOp(wire.OpClaim, "anna", "lazio", 1, false),
		directoryOp(9, "anna", "lazio", 1, false))
	want := []wire.Code{0, wire.Malformed, 0, wire.UnknownKind}
	for i, r := range results {
		var got wire.Code
		if r.Err != nil {
			got = r.Err.Code
		}
		if got != want[i] {
			t.Errorf("command %d: got %v, want %v", i, r.Err, want[i])
		}
	}
}

// TestTime: the state's time never goes back.
func TestTime(t *testing.T) {
	s := mustOpen(t, vfs.NewMem())
	defer s.Close()
	for i, at := range []wire.Time{50, 70, 60, 80} {
		e := wire.LogEntry{Index: uint64(i + 1), Term: 1,
			Data: wire.EncodeEntry(wire.CommandsEntry, at, nil)}
		if _, err := s.Apply([]wire.LogEntry{e}); err != nil {
			t.Fatal(err)
		}
		tx := s.begin()
		if want := []wire.Time{50, 70, 70, 80}[i]; tx.now != want {
			t.Errorf("time %d after an entry of %d, want %d", tx.now, at, want)
		}
		tx.batch.Close()
	}
}

// FuzzApply gives two replicas arbitrary entries. Neither may panic, and they must agree.
func FuzzApply(f *testing.F) {
	seedLog := randomLog(rand.New(rand.NewPCG(8, 8)), 30)
	for _, e := range seedLog {
		if !e.Configuration && len(e.Data) > wire.EntryHeader {
			f.Add(e.Data[wire.EntryHeader:], int64(7))
		}
	}
	f.Fuzz(func(t *testing.T, body []byte, at int64) {
		entry := wire.LogEntry{Index: 2, Term: 1,
			Data: wire.EncodeEntry(wire.CommandsEntry, wire.Time(at), body)}
		var outcomes [2]outcome
		var errs [2]error
		for i := range outcomes {
			s := mustOpen(t, vfs.NewMem())
			succeed(t, s, command(wire.CmdFound, testMap("lazio", "lombardia", "sicilia")))
			var results []any
			results, errs[i] = s.Apply([]wire.LogEntry{entry})
			outcomes[i] = outcomeOf(t, s, results)
			if err := s.Close(); err != nil {
				t.Fatal(err)
			}
		}
		if (errs[0] == nil) != (errs[1] == nil) || !reflect.DeepEqual(outcomes[0], outcomes[1]) {
			t.Fatalf("replicas differ: %v, %v", errs[0], errs[1])
		}
	})
}
