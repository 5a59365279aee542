package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"time"

	"github.com/staffetta/staffetta/bench/measure"
	"github.com/staffetta/staffetta/bench/system"
)

// runner makes one run.
type runner struct {
	settings *settings
	env      system.Env
	new      func(name string, env system.Env) (system.System, error)
	dir      string
	report   *report
	progress io.Writer
}

// compare runs all rounds. In each, every system has one turn, alone: the processes of all
// others are stopped. The order rotates, so that no system has always the disk as another one
// left it. The error is why no report could be made; what went wrong with a system is in it.
func compare(ctx context.Context, s *settings, progress io.Writer) (*report, error) {
	dir, err := os.MkdirTemp(s.dir, "compare-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	// PostgreSQL may run as another user, who has to get through.
	if err := os.Chmod(dir, 0o711); err != nil {
		return nil, err
	}
	r := &runner{settings: s, new: system.New, dir: dir, progress: progress}
	r.report = &report{Settings: s, Host: thisHost(dir),
		Started: time.Now().UTC().Truncate(time.Second)}
	r.env = system.Env{Codes: measure.Codes(s.Citizens), Workers: slices.Max(s.Concurrency),
		Procs: s.Procs}
	if r.env.Self, err = os.Executable(); err != nil {
		return nil, err
	}
	if slices.Contains(s.Systems, "staffetta") {
		r.say("building staffetta")
		r.env.Staffetta, r.report.Host.Product, err = buildProduct(ctx, dir)
		if err != nil {
			return nil, err
		}
	}
	return r.report, r.rounds(ctx)
}

// rounds makes every turn, and saves the report after each.
func (r *runner) rounds(ctx context.Context) error {
	for round := range r.settings.Rounds {
		for _, name := range order(r.settings.Systems, round) {
			err := r.turn(ctx, name, round)
			switch {
			case ctx.Err() != nil:
				return errors.New("interrupted")
			case errors.Is(err, system.ErrNotInstalled):
				r.skip(err)
			case err != nil:
				r.fail(fmt.Sprintf("round %d: %v", round+1, err))
			}
			if err := r.report.save(r.settings.jsonPath); err != nil {
				return err
			}
		}
	}
	return nil
}

// order is the order of turns in a round: each round begins with the next system.
func order(systems []string, round int) []string {
	first := round % len(systems)
	return slices.Concat(systems[first:], systems[:first])
}

func (r *runner) say(format string, args ...any) {
	fmt.Fprintf(r.progress, time.Now().Format("15:04:05 ")+format+"\n", args...)
}

func (r *runner) fail(what string) {
	r.report.Failures = append(r.report.Failures, what)
	r.say("FAILED: %s", what)
}

func (r *runner) skip(why error) {
	if !slices.Contains(r.report.Skipped, why.Error()) {
		r.report.Skipped = append(r.report.Skipped, why.Error())
		r.say("SKIPPED: %v", why)
	}
}
