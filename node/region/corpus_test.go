package region

import (
	"encoding/hex"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/staffetta/staffetta/internal/corpus"
	"github.com/staffetta/staffetta/wire"
)

// The corpus holds a log of each version of the program, as that version wrote it. A replica of
// another version, a backup, or a log that is replayed after an upgrade depends on its entries
// doing what they did. `go test ./node/region -run TestCorpus -write-corpus` writes the log of the
// newest version where it is missing, and never one that is there: delete it by hand while the
// version was not released, and no older one ever. Logs called run were recorded in a federation
// under way, see testcluster/virtual.
const corpusDir = "testdata/corpus"

// corpora are the writers of the logs.
var corpora = map[string]func(*writer){"v1": (*writer).version1, "v2": (*writer).version2,
	"v2-restored": (*writer).version2Restored,
	"v3-owners":   (*writer).version3Owners}

// writer writes a log.
type writer struct {
	*fixture
	rng   *rand.Rand
	steps []corpus.Step
}

// add applies an entry and notes what it did.
func (c *writer) add(e wire.LogEntry) any {
	c.t.Helper()
	result := c.apply(e)[0]
	_, sum := c.Digest()
	c.steps = append(c.steps, corpus.NewStep(e, sum, result))
	return result
}

// corpusFixture is a state of the region whose log it is: <version>-run-<region>, or lazio's; of
// <version>-restored it was restored.
func corpusFixture(t *testing.T, name string) *fixture {
	region := wire.RegionID("lazio")
	if _, of, ok := strings.Cut(name, "-run-"); ok {
		region = wire.RegionID(of)
	}
	cfg := testConfig(vfs.NewMem(), region, newCoder(t))
	if strings.HasSuffix(name, "-restored") {
		cfg.Store.Identity.Incarnation = 1
	}
	return openFixture(t, cfg)
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
	for _, k := range corpusKinds {
		if seen[k] == 0 {
			t.Errorf("no command of kind %d in any log", k)
		}
	}
}

func replay(t *testing.T, name string, steps []corpus.Step) {
	f := corpusFixture(t, name)
	var entries []wire.LogEntry
	for _, s := range steps {
		result := f.apply(s.Entry)[0]
		_, sum := f.Digest()
		if got := corpus.NewStep(s.Entry, sum, result); got.Digest != s.Digest ||
			got.Result != s.Result {
			t.Fatalf("entry %d: digest %.16s and results %s, they were %.16s and %s",
				s.Entry.Index, got.Digest, got.Result, s.Digest, s.Result)
		}
		entries = append(entries, s.Entry)
	}
	rng := rand.New(rand.NewPCG(5, uint64(len(steps))))
	again := corpusFixture(t, name)
	for rest := entries; len(rest) > 0; {
		n := min(1+rng.IntN(9), len(rest))
		again.apply(rest[:n]...)
		if rest = rest[n:]; rng.IntN(4) == 0 {
			again.restart()
		}
	}
	if _, sum := again.Digest(); hex.EncodeToString(sum[:]) != steps[len(steps)-1].Digest {
		t.Error("in batches the digest is another one")
	}
	if diff := diffRows(again.rows(), f.rows()); diff != "" {
		t.Errorf("in batches: %s", diff)
	}
}

// recordCorpus writes a log unless there is one.
func recordCorpus(t *testing.T, name string, play func(*writer)) {
	c := &writer{fixture: corpusFixture(t, name), rng: rand.New(rand.NewPCG(2026, 1))}
	play(c)
	written, err := corpus.Write(filepath.Join(corpusDir, name+".log"), c.steps)
	if err != nil {
		t.Fatal(err)
	}
	if !written {
		t.Logf("%s is there and stays as it is", name)
	}
}

// TestStateAppliesItsKinds: the state applies the kinds that the table has for regions, and stops at
// any other.
func TestStateAppliesItsKinds(t *testing.T) {
	for n := range 256 {
		k := wire.CommandKind(n)
		f := newFixture(t, "lazio")
		body := wire.Encode(&wire.Commands{List: []wire.Command{{Kind: k, Body: []byte{0xff}}}})
		_, err := f.Apply([]wire.LogEntry{f.entry(wire.CommandsEntry, body)})
		if applied := err == nil; applied != slices.Contains(corpusKinds, k) {
			t.Errorf("command kind %d: applied: %t, in the table: %t", k, applied, !applied)
		}
	}
}
