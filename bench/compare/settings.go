package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/staffetta/staffetta/bench/system"
)

// Bounds of the settings.
const (
	roundsMax = 20
	// concurrencyMax bounds processes of PostgreSQL: one for each connection.
	concurrencyMax = 1024
	durationMin    = 200 * time.Millisecond
	durationMax    = 10 * time.Minute
	citizensMax    = 1_000_000
	procsMax       = 1024
	// settleMax bounds the wait for the writes that follow a step.
	settleMax = 20 * time.Second
)

// settings are what a run is asked for. Their JSON is part of the report.
type settings struct {
	Systems     []string      `json:"systems"`
	Concurrency []int         `json:"concurrency"`
	Rounds      int           `json:"rounds"`
	Duration    time.Duration `json:"duration_ns"`
	WarmUp      time.Duration `json:"warm_up_ns"`
	Settle      time.Duration `json:"settle_ns"`
	Citizens    int           `json:"citizens"`
	Seed        uint64        `json:"seed"`
	Procs       int           `json:"procs"`
	Batched     bool          `json:"batched"`
	Trace       bool          `json:"trace"`

	dir      string
	jsonPath string
}

func parseSettings(args []string, stderr io.Writer) (*settings, error) {
	s := new(settings)
	f := flag.NewFlagSet("compare", flag.ContinueOnError)
	f.SetOutput(stderr)
	f.Usage = func() {
		fmt.Fprintln(stderr, "Measure Staffetta against its peers on this machine.\n\n"+
			"  go run ./compare [flags]\n\nFlags:")
		f.PrintDefaults()
	}
	systems := f.String("systems", strings.Join(system.Names(), ","), "systems to measure")
	concurrency := f.String("concurrency", "1,16,128,512",
		"requests in flight when each has one message")
	f.IntVar(&s.Rounds, "rounds", 3, "turns of each system")
	f.DurationVar(&s.Duration, "duration", 8*time.Second, "how long a step is measured")
	f.DurationVar(&s.WarmUp, "warm-up", 2*time.Second, "load before each step, not measured")
	f.DurationVar(&s.Settle, "settle", 2*time.Second,
		"after a step, wait until nothing was written for as long (at most 20 s)")
	f.IntVar(&s.Citizens, "citizens", 5000, "recipients")
	f.Uint64Var(&s.Seed, "seed", 1, "seed of the messages")
	f.IntVar(&s.Procs, "procs", 0, "GOMAXPROCS of each NATS and etcd server, as staffetta local "+
		"sets it for its processes; 0: as they come")
	f.BoolVar(&s.Batched, "batched", true, "measure batched modes too")
	f.BoolVar(&s.Trace, "trace", true, "count fsyncs with strace before the steps, and fail "+
		"when there are too few")
	f.StringVar(&s.dir, "dir", "", "directory for all files, on the disk to be measured "+
		"(default: a fresh temporary one); what is made in it is removed")
	f.StringVar(&s.jsonPath, "json", "", "file that takes every value")
	quick := f.Bool("quick", false, "one round of short steps: to see that it works, no figures")
	if err := f.Parse(args); err != nil {
		return nil, err
	}
	if f.NArg() > 0 {
		return nil, fmt.Errorf("%q is no flag", f.Arg(0))
	}
	if *quick {
		given := make(map[string]bool)
		f.Visit(func(f *flag.Flag) { given[f.Name] = true })
		s.hurry(given)
		if !given["concurrency"] {
			*concurrency = "1,128"
		}
	}
	s.Systems = strings.Split(*systems, ",")
	var err error
	if s.Concurrency, err = parseConcurrency(*concurrency); err != nil {
		return nil, err
	}
	return s, s.validate()
}

// hurry shortens what was not given.
func (s *settings) hurry(given map[string]bool) {
	if !given["rounds"] {
		s.Rounds = 1
	}
	if !given["duration"] {
		s.Duration = time.Second
	}
	if !given["warm-up"] {
		s.WarmUp = 300 * time.Millisecond
	}
	if !given["settle"] {
		s.Settle = 0
	}
	if !given["citizens"] {
		s.Citizens = 500
	}
}

func parseConcurrency(list string) ([]int, error) {
	var all []int
	for _, field := range strings.Split(list, ",") {
		n, err := strconv.Atoi(field)
		if err != nil || n < 1 || n > concurrencyMax {
			return nil, fmt.Errorf("--concurrency: %q is not 1 to %d", field, concurrencyMax)
		}
		if len(all) > 0 && n <= all[len(all)-1] {
			return nil, errors.New("--concurrency: not ascending")
		}
		all = append(all, n)
	}
	return all, nil
}

func (s *settings) validate() error {
	var problems []error
	fail := func(format string, args ...any) {
		problems = append(problems, fmt.Errorf(format, args...))
	}
	seen := make(map[string]bool)
	for _, name := range s.Systems {
		if !slices.Contains(system.Names(), name) {
			fail("--systems: %q is none of %s", name, strings.Join(system.Names(), ", "))
		}
		if seen[name] {
			fail("--systems: %s twice", name)
		}
		seen[name] = true
	}
	if s.Rounds < 1 || s.Rounds > roundsMax {
		fail("--rounds: %d, want 1-%d", s.Rounds, roundsMax)
	}
	if s.Duration < durationMin || s.Duration > durationMax {
		fail("--duration: %v, want %v to %v", s.Duration, durationMin, durationMax)
	}
	if s.WarmUp < 0 || s.WarmUp > durationMax {
		fail("--warm-up: %v, want 0 to %v", s.WarmUp, durationMax)
	}
	if s.Settle < 0 || s.Settle > settleMax {
		fail("--settle: %v, want 0 to %v", s.Settle, settleMax)
	}
	if s.Citizens < 1 || s.Citizens > citizensMax {
		fail("--citizens: %d, want 1-%d", s.Citizens, citizensMax)
	}
	if s.Procs < 0 || s.Procs > procsMax {
		fail("--procs: %d, want 0-%d", s.Procs, procsMax)
	}
	return errors.Join(problems...)
}
