package scale

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/staffetta/staffetta/wire"
)

// What a citizen and a message take at most while a state grows, in bytes: twice of what was
// measured, since a compaction keeps what it replaces until it ends.
const (
	citizenRoom = 1000
	messageRoom = 1000
)

// The kinds of steps.
const (
	registryStep  = "registry"
	messagesStep  = "messages"
	directoryStep = "directory"
)

// regionRun is a region's run. Owned by one goroutine.
type regionRun struct {
	cfg    *RegionConfig
	report *RegionReport
}

// RunRegion makes a region's state grow to its size and measures it, or goes on with the run that
// was interrupted in cfg.Dir. After an error the report says how far it came; the same call goes
// on from there.
func RunRegion(ctx context.Context, cfg RegionConfig) (*RegionReport, error) {
	if err := cfg.complete(); err != nil {
		return nil, err
	}
	r := &regionRun{cfg: &cfg, report: new(RegionReport)}
	if err := r.begin(); err != nil {
		return nil, err
	}
	if r.report.Complete {
		return r.report, nil
	}
	err := r.part(ctx, "reference", &r.report.Reference, nil)
	if err == nil {
		err = r.part(ctx, "full", &r.report.Full, r.reads)
	}
	if err == nil {
		r.conclude()
		err = r.save()
	}
	return r.report, err
}

// begin makes the run, or takes up the one in the directory.
func (r *regionRun) begin() error {
	c := r.cfg
	if err := os.MkdirAll(c.Dir, 0o700); err != nil {
		return err
	}
	there, err := resume(c.Dir, r.report)
	if err != nil {
		return err
	}
	if p := r.report; there && (p.Scale != c.Scale || p.Full.Citizens != c.citizens() ||
		p.Seed != c.Seed || p.KeyedPercent != c.KeyedPercent) {
		return fmt.Errorf("%s holds a run of scale %v, %d citizens, seed %d, %v %% keys: go on "+
			"with these, or take another directory", c.Dir, p.Scale, p.Full.Citizens, p.Seed,
			p.KeyedPercent)
	}
	used, err := sizeOf(c.Dir)
	if err != nil {
		return err
	}
	if err := room(c.Dir, c.Room(), used); err != nil {
		return err
	}
	if there {
		return nil
	}
	citizens, messages := c.citizens(), c.sized(RegionMessages)
	small := func(n int) int { return max(min(n/10, referenceMax), 1) }
	*r.report = RegionReport{Scale: c.Scale, Seed: c.Seed, KeyedPercent: c.KeyedPercent,
		Full:      Part{Citizens: citizens, Messages: messages},
		Reference: Part{Citizens: small(citizens), Messages: 2 * small(messages)}}
	return r.save()
}

func (r *regionRun) save() error { return save(r.cfg.Dir, r.report) }

// part makes one state grow and measures it, as far as that is not done yet. more measures what
// is to be seen on it alone.
func (r *regionRun) part(ctx context.Context, name string, p *Part,
	more func(context.Context, *grower, *regionLog) error) (err error) {
	dir := filepath.Join(r.cfg.Dir, name)
	if p.Cold != nil {
		return nil
	}
	log, err := newRegionLog(r.cfg, p.Citizens, p.Messages)
	if err != nil {
		return err
	}
	defer log.close()
	state, err := r.cfg.Open(filepath.Join(dir, stateDir))
	if err != nil {
		return err
	}
	open := true
	defer func() { // an interruption keeps what is applied
		if open {
			err = errors.Join(err, state.Close())
		}
	}()
	g := &grower{cfg: &r.cfg.Config, dir: dir, state: state, from: log,
		disk: state.Store().DiskBytes}
	if err := r.fill(ctx, name, p, g, log); err != nil {
		return err
	}
	if p.Snapshot == nil {
		r.cfg.say("%s: what a snapshot costs", name)
		if p.Snapshot, err = snapshot(ctx, g, state, r.probe()); err != nil {
			return err
		}
	}
	if more != nil {
		if err := more(ctx, g, log); err != nil {
			return err
		}
	}
	// A crash takes no more than there was.
	if err := g.spoolTail(ctx, blocksOf(p.Messages), r.cfg.TailBytes); err != nil {
		return err
	}
	open = false
	if err := state.Close(); err != nil {
		return err
	}
	r.cfg.say("%s: cold start", name)
	if p.Cold, err = r.cfg.cold(ctx, ColdRegion, dir); err != nil {
		return err
	}
	return r.save()
}

// fill brings the state to its size: citizens, then messages.
func (r *regionRun) fill(ctx context.Context, name string, p *Part, g *grower,
	log *regionLog) error {
	kind, total := registryStep, func() int {
		return min(int(g.state.Position().Index-1)*citizensPerEntry, p.Citizens)
	}
	done := func(s *Step) error {
		s.Kind, s.Total = kind, total()
		p.Steps = append(p.Steps, s)
		r.cfg.say("%s: %s %d, %.0f applied a second, %.1f µs and %.0f bytes written each, "+
			"%.2f GB on disk", name, kind, s.Total, s.Rate(), s.CPUMicros, s.WrittenBytes,
			float64(s.DiskBytes)/1e9)
		return r.save()
	}
	size := func(units, step, perEntry int) int { return max(min(units/stepsMin, step)/perEntry, 1) }
	last := log.registered()
	err := g.grow(ctx, last, size(p.Citizens, stepCitizens, citizensPerEntry), done)
	if err != nil {
		return err
	}
	kind, total = messagesStep, func() int {
		return int(g.state.Position().Index-last) * wire.BlockRecordsMax
	}
	return g.grow(ctx, last+uint64(blocksOf(p.Messages)),
		size(p.Messages, stepMessages, wire.BlockRecordsMax), done)
}

// blocksOf is how many blocks hold so many messages.
func blocksOf(messages int) int {
	return (messages + wire.BlockRecordsMax - 1) / wire.BlockRecordsMax
}

// probe is the size of a flush that is measured, in blocks, the same for both states.
func (r *regionRun) probe() int {
	return max(min(r.report.Full.Messages/wire.BlockRecordsMax/20, probeBlocks), 1)
}

// snapshot measures flushes of equal size, and a copy of the state.
func snapshot(ctx context.Context, g *grower, state RegionState, blocks int) (*Snapshot, error) {
	var times []time.Duration
	var written []int64
	for range snapshotProbes {
		s, err := g.prepare(ctx, blocks)
		if err != nil {
			return nil, err
		}
		if err := g.applySpool(ctx, s); err != nil {
			return nil, err
		}
		began, before := time.Now(), readUsage()
		if _, err := state.Flush(); err != nil {
			return nil, err
		}
		times = append(times, time.Since(began))
		written = append(written, readUsage().since(before).written)
		if _, _, err := settle(ctx, g.cfg.quiet, g.disk); err != nil {
			return nil, err
		}
	}
	slices.Sort(times)
	slices.Sort(written)
	out := &Snapshot{FlushMillis: millis(times[len(times)/2]), FlushBytes: written[len(written)/2]}
	began, before := time.Now(), readUsage()
	stream, size, _, err := state.Checkpoint()
	if err != nil {
		return nil, err
	}
	out.CheckpointMillis = millis(time.Since(began))
	out.CheckpointBytes = readUsage().since(before).written
	out.StreamBytes = size
	return out, stream.Close()
}

// cold measures a closed state from a cold start, in a process of its own.
func (c *Config) cold(ctx context.Context, what, dir string) (*Cold, error) {
	forgotten, err := forgetPages(filepath.Join(dir, stateDir))
	if err != nil {
		return nil, err
	}
	b, err := c.Fresh(ctx, what, dir)
	if err != nil {
		return nil, fmt.Errorf("cold start: %w", err)
	}
	cold := new(Cold)
	if err := json.Unmarshal(b, cold); err != nil {
		return nil, fmt.Errorf("cold start: %w", err)
	}
	cold.Forgotten = forgotten
	return cold, nil
}

// of are the part's steps of a kind.
func (p *Part) of(kind string) (steps []*Step) {
	for _, s := range p.Steps {
		if s.Kind == kind {
			steps = append(steps, s)
		}
	}
	return steps
}

// mean sums steps up, as if they were one.
func mean(steps []*Step) (s Step) {
	for _, t := range steps {
		s.Units += t.Units
		s.ApplySeconds += t.ApplySeconds
		s.SettleSeconds += t.SettleSeconds
		s.CPUMicros += t.CPUMicros * float64(t.Units)
		s.WrittenBytes += t.WrittenBytes * float64(t.Units)
	}
	s.CPUMicros /= float64(max(s.Units, 1))
	s.WrittenBytes /= float64(max(s.Units, 1))
	return s
}

// ratios hold the cost of growing later against that of growing at first.
func ratios(later, first *Step) (rate, sustained, cpu float64) {
	return later.Rate() / max(first.Rate(), 1e-9),
		later.Sustained() / max(first.Sustained(), 1e-9),
		first.CPUMicros / max(later.CPUMicros, 1e-9)
}

// conclude compares the end of the full state's growth with the reference's: the last fifth of its
// messages, so that what is merged now and then has its share in it.
func (r *regionRun) conclude() {
	p := r.report
	small := mean(p.Reference.of(messagesStep))
	steps := p.Full.of(messagesStep)
	var last []*Step
	for i, n := len(steps)-1, 0; i >= 0 && n < max(small.Units, p.Full.Messages/5); i-- {
		last, n = append(last, steps[i]), n+steps[i].Units
	}
	large := mean(last)
	p.RateRatio, p.SustainedRatio, p.CPURatio = ratios(&large, &small)
	p.SnapshotRatio = p.Full.Snapshot.FlushMillis / max(p.Reference.Snapshot.FlushMillis, 1e-9)
	if registry := p.Full.of(registryStep); len(registry) > 0 && len(steps) > 0 {
		citizens, end := registry[len(registry)-1], steps[len(steps)-1]
		p.BytesPerCitizen = float64(citizens.DiskBytes) / float64(max(citizens.Total, 1))
		p.BytesPerMessage = float64(end.DiskBytes-citizens.DiskBytes) / float64(max(end.Total, 1))
	}
	for _, s := range p.Full.Steps {
		p.RSSPeakBytes = max(p.RSSPeakBytes, s.RSSPeakBytes)
	}
	p.Complete = true
}
