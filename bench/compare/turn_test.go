package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/staffetta/staffetta/bench/measure"
	"github.com/staffetta/staffetta/bench/system"
)

// fake is a system without processes of its own, which can fail in every way.
type fake struct {
	log *[]string // what is done to all systems

	name                                   string
	startErr, checkErr, stopErr, storedErr error
	failing                                string // the step that fails
	lost                                   int64  // messages acknowledged and not stored
	stored                                 int64
	seeds                                  []uint64
}

func (f *fake) did(what string) { *f.log = append(*f.log, f.name+" "+what) }

func (f *fake) Start(_ context.Context, dir string) error {
	f.did("start")
	if entries, err := os.ReadDir(dir); err != nil || len(entries) > 0 {
		return fmt.Errorf("not an empty directory: %v", err)
	}
	return f.startErr
}

func (f *fake) Servers() []system.Server {
	return []system.Server{{Name: "self", PID: os.Getpid(), Replica: true}}
}

func (f *fake) Check(context.Context) (map[string]string, error) {
	return map[string]string{"quorum": "none"}, f.checkErr
}

func (f *fake) Steps([]int) []system.Step {
	return []system.Step{{Name: "one", Mode: system.Single, Workers: 1, Batch: 1, Window: 1},
		{Name: "two", Mode: system.Single, Workers: 2, Batch: 1, Window: 1},
		{Name: "many", Mode: system.Batched, Workers: 1, Batch: 10, Window: 1}}
}

func (f *fake) Drive(_ context.Context, step system.Step, load system.Load) (*measure.Tally,
	error) {
	f.seeds = append(f.seeds, load.Seed)
	f.stored += 10
	if step.Name == f.failing {
		return nil, errors.New("refused")
	}
	return &measure.Tally{Messages: 10, Elapsed: load.Duration}, nil
}

func (f *fake) Stored(context.Context) (int64, error) { return f.stored - f.lost, f.storedErr }

func (f *fake) Stop() error {
	f.did("stop")
	return f.stopErr
}

// rounds runs fakes as systems; prepare changes one before it starts.
func rounds(t *testing.T, n int, names []string, prepare func(*fake)) (*runner, []*fake) {
	t.Helper()
	var log []string
	var made []*fake
	s := &settings{Systems: names, Concurrency: []int{1}, Rounds: n, Duration: time.Second,
		WarmUp: time.Second, Batched: true, jsonPath: filepath.Join(t.TempDir(), "json")}
	r := &runner{settings: s, dir: t.TempDir(), report: &report{Settings: s},
		progress: io.Discard}
	r.new = func(name string, _ system.Env) (system.System, error) {
		if name == "absent" {
			return nil, fmt.Errorf("absent: %w", system.ErrNotInstalled)
		}
		f := &fake{log: &log, name: name}
		if prepare != nil {
			prepare(f)
		}
		made = append(made, f)
		return f, nil
	}
	if err := r.rounds(t.Context()); err != nil {
		t.Fatal(err)
	}
	if n := len(log); n != 2*len(made) {
		t.Errorf("%d systems were made, and this was done: %v", len(made), log)
	}
	for i := 0; i+1 < len(log); i += 2 { // never two at a time
		if log[i] != made[i/2].name+" start" || log[i+1] != made[i/2].name+" stop" {
			t.Errorf("systems overlap: %v", log)
		}
	}
	if left, _ := os.ReadDir(r.dir); len(left) > 0 {
		t.Errorf("%d directories are left", len(left))
	}
	return r, made
}

func TestRounds(t *testing.T) {
	r, made := rounds(t, 3, []string{"a", "b", "absent"}, nil)
	var turns []string
	for _, f := range made {
		turns = append(turns, f.name)
	}
	if want := []string{"a", "b", "b", "a", "a", "b"}; !slices.Equal(turns, want) {
		t.Errorf("turns of %v, want %v", turns, want)
	}
	if len(r.report.Failures) != 0 || len(r.report.Skipped) != 1 {
		t.Errorf("failures %v, skipped %v", r.report.Failures, r.report.Skipped)
	}
	for _, s := range r.report.Systems {
		if len(s.Steps) != 3 || len(s.Steps[0].Values) != 3 || s.Facts["quorum"] != "none" {
			t.Errorf("%s: %+v", s.Name, s)
		}
	}
	// Two systems of one round send the same messages, and never the same twice.
	if !slices.Equal(made[0].seeds, made[1].seeds) {
		t.Errorf("seeds %v and %v", made[0].seeds, made[1].seeds)
	}
	all := slices.Concat(made[0].seeds, made[2].seeds, made[4].seeds)
	slices.Sort(all)
	if n := len(slices.Compact(slices.Clone(all))); n != 18 {
		t.Errorf("%d different seeds of 18", n)
	}
	if _, err := os.Stat(r.settings.jsonPath); err != nil {
		t.Error(err)
	}
}

func TestTurnFails(t *testing.T) {
	broken := errors.New("broken")
	for name, c := range map[string]struct {
		prepare func(*fake)
		want    string
	}{
		"start":  {func(f *fake) { f.startErr = broken }, "start: broken"},
		"check":  {func(f *fake) { f.checkErr = broken }, "check: broken"},
		"stored": {func(f *fake) { f.storedErr = broken }, "behind the steps: broken"},
		"lost":   {func(f *fake) { f.lost = 1 }, "60 messages were acknowledged and 59 are"},
		"more":   {func(f *fake) { f.lost = -1 }, "60 messages were acknowledged and 61 are"},
		"stop":   {func(f *fake) { f.stopErr = broken }, "stop: broken"},
	} {
		r, _ := rounds(t, 1, []string{"a"}, c.prepare)
		if len(r.report.Failures) != 1 || !strings.Contains(r.report.Failures[0], c.want) {
			t.Errorf("%s: failures %v, want %q", name, r.report.Failures, c.want)
		}
		if s := r.report.find("a"); s != nil && len(s.Steps) > 0 {
			t.Errorf("%s: %d steps are reported", name, len(s.Steps))
		}
	}
}

// The other steps' figures stay; what the failed one left behind is not taken for an error.
func TestStepFails(t *testing.T) {
	r, _ := rounds(t, 1, []string{"a"}, func(f *fake) { f.failing = "two" })
	if len(r.report.Failures) != 1 || !strings.Contains(r.report.Failures[0], "a: two: warm-up") {
		t.Errorf("failures %v", r.report.Failures)
	}
	if s := r.report.find("a"); s == nil || len(s.Steps) != 2 {
		t.Errorf("the report is %+v", s)
	}
	r, _ = rounds(t, 1, []string{"a"}, func(f *fake) { f.failing, f.lost = "two", 11 })
	if len(r.report.Failures) != 2 {
		t.Errorf("a loss beside the failed step is not seen: %v", r.report.Failures)
	}
}

func TestEnoughSyncs(t *testing.T) {
	for _, counts := range [][]int64{{200, 200, 200}, {200, 100, 100}, {900, 0, 200},
		{200, 141, 166}} {
		if err := enoughSyncs(counts, 200); err != nil {
			t.Errorf("%v: %v", counts, err)
		}
	}
	for _, counts := range [][]int64{{0, 0, 0}, {900, 3, 2}, {900, 100, 99}, {200, 200},
		{199, 0, 999}} {
		if enoughSyncs(counts, 200) == nil {
			t.Errorf("%v pass for 200 messages", counts)
		}
	}
}
