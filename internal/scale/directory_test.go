package scale

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"math/rand/v2"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/staffetta/staffetta/wire"
)

// TestDirectory makes a small run that is interrupted in the middle, and goes on.
func TestDirectory(t *testing.T) {
	cfg := DirectoryConfig{Open: openDirectory, Config: Config{Scale: 0.0005,
		Dir: filepath.Join(t.TempDir(), "run"), Seed: 3, quiet: 8 * time.Millisecond,
		Fresh: func(_ context.Context, what, dir string) ([]byte, error) {
			c, err := MeasureDirectory(dir, openDirectory)
			if err != nil || what != ColdDirectory {
				return nil, errors.Join(err, errors.New(what))
			}
			return json.Marshal(c)
		}}}
	ctx, cancel := context.WithCancel(t.Context())
	cfg.Progress = &stopping{at: "directory 12288,", stop: cancel}
	first, err := RunDirectory(ctx, cfg)
	if !errors.Is(err, context.Canceled) || len(first.Steps) != 3 {
		t.Fatalf("interrupted: %v, %d steps", err, len(first.Steps))
	}
	cfg.Progress = nil
	r, err := RunDirectory(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	if *r.Steps[2] != *first.Steps[2] {
		t.Error("a step was measured again")
	}
	codes := 0
	for _, s := range r.Steps {
		codes += s.Units
		if s.Total != codes || s.ApplySeconds <= 0 || s.CPUMicros <= 0 || s.WrittenBytes <= 0 {
			t.Errorf("step %+v after %d codes", s, codes)
		}
	}
	if codes != 30_000 || r.Entries != codes {
		t.Errorf("%d codes in steps, %d in all, want 30000", codes, r.Entries)
	}
	l := r.Cold.LookUps
	if !r.Complete || l == nil || l.Known.Count != lookUpCount || l.Unknown.P99 <= 0 || l.CPUMicros <= 0 ||
		r.BytesPerEntry < 10 || r.RateRatio <= 0 {
		t.Errorf("report %+v, cold %+v", r, r.Cold)
	}
	var text bytes.Buffer
	if err := r.Write(&text); err != nil || !strings.Contains(text.String(), "a quarter unknown") {
		t.Errorf("as text (%v):\n%s", err, &text)
	}
}

// TestLookUpsAreHeldAgainstTheState: a directory that lost a code is not measured.
func TestLookUpsAreHeldAgainstTheState(t *testing.T) {
	state, err := openDirectory(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	defer state.Close()
	log := directoryLog{codes: 100}
	for index := uint64(1); index <= log.last(); index++ {
		e, _ := log.entry(index)
		if _, err := state.Apply([]wire.LogEntry{e}); err != nil {
			t.Fatal(err)
		}
	}
	l := &lookUps{state: state, rng: rand.New(rand.NewPCG(1, 1)), entries: 100}
	if _, err := l.measure(3, true); err != nil {
		t.Fatal(err)
	}
	l.entries = 200
	if _, err := l.measure(3, false); err == nil {
		t.Error("codes that nobody claimed pass for known ones")
	}
}
