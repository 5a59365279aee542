package federation

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/staffetta/staffetta/internal/codec"
	"github.com/staffetta/staffetta/wire"
)

var writeCorpus = flag.Bool("write-corpus", false, "write the logs of the corpus that are missing")

// The corpus is one log for each version of the program, as that version wrote it, with the
// digest and the results that it had after every entry: see node/region's. A line is
//
//	e <index> <term> <entry, base64> <digest after it, hex> <hash of the results, hex>
//
// with c in place of e for a membership. `go test -run TestCorpus -write-corpus` writes the logs
// that are missing and never one that is there.
const corpusDir = "testdata/corpus"

// corpora are the writers of the logs, by the version whose kinds they use, which are listed.
var corpora = map[int]struct {
	play  func(*corpus)
	kinds []wire.CommandKind
}{
	1: {(*corpus).version1, []wire.CommandKind{wire.CmdFound, wire.CmdPutInstitution,
		wire.CmdPutService, wire.CmdSetKey, wire.CmdDirectory}},
}

// corpus writes a log.
type corpus struct {
	t     *testing.T
	s     *State
	rng   *rand.Rand
	lines bytes.Buffer
}

func corpusFile(version int) string {
	return filepath.Join(corpusDir, "v"+strconv.Itoa(version)+".log")
}

// resultHash stands for what an entry answered. The texts of errors may change.
func resultHash(result any) string {
	h := sha256.New()
	if r, ok := result.(*wire.Results); ok {
		for _, one := range r.List {
			if one.Err != nil {
				fmt.Fprintf(h, "refused %d;", one.Err.Code)
			} else {
				fmt.Fprintf(h, "%x;", one.Body)
			}
		}
	}
	return hex.EncodeToString(h.Sum(nil)[:8])
}

// add applies an entry and writes its line.
func (c *corpus) add(kind string, data []byte) {
	c.t.Helper()
	index := c.s.Position().Index + 1
	e := wire.LogEntry{Index: index, Term: 1 + index/40, Configuration: kind == "c", Data: data}
	results, err := c.s.Apply([]wire.LogEntry{e})
	if err != nil {
		c.t.Fatal(err)
	}
	_, sum := c.s.Digest()
	fmt.Fprintf(&c.lines, "%s %d %d %s %x %s\n", kind, e.Index, e.Term,
		base64.StdEncoding.EncodeToString(e.Data), sum, resultHash(results[0]))
}

// commands adds an entry, some seconds after the last one or a little before it.
func (c *corpus) commands(list ...wire.Command) {
	now := wire.Time(1_700_000_000_000 + 5_000*int64(c.s.Position().Index) - c.rng.Int64N(9_000))
	c.add("e", wire.EncodeEntry(wire.CommandsEntry, now, wire.Encode(&wire.Commands{List: list})))
}

func (c *corpus) command(kind wire.CommandKind, m codec.Message) { c.commands(command(kind, m)) }

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
	for version, of := range corpora {
		t.Run("version "+strconv.Itoa(version), func(t *testing.T) {
			if *writeCorpus {
				recordCorpus(t, version, of.play)
			}
			entries, digests, results := readCorpus(t, version)
			one := mustOpen(t, vfs.NewMem())
			defer one.Close()
			for i, e := range entries {
				r, err := one.Apply([]wire.LogEntry{e})
				if err != nil {
					t.Fatal(err)
				}
				_, sum := one.Digest()
				got := resultHash(r[0])
				if d := hex.EncodeToString(sum[:]); d != digests[i] || got != results[i] {
					t.Fatalf("entry %d: digest %s and results %s, version %d had %s and %s",
						e.Index, d[:16], got, version, digests[i][:16], results[i])
				}
			}
			rng, fs := rand.New(rand.NewPCG(5, uint64(version))), vfs.NewMem()
			again := mustOpen(t, fs)
			defer func() { again.Close() }()
			for rest := entries; len(rest) > 0; {
				n := min(1+rng.IntN(9), len(rest))
				if _, err := again.Apply(rest[:n]); err != nil {
					t.Fatal(err)
				}
				if rest = rest[n:]; rng.IntN(4) == 0 {
					again.Close()
					again = mustOpen(t, fs)
				}
			}
			_, sum := again.Digest()
			if got := hex.EncodeToString(sum[:]); got != digests[len(digests)-1] {
				t.Errorf("in batches: digest %s, want %s", got, digests[len(digests)-1])
			}
			checkKinds(t, entries, of.kinds)
		})
	}
}

// checkKinds fails when a version's log lacks a kind of command that the version brought.
func checkKinds(t *testing.T, entries []wire.LogEntry, kinds []wire.CommandKind) {
	seen := map[wire.CommandKind]bool{}
	for _, e := range entries {
		var list wire.Commands
		if entry, err := wire.DecodeEntry(e.Data); err == nil && !e.Configuration &&
			wire.Decode(entry.Body, &list) == nil {
			for _, c := range list.List {
				seen[c.Kind] = true
			}
		}
	}
	for _, k := range kinds {
		if !seen[k] {
			t.Errorf("no command of kind %d", k)
		}
	}
}

// recordCorpus writes the log of a version unless there is one.
func recordCorpus(t *testing.T, version int, play func(*corpus)) {
	name := corpusFile(version)
	if _, err := os.Stat(name); err == nil {
		t.Logf("%s is there and stays as it is", name)
		return
	}
	c := &corpus{t: t, s: mustOpen(t, vfs.NewMem()),
		rng: rand.New(rand.NewPCG(2026, uint64(version)))}
	defer c.s.Close()
	play(c)
	if err := os.MkdirAll(corpusDir, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(name, c.lines.Bytes(), 0o644); err != nil {
		t.Fatal(err)
	}
}
