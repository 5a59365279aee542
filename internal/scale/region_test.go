package scale

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/staffetta/staffetta/internal/store"
	"github.com/staffetta/staffetta/node/federation"
	"github.com/staffetta/staffetta/node/region"
	"github.com/staffetta/staffetta/wire"
)

func openRegion(t *testing.T) func(dir string) (RegionState, error) {
	coder, err := wire.NewCoder(1)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(coder.Close)
	return func(dir string) (RegionState, error) {
		s, err := region.Open(region.Config{Region: Region, Hasher: wire.NewHasher(Key),
			Coder: coder, Store: storeAt(dir)})
		if err != nil {
			return nil, err
		}
		return s, nil
	}
}

func openDirectory(dir string) (DirectoryState, error) {
	s, err := federation.Open(federation.Config{Hasher: wire.NewHasher(Key), Store: storeAt(dir)})
	if err != nil {
		return nil, err
	}
	return s, nil
}

func storeAt(dir string) store.Config {
	return store.Config{Dir: dir, MemTableBytes: 1 << 20,
		Identity: store.Identity{Federation: Federation}}
}

// stopping is Progress that ends a run at the line that has a word.
type stopping struct {
	bytes.Buffer
	at   string
	stop context.CancelFunc
}

func (s *stopping) Write(p []byte) (int, error) {
	if s.at != "" && strings.Contains(string(p), s.at) {
		s.stop()
	}
	return s.Buffer.Write(p)
}

func smallRegion(t *testing.T) RegionConfig {
	open := openRegion(t)
	return RegionConfig{Open: open, KeyedPercent: 50, ReadFor: 300 * time.Millisecond,
		TailBytes: 1 << 20, Config: Config{Dir: filepath.Join(t.TempDir(), "run"), Scale: 0.0003,
			Seed: 7, quiet: 8 * time.Millisecond, Fresh: func(_ context.Context, what, dir string) ([]byte, error) {
				if what != ColdRegion {
					t.Errorf("%s measured from a cold start", what)
				}
				c, err := MeasureRegion(dir, open)
				if err != nil {
					return nil, err
				}
				return json.Marshal(c)
			}}}
}

// TestRegion makes a small run that is interrupted in each of its phases, and goes on each time:
// what was measured stays, and the state ends as that of a run in one go.
func TestRegion(t *testing.T) {
	cfg := smallRegion(t)
	var kept []*Step
	for _, at := range []string{"reference: registry", "reference: messages", "full: registry",
		"full: messages", "full: what a snapshot", "reads a second"} {
		ctx, cancel := context.WithCancel(t.Context())
		cfg.Progress = &stopping{at: at, stop: cancel}
		r, err := RunRegion(ctx, cfg)
		cancel()
		if !errors.Is(err, context.Canceled) || r.Complete {
			t.Fatalf("interrupted at %q: %v, complete %v", at, err, r.Complete)
		}
		for i, s := range kept {
			if *s != *r.Reference.Steps[i] {
				t.Fatalf("step %d was measured again", i)
			}
		}
		kept = r.Reference.Steps
	}
	said := new(bytes.Buffer)
	cfg.Progress = said
	r, err := RunRegion(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	checkRegion(t, r)
	if strings.Contains(said.String(), "registry") {
		t.Errorf("the last part of the run filled the registry again:\n%s", said)
	}
	// Complete: nothing is measured any more.
	said.Reset()
	again, err := RunRegion(t.Context(), cfg)
	if err != nil || said.Len() > 0 || again.RateRatio != r.RateRatio {
		t.Errorf("a complete run: %v, said %q", err, said)
	}
	cfg.Seed++
	if _, err := RunRegion(t.Context(), cfg); err == nil || !strings.Contains(err.Error(), "seed 7") {
		t.Errorf("another seed in the same directory: %v", err)
	}
}

// checkRegion: everything that the report promises is there, and agrees with itself.
func checkRegion(t *testing.T, r *RegionReport) {
	t.Helper()
	for _, p := range r.parts() {
		citizens, messages := 0, 0
		for _, s := range p.Steps {
			if s.Units == 0 && s.Entries > 1 || s.ApplySeconds <= 0 || s.CPUMicros <= 0 ||
				s.LogBytes <= 0 || s.RSSPeakBytes == 0 {
				t.Errorf("%s: step %+v", p.name, s)
			}
			if s.Kind == registryStep {
				citizens += s.Units
			} else {
				messages += s.Units
			}
		}
		if citizens != p.Citizens || messages < p.Messages || messages > p.Messages+128 {
			t.Errorf("%s: %d citizens and %d messages, want %d and %d", p.name, citizens, messages,
				p.Citizens, p.Messages)
		}
		if s := p.Snapshot; s == nil || s.FlushMillis <= 0 || s.FlushBytes <= 0 ||
			s.CheckpointBytes <= 0 || s.StreamBytes < int64(400*messages) {
			t.Errorf("%s: snapshot %+v", p.name, p.Snapshot)
		}
		if c := p.Cold; c == nil || c.OpenMillis <= 0 || c.ReplayEntries == 0 || c.RSSBytes == 0 {
			t.Errorf("%s: cold start %+v", p.name, p.Cold)
		}
	}
	if v := r.Reads; v == nil || v.List.Count == 0 || v.Read.Count < 8*v.List.Count ||
		v.Writes <= 0 || v.List.P99 < v.List.P50 {
		t.Errorf("reads %+v", r.Reads)
	}
	if !r.Complete || r.RateRatio <= 0 || r.CPURatio <= 0 || r.SnapshotRatio <= 0 ||
		r.BytesPerMessage < 200 || r.BytesPerMessage > 2000 || r.BytesPerCitizen <= 0 {
		t.Errorf("report %+v", r)
	}
	var text bytes.Buffer
	if err := r.Write(&text); err != nil || !strings.Contains(text.String(), "cold start") {
		t.Errorf("as text (%v):\n%s", err, &text)
	}
}

// TestRegionRows: an interrupted run leaves the same rows as one that was not, ids and what is
// random in blocks apart: as many inbox rows for each citizen, the same profiles.
func TestRegionRows(t *testing.T) {
	cfg := smallRegion(t)
	if err := cfg.complete(); err != nil {
		t.Fatal(err)
	}
	log, err := newRegionLog(&cfg, 300, 512)
	if err != nil {
		t.Fatal(err)
	}
	defer log.close()
	end := log.registered() + 4
	var inboxes [2][]int
	for i, restarts := range []bool{false, true} {
		dir := t.TempDir()
		state, err := cfg.Open(dir)
		if err != nil {
			t.Fatal(err)
		}
		for index := state.Position().Index + 1; index <= end; index++ {
			e, _ := log.entry(index)
			results, err := state.Apply([]wire.LogEntry{e})
			if err == nil {
				_, err = judge(results)
			}
			if err != nil {
				t.Fatal(err)
			}
			if restarts {
				if err := state.Close(); err != nil {
					t.Fatal(err)
				}
				if state, err = cfg.Open(dir); err != nil {
					t.Fatal(err)
				}
			}
		}
		for n := range 300 {
			page, err := state.ListInbox(wire.ListInbox{Token: log.citizens.token(n), Size: 100},
				timeOf(end))
			if err != nil || page.FiscalCode != log.citizens.code(n) {
				t.Fatalf("citizen %d: %v", n, err)
			}
			inboxes[i] = append(inboxes[i], len(page.Items))
		}
		if err := state.Close(); err != nil {
			t.Fatal(err)
		}
	}
	total := 0
	for n := range inboxes[0] {
		if inboxes[0][n] != inboxes[1][n] {
			t.Errorf("citizen %d has %d messages, after restarts %d", n, inboxes[0][n], inboxes[1][n])
		}
		total += inboxes[0][n]
	}
	if total < 480 || total > 512 { // some services are not wanted
		t.Errorf("%d messages in all inboxes, 512 were sent", total)
	}
}

// TestJudge: an answer that is no verdict ends a run, since the state is not what it should be.
func TestJudge(t *testing.T) {
	rejected := wire.Outcome{Kind: wire.Decided, Verdict: wire.Verdict{Status: wire.Rejected}}
	if n, err := judge([]any{&wire.Outcomes{List: []wire.Outcome{rejected}},
		&wire.Results{List: make([]wire.Result, 2)}}); err != nil || n != 1 {
		t.Errorf("good answers: %d rejected, %v", n, err)
	}
	for _, bad := range []any{nil, &wire.Outcomes{List: []wire.Outcome{{Kind: wire.NotOwner}}},
		&wire.Results{List: []wire.Result{wire.Fail(wire.Malformedf("no"))}}} {
		if _, err := judge([]any{bad}); err == nil {
			t.Errorf("%+v passes for an answer", bad)
		}
	}
}

// TestCitizens: numbers are different people, of valid form.
func TestCitizens(t *testing.T) {
	c := newCitizens(10, 10)
	seen := map[string]int{}
	for i := range 200_000 {
		n := i * 133
		code := c.code(n)
		if !code.Valid() {
			t.Fatalf("citizen %d has an invalid code", n)
		}
		if other, ok := seen[string(code)]; ok {
			t.Fatalf("citizens %d and %d are one", other, n)
		}
		seen[string(code)] = n
	}
	if limit := uint64(ScaleMax * RegionCitizens); limit > births {
		t.Errorf("%d citizens at most, %d births", limit, births)
	}
}

// TestRoom: a run that does not fit is refused, with what is missing.
func TestRoom(t *testing.T) {
	err := room(t.TempDir(), 1<<62, 0)
	if err == nil || !strings.Contains(err.Error(), "GB more") {
		t.Errorf("an exabyte: %v", err)
	}
	if err := room(t.TempDir(), 1<<62, 1<<62); err != nil {
		t.Errorf("a run that has all it needs: %v", err)
	}
}

// TestRefusedConfigurations names what is wrong, all of it.
func TestRefusedConfigurations(t *testing.T) {
	_, err := RunRegion(t.Context(), RegionConfig{Config: Config{Scale: 3}, KeyedPercent: -1,
		ReadFor: time.Hour})
	for _, want := range []string{"no directory", "scale 3", "cold start", "no state", "-1 percent",
		"reading for", "a tail of 0"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v, want one that says %q", err, want)
		}
	}
	if _, err := RunDirectory(t.Context(), DirectoryConfig{}); err == nil {
		t.Error("a directory's run without anything is accepted")
	}
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, reportFile), []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	cfg := smallRegion(t)
	cfg.Dir = dir
	if _, err := RunRegion(t.Context(), cfg); err == nil {
		t.Error("a damaged report is accepted")
	}
}
