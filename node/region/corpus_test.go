package region

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/staffetta/staffetta/wire"
)

// The corpus is one log for each version of the program, as that version wrote it, with the
// digest and the results that it had after every entry. Replaying them is what shows that an old
// entry still does what it did: a replica of another version, a backup, or a log that is replayed
// after an upgrade depends on it. A line is
//
//	e <index> <term> <entry, base64> <digest after it, hex> <hash of the results, hex>
//
// with c in place of e for a membership. `go test -run TestCorpus -write-corpus` writes the logs
// that are missing and never one that is there: delete the newest by hand while its version was
// not released, and no older one ever.
const corpusDir = "testdata/corpus"

// corpusRegion is the region whose logs these are.
const corpusRegion wire.RegionID = "lazio"

// corpora are the writers of the logs, by the version whose kinds they use.
var corpora = map[int]func(*corpus){1: (*corpus).version1}

// corpus writes a log.
type corpus struct {
	*fixture
	rng   *rand.Rand
	lines bytes.Buffer
	named int // entries of the fixture that have lines
}

func corpusFile(version int) string {
	return filepath.Join(corpusDir, "v"+strconv.Itoa(version)+".log")
}

// resultHash stands for what an entry answered. The texts of errors may change.
func resultHash(result any) string {
	h := sha256.New()
	switch r := result.(type) {
	case *wire.Results:
		for _, one := range r.List {
			if one.Err != nil {
				fmt.Fprintf(h, "refused %d %s %d;", one.Err.Code, one.Err.Region, one.Err.Epoch)
			} else {
				fmt.Fprintf(h, "%x;", one.Body)
			}
		}
	case *wire.Outcomes:
		h.Write(wire.Encode(r))
	}
	return hex.EncodeToString(h.Sum(nil)[:8])
}

// add applies an entry and writes its line.
func (c *corpus) add(e wire.LogEntry) any {
	c.t.Helper()
	result := c.apply(e)[0]
	kind := "e"
	if e.Configuration {
		kind = "c"
	}
	_, sum := c.Digest()
	fmt.Fprintf(&c.lines, "%s %d %d %s %x %s\n", kind, e.Index, e.Term,
		base64.StdEncoding.EncodeToString(e.Data), sum, resultHash(result))
	return result
}

// readCorpus parses a log.
func readCorpus(t *testing.T, version int) (entries []wire.LogEntry, digests, results []string) {
	t.Helper()
	f, err := os.Open(corpusFile(version))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	lines := bufio.NewScanner(f)
	lines.Buffer(nil, 2*wire.EntryBytesMax)
	for lines.Scan() {
		part := strings.Fields(lines.Text())
		if len(part) != 6 {
			t.Fatalf("%s: line %q", f.Name(), lines.Text())
		}
		index, err1 := strconv.ParseUint(part[1], 10, 64)
		term, err2 := strconv.ParseUint(part[2], 10, 64)
		data, err3 := base64.StdEncoding.DecodeString(part[3])
		if err1 != nil || err2 != nil || err3 != nil {
			t.Fatalf("%s: line %q", f.Name(), lines.Text())
		}
		entries = append(entries, wire.LogEntry{Index: index, Term: term,
			Configuration: part[0] == "c", Data: data})
		digests, results = append(digests, part[4]), append(results, part[5])
	}
	if err := lines.Err(); err != nil || len(entries) == 0 {
		t.Fatalf("%s: %d entries, %v", f.Name(), len(entries), err)
	}
	return entries, digests, results
}

// TestCorpus replays every version's log and compares digests and results with those that were
// written down; and once more in batches, with restarts between them.
func TestCorpus(t *testing.T) {
	for version, play := range corpora {
		t.Run("version "+strconv.Itoa(version), func(t *testing.T) {
			if *writeCorpus {
				recordCorpus(t, version, play)
			}
			entries, digests, results := readCorpus(t, version)
			f := newFixture(t, corpusRegion)
			for i, e := range entries {
				got := resultHash(f.apply(e)[0])
				_, sum := f.Digest()
				if d := hex.EncodeToString(sum[:]); d != digests[i] || got != results[i] {
					t.Fatalf("entry %d: digest %s and results %s, version %d had %s and %s",
						e.Index, d[:16], got, version, digests[i][:16], results[i])
				}
			}
			rng := rand.New(rand.NewPCG(5, uint64(version)))
			again := openFixture(t, testConfig(vfs.NewMem(), corpusRegion, newCoder(t)))
			for rest := entries; len(rest) > 0; {
				n := min(1+rng.IntN(9), len(rest))
				again.apply(rest[:n]...)
				if rest = rest[n:]; rng.IntN(4) == 0 {
					again.restart()
				}
			}
			if diff := diffRows(again.rows(), f.rows()); diff != "" {
				t.Errorf("in batches: %s", diff)
			}
		})
	}
}

// recordCorpus writes the log of a version unless there is one.
func recordCorpus(t *testing.T, version int, play func(*corpus)) {
	name := corpusFile(version)
	if _, err := os.Stat(name); err == nil {
		t.Logf("%s is there and stays as it is", name)
		return
	}
	c := &corpus{fixture: newFixture(t, corpusRegion),
		rng: rand.New(rand.NewPCG(2026, uint64(version)))}
	play(c)
	if err := os.MkdirAll(corpusDir, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(name, c.lines.Bytes(), 0o644); err != nil {
		t.Fatal(err)
	}
}

// TestCorpusIsWhole fails when a version's log lacks a kind of command that the version brought.
func TestCorpusIsWhole(t *testing.T) {
	for version, kinds := range corpusKinds {
		entries, _, _ := readCorpus(t, version)
		seen := map[wire.CommandKind]int{}
		for _, e := range entries {
			if e.Configuration {
				continue
			}
			entry, err := wire.DecodeEntry(e.Data)
			if err != nil {
				t.Fatal(err)
			}
			var list wire.Commands
			if entry.Kind == wire.CommandsEntry && wire.Decode(entry.Body, &list) == nil {
				for _, c := range list.List {
					seen[c.Kind]++
				}
			}
		}
		for _, k := range kinds {
			if seen[k] == 0 {
				t.Errorf("version %d: no command of kind %d", version, k)
			}
		}
	}
}
