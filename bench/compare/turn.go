package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/staffetta/staffetta/bench/measure"
	"github.com/staffetta/staffetta/bench/system"
)

// turn is one system's part of a round.
type turn struct {
	*runner
	name  string
	round int
	sys   system.System
	dir   string
	acked int64 // messages acknowledged since the start
	seeds uint64
	// measured are the steps so far: they join the report when the turn has ended well.
	measured []measured
	broken   bool // a step failed: some messages may be stored that were not acknowledged
}

type measured struct {
	step  system.Step
	value value
}

// tracedMessages are sent, one at a time, while fsyncs are counted.
const tracedMessages = 200

// turn starts a system on an empty directory, checks it, drives every step, checks that all that
// was acknowledged is stored, and stops it. A step that fails is a failure in the report; a check
// that fails ends the turn, and nothing of it is reported.
func (r *runner) turn(ctx context.Context, name string, round int) (err error) {
	sys, err := r.new(name, r.env)
	if err != nil {
		return err
	}
	t := &turn{runner: r, name: name, round: round, sys: sys,
		dir: filepath.Join(r.dir, fmt.Sprintf("%s-%d", name, round+1))}
	if err := os.Mkdir(t.dir, 0o711); err != nil {
		return err
	}
	defer os.RemoveAll(t.dir)
	defer func() {
		if stopped := sys.Stop(); stopped != nil {
			err = errors.Join(err, fmt.Errorf("%s: stop: %w", name, stopped))
		}
		if err == nil {
			t.publish()
		}
	}()
	r.say("round %d: %s", round+1, name)
	if err := sys.Start(ctx, t.dir); err != nil {
		return fmt.Errorf("%s: start: %w", name, err)
	}
	if err := t.check(ctx); err != nil {
		return fmt.Errorf("%s: check: %w", name, err)
	}
	if r.settings.Trace {
		if err := t.checkSyncs(ctx); err != nil {
			return fmt.Errorf("%s: fsyncs: %w", name, err)
		}
	}
	if err := t.steps(ctx); err != nil {
		return err
	}
	if err := t.checkStored(ctx); err != nil {
		return fmt.Errorf("%s: behind the steps: %w", name, err)
	}
	return nil
}

// publish puts what was measured into the report.
func (t *turn) publish() {
	for _, m := range t.measured {
		t.report.add(t.name, m.step, m.value)
	}
}

// steps drives every step. The error is ctx's.
func (t *turn) steps(ctx context.Context) error {
	for _, step := range t.sys.Steps(t.settings.Concurrency) {
		if step.Mode == system.Batched && !t.settings.Batched {
			continue
		}
		v, err := t.step(ctx, step)
		switch {
		case ctx.Err() != nil:
			return ctx.Err()
		case err != nil:
			t.broken = true
			t.fail(fmt.Sprintf("round %d: %s: %s: %v", t.round+1, t.name, step.Name, err))
			continue
		}
		t.measured = append(t.measured, measured{step, *v})
		t.say("  %-22s %8.0f messages/s, p50 %.2f ms", step.Name, v.Throughput, v.P50)
	}
	return nil
}

// checkStored checks that every replica has what was acknowledged, and the system again.
func (t *turn) checkStored(ctx context.Context) error {
	stored, err := t.sys.Stored(ctx) // waits for replicas that are behind
	if err != nil {
		return err
	}
	if err := t.check(ctx); err != nil {
		return err
	}
	if stored < t.acked || stored > t.acked && !t.broken {
		return fmt.Errorf("%d messages were acknowledged and %d are stored", t.acked, stored)
	}
	t.say("  all %d acknowledged messages are on 3 replicas", t.acked)
	return nil
}

func (t *turn) check(ctx context.Context) error {
	facts, err := t.sys.Check(ctx)
	if err == nil {
		t.report.system(t.name).Facts = facts
	}
	return err
}

// drive offers load with messages of its own seed: the same for all systems.
func (t *turn) drive(ctx context.Context, step system.Step, load system.Load) (*measure.Tally,
	error) {
	t.seeds++
	load.Seed = t.settings.Seed + uint64(t.round)<<32 + t.seeds<<40
	tally, err := t.sys.Drive(ctx, step, load)
	if err != nil {
		return nil, err
	}
	if tally.Messages == 0 {
		return nil, errors.New("nothing was acknowledged")
	}
	t.acked += tally.Messages
	return tally, nil
}

// checkSyncs sends messages one at a time, so that none can share an fsync, and counts.
func (t *turn) checkSyncs(ctx context.Context) error {
	var replicas []int
	for _, s := range t.sys.Servers() {
		if s.Replica {
			replicas = append(replicas, s.PID)
		}
	}
	step := system.Step{Mode: system.Single, Workers: 1, Batch: 1, Window: 1}
	counts, err := measure.CountSyncs(ctx, replicas, func() error {
		_, err := t.drive(ctx, step, system.Load{Count: tracedMessages})
		return err
	})
	if errors.Is(err, measure.ErrNoTracer) {
		return fmt.Errorf("%w: --trace=false goes on without the check", err)
	}
	if err != nil {
		return err
	}
	t.report.system(t.name).TracedSyncs = counts
	t.say("  fsyncs of the replicas for %d messages: %v", tracedMessages, counts)
	return enoughSyncs(counts, tracedMessages)
}

// enoughSyncs holds counts of three replicas' fsyncs against messages that were sent one at a
// time. Any two replicas hold at least one of every majority, so together they must have
// fsynced at least once for each message.
func enoughSyncs(counts []int64, messages int64) error {
	if len(counts) != 3 {
		return fmt.Errorf("%d replicas, want 3", len(counts))
	}
	least := slices.Sorted(slices.Values(counts))
	if least[0]+least[1] < messages {
		return fmt.Errorf("two replicas made only %d fsyncs for %d messages sent one at a time: "+
			"no majority had each of them on disk", least[0]+least[1], messages)
	}
	return nil
}

// step warms up, measures, and waits until the writes that follow have been made.
func (t *turn) step(ctx context.Context, step system.Step) (*value, error) {
	var pids []int
	for _, s := range t.sys.Servers() {
		pids = append(pids, s.PID)
	}
	if t.settings.WarmUp > 0 {
		_, err := t.drive(ctx, step, system.Load{Duration: t.settings.WarmUp})
		if err != nil {
			return nil, fmt.Errorf("warm-up: %w", err)
		}
	}
	// What the warm-up left to be written must not count: the disk first, then the rest.
	disk := t.disk()
	before, err := t.sample(ctx, pids)
	if err != nil {
		return nil, err
	}
	tally, err := t.drive(ctx, step, system.Load{Duration: t.settings.Duration})
	if err != nil {
		return nil, err
	}
	after, err := t.sample(ctx, pids)
	if err != nil {
		return nil, err
	}
	quiet := true
	if t.settings.Settle > 0 {
		if quiet, err = measure.Settle(ctx, pids, t.settings.Settle, settleMax); err != nil {
			return nil, err
		}
	}
	settled, err := measure.ReadUsage(pids)
	if err != nil {
		return nil, err
	}
	v := newValue(tally, before, after)
	v.written(before.servers, settled, disk, t.disk())
	v.Round, v.Settled = t.round+1, quiet
	return v, nil
}

// sample is what servers and client have spent, at one moment.
type sample struct {
	servers measure.Usage
	own     time.Duration
	syncs   *int64 // of logs; nil where they are not counted
}

func (t *turn) sample(ctx context.Context, pids []int) (s sample, err error) {
	if s.servers, err = measure.ReadUsage(pids); err != nil {
		return s, err
	}
	s.own = measure.Own()
	if c, ok := t.sys.(system.SyncCounter); ok {
		syncs, err := c.Syncs(ctx)
		return sample{s.servers, s.own, &syncs}, err
	}
	return s, nil
}

// disk is what was written to the disk so far; nil where that cannot be told.
func (t *turn) disk() *int64 {
	if n, ok := measure.DeviceWritten(t.dir); ok {
		return &n
	}
	return nil
}
