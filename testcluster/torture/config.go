package torture

import (
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"strings"
	"time"
)

// DurationMin is the shortest run that proves anything: one fault and its end.
const DurationMin = 20 * time.Second

// Config says what to run.
type Config struct {
	// Binary is the staffetta executable. Required.
	Binary string
	// Dir is where everything lies that the run makes; it must be empty or missing. Required.
	Dir string
	// Seed chooses faults, their order and durations, and what clients do.
	Seed uint64
	// Duration is how long clients and faults are at work; the start before and the judgement
	// after take another half minute. Default a minute.
	Duration time.Duration
	// Faults are the names of the faults to choose from, see Faults. None: all.
	Faults []string
	// Regions; default lazio, lombardia, sicilia. Nodes of each; default 3.
	Regions []string
	Nodes   int
	// Keep keeps Dir also when nothing was found.
	Keep bool
	// Timeline takes a line for everything that happens; default: nowhere.
	Timeline io.Writer
	// Env is what the processes find in their environment besides, as NAME=value.
	Env []string
}

func (c *Config) setDefaults() {
	if c.Duration == 0 {
		c.Duration = time.Minute
	}
	if len(c.Regions) == 0 {
		c.Regions = []string{"lazio", "lombardia", "sicilia"}
	}
	if c.Nodes == 0 {
		c.Nodes = 3
	}
	if c.Timeline == nil {
		c.Timeline = io.Discard
	}
}

func (c *Config) validate() error {
	var errs []error
	check := func(ok bool, format string, args ...any) {
		if !ok {
			errs = append(errs, fmt.Errorf(format, args...))
		}
	}
	check(c.Binary != "", "no binary")
	check(c.Dir != "", "no directory")
	check(c.Duration >= DurationMin, "a run of %s is shorter than %s", c.Duration, DurationMin)
	check(c.Nodes >= 1, "%d nodes per region", c.Nodes)
	for _, name := range c.Faults {
		check(faultNamed(name) != nil, "there is no fault %q", name)
	}
	return errors.Join(errs...)
}

func (c *Config) path(elem ...string) string {
	return filepath.Join(append([]string{c.Dir}, elem...)...)
}

// Again is the command line that repeats the run.
func (c *Config) Again() string {
	args := []string{"staffetta-lab torture", fmt.Sprintf("--seed %d", c.Seed),
		fmt.Sprintf("--duration %s", c.Duration), "--regions " + strings.Join(c.Regions, ","),
		fmt.Sprintf("--nodes %d", c.Nodes)}
	if len(c.Faults) > 0 {
		args = append(args, "--faults "+strings.Join(c.Faults, ","))
	}
	return strings.Join(args, " ")
}
