package federation

import (
	"encoding/hex"
	"flag"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/staffetta/staffetta/internal/codec"
	"github.com/staffetta/staffetta/internal/corpus"
	"github.com/staffetta/staffetta/wire"
)

var writeCorpus = flag.Bool("write-corpus", false, "write the logs of the corpus that are missing")

// The corpus holds a log of each version of the program, as that version wrote it: see
// node/region's. `go test ./node/federation -run TestCorpus -write-corpus` writes the log of the
// newest version where it is missing, and never one that is there.
const corpusDir = "testdata/corpus"

// corpora are the writers of the logs.
var corpora = map[string]func(*writer){"v1": (*writer).version1, "v2": (*writer).version2,
	"v2-orders": (*writer).version2Orders, "v3-owners": (*writer).version3Owners}

// writer writes a log.
type writer struct {
	t     *testing.T
	s     *State
	rng   *rand.Rand
	steps []corpus.Step
}

// add applies an entry and notes what it did.
func (c *writer) add(kind string, data []byte) {
	c.t.Helper()
	index := c.s.Position().Index + 1
	e := wire.LogEntry{Index: index, Term: 1 + index/40, Configuration: kind == "c", Data: data}
	results, err := c.s.Apply([]wire.LogEntry{e})
	if err != nil {
		c.t.Fatal(err)
	}
	_, sum := c.s.Digest()
	c.steps = append(c.steps, corpus.NewStep(e, sum, results[0]))
}

// commands adds an entry, some seconds after the last one or a little before it.
func (c *writer) commands(list ...wire.Command) {
	now := wire.Time(1_700_000_000_000 + 5_000*int64(c.s.Position().Index) - c.rng.Int64N(9_000))
	c.add("e", wire.EncodeEntry(wire.CommandsEntry, now, wire.Encode(&wire.Commands{List: list})))
}

func (c *writer) command(kind wire.CommandKind, m codec.Message) { c.commands(command(kind, m)) }

// corpusState is a state of the federation whose log it is: italia, or that of a run; of
// <version>-…-restored it was restored.
func corpusState(t *testing.T, name string, fs vfs.FS) *State {
	cfg := testConfig(fs)
	if strings.Contains(name, "-run") {
		cfg.Store.Identity.Federation = "virtual"
	}
	if strings.HasSuffix(name, "-restored") {
		cfg.Store.Identity.Incarnation = 1
	}
	s, err := Open(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// TestCorpus replays every log and compares digests and results with those that were written down;
// and once more in batches, with restarts between them.
func TestCorpus(t *testing.T) {
	if *writeCorpus {
		for name, play := range corpora {
			recordCorpus(t, name, play)
		}
	}
	files, err := filepath.Glob(filepath.Join(corpusDir, "*.log"))
	if err != nil || len(files) < len(corpora) {
		t.Fatalf("%d logs, %v", len(files), err)
	}
	seen := map[wire.CommandKind]int{}
	for _, file := range files {
		name := strings.TrimSuffix(filepath.Base(file), ".log")
		t.Run(name, func(t *testing.T) {
			steps, err := corpus.Read(file)
			if err != nil {
				t.Fatal(err)
			}
			for k, n := range corpus.Kinds(steps) {
				seen[k] += n
			}
			replay(t, name, steps)
		})
	}
	for k := range kinds {
		if seen[k] == 0 {
			t.Errorf("no command of kind %d in any log", k)
		}
	}
	if seen[wire.CmdAudit] == 0 {
		t.Error("nothing audited in any log")
	}
}

func replay(t *testing.T, name string, steps []corpus.Step) {
	one := corpusState(t, name, vfs.NewMem())
	defer one.Close()
	var entries []wire.LogEntry
	for _, s := range steps {
		results, err := one.Apply([]wire.LogEntry{s.Entry})
		if err != nil {
			t.Fatal(err)
		}
		_, sum := one.Digest()
		if got := corpus.NewStep(s.Entry, sum, results[0]); got.Digest != s.Digest ||
			got.Result != s.Result {
			t.Fatalf("entry %d: digest %.16s and results %s, they were %.16s and %s",
				s.Entry.Index, got.Digest, got.Result, s.Digest, s.Result)
		}
		entries = append(entries, s.Entry)
	}
	rng, fs := rand.New(rand.NewPCG(5, uint64(len(steps)))), vfs.NewMem()
	again := corpusState(t, name, fs)
	defer func() { again.Close() }()
	for rest := entries; len(rest) > 0; {
		n := min(1+rng.IntN(9), len(rest))
		if _, err := again.Apply(rest[:n]); err != nil {
			t.Fatal(err)
		}
		if rest = rest[n:]; rng.IntN(4) == 0 {
			again.Close()
			again = corpusState(t, name, fs)
		}
	}
	if _, sum := again.Digest(); hex.EncodeToString(sum[:]) != steps[len(steps)-1].Digest {
		t.Error("in batches the digest is another one")
	}
}

// recordCorpus writes a log unless there is one.
func recordCorpus(t *testing.T, name string, play func(*writer)) {
	c := &writer{t: t, s: corpusState(t, name, vfs.NewMem()), rng: rand.New(rand.NewPCG(2026, 1))}
	defer c.s.Close()
	play(c)
	written, err := corpus.Write(filepath.Join(corpusDir, name+".log"), c.steps)
	if err != nil {
		t.Fatal(err)
	}
	if !written {
		t.Logf("%s is there and stays as it is", name)
	}
}

// kindsSince are the kinds that a version brought, in order.
func kindsSince(version uint32) (list []wire.CommandKind) {
	for k := range kinds {
		if k.Since() == version {
			list = append(list, k)
		}
	}
	slices.Sort(list)
	return list
}

// TestStateAppliesItsKinds: the state applies the kinds that the table has for the federation.
func TestStateAppliesItsKinds(t *testing.T) {
	for k, kind := range wire.CommandKinds() {
		applied := kinds[k] != nil || k == wire.CmdAudit // which holds one of them
		if want := kind.Group == wire.OfFederation; applied != want {
			t.Errorf("command kind %d: applied: %t, in the table: %t", k, applied, want)
		}
	}
	for k := range kinds {
		if k.Since() == 0 {
			t.Errorf("command kind %d is applied and not in the table", k)
		}
	}
}
