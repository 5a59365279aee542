package scale

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/staffetta/staffetta/wire"
)

const (
	// codesPerEntry is how many codes one command names, a bound of the directory.
	codesPerEntry = 4096
	// activePercent of the codes' citizens are active.
	activePercent = 80
	// entryRoom is what a code takes at most while the directory grows, in bytes.
	entryRoom = 120
	// directoryRegions deal the codes among them, as Italy's twenty.
	directoryRegions = 20
)

// DirectoryRoom is the disk space that a directory's run needs at most, in bytes.
func DirectoryRoom(scale float64) int64 {
	c := Config{Scale: scale}
	return int64(c.sized(DirectoryEntries))*entryRoom + 1<<30
}

// directoryLog makes the federation's log: the map, then for some codes at a time three entries,
// as a claim has them: claimed, owned, active.
type directoryLog struct{ codes int }

func (l directoryLog) last() uint64 {
	return 1 + 3*uint64((l.codes+codesPerEntry-1)/codesPerEntry)
}

// total is how many codes are claimed after an entry.
func (l directoryLog) total(index uint64) int {
	return min(int((index+1)/3)*codesPerEntry, l.codes)
}

func (l directoryLog) entry(index uint64) (e wire.LogEntry, units int) {
	var c wire.Command
	if index == 1 {
		c = command(wire.CmdFound, directoryMap())
	} else {
		first := uint64(index-2) / 3 * codesPerEntry
		end := min(first+codesPerEntry, uint64(l.codes))
		kind := [...]wire.DirectoryOpKind{wire.OpClaim, wire.OpOwn, wire.OpSetActive}[(index-2)%3]
		var ops wire.DirectoryOps
		for n := first; n < end; n++ {
			ops.List = append(ops.List, wire.DirectoryOp{Kind: kind, Recipient: recipientOf(n),
				Region: directoryRegion(mix(n^1) % directoryRegions), Epoch: 1,
				Active: kind == wire.OpSetActive && mix(n^2)%100 < activePercent})
		}
		c = command(wire.CmdDirectory, &ops)
		if kind == wire.OpClaim {
			units = int(end - first)
		}
	}
	body := wire.Encode(&wire.Commands{List: []wire.Command{c}})
	return wire.LogEntry{Index: index, Term: 1,
		Data: wire.EncodeEntry(wire.CommandsEntry, timeOf(index), body)}, units
}

func directoryRegion(n uint64) wire.RegionID { return wire.RegionID(fmt.Sprintf("region-%d", n+1)) }

func directoryMap() *wire.Map {
	m := &wire.Map{Federation: Federation, Version: 1, SlotOwners: make([]wire.RegionTag, wire.Slots)}
	for n := range uint64(directoryRegions) {
		id, tag := directoryRegion(n), wire.RegionTag(n+1)
		m.Regions = append(m.Regions, wire.Region{ID: id, Tag: tag})
		m.Nodes = append(m.Nodes, wire.Node{ID: wire.NodeID(id + "-1"), Region: id, Voter: n < 7,
			Addr: fmt.Sprintf("192.0.2.%d:7400", n+1)})
	}
	for s := range m.SlotOwners {
		m.SlotOwners[s] = m.Regions[s%directoryRegions].Tag
	}
	return m
}

// RunDirectory makes the federation's directory grow to its size and measures it, or goes on with
// the run that was interrupted in cfg.Dir. After an error the report says how far it came; the
// same call goes on from there.
func RunDirectory(ctx context.Context, cfg DirectoryConfig) (*DirectoryReport, error) {
	if err := cfg.complete(); err != nil {
		return nil, err
	}
	if err := os.MkdirAll(cfg.Dir, 0o700); err != nil {
		return nil, err
	}
	report := new(DirectoryReport)
	there, err := resume(cfg.Dir, report)
	if err != nil {
		return nil, err
	}
	if there && (report.Scale != cfg.Scale || report.Seed != cfg.Seed) {
		return nil, fmt.Errorf("%s holds a run of scale %v, seed %d: go on with these, or take "+
			"another directory", cfg.Dir, report.Scale, report.Seed)
	}
	if report.Complete {
		return report, nil
	}
	used, err := sizeOf(cfg.Dir)
	if err == nil {
		err = room(cfg.Dir, DirectoryRoom(cfg.Scale), used)
	}
	if err != nil {
		return nil, err
	}
	report.Scale, report.Seed = cfg.Scale, cfg.Seed
	report.Entries = cfg.sized(DirectoryEntries)
	return report, fillDirectory(ctx, &cfg, report)
}

func fillDirectory(ctx context.Context, cfg *DirectoryConfig, report *DirectoryReport) (err error) {
	state, err := cfg.Open(filepath.Join(cfg.Dir, stateDir))
	if err != nil {
		return err
	}
	open := true
	defer func() { // an interruption keeps what is applied
		if open {
			err = errors.Join(err, state.Close())
		}
	}()
	log := directoryLog{report.Entries}
	g := &grower{cfg: &cfg.Config, dir: cfg.Dir, state: state, from: log, disk: state.DiskBytes}
	// The map is no part of a step.
	if err := g.grow(ctx, 1, 1, func(*Step) error { return nil }); err != nil {
		return err
	}
	g.group = 3
	size := g.group * max(min(report.Entries/stepsMin, stepEntries)/codesPerEntry, 1)
	err = g.grow(ctx, log.last(), size, func(s *Step) error {
		s.Kind, s.Total = directoryStep, log.total(state.Position().Index)
		report.Steps = append(report.Steps, s)
		cfg.say("directory %d, %.0f codes applied a second, %.1f µs and %.0f bytes written each, "+
			"%.2f GB on disk", s.Total, s.Rate(), s.CPUMicros, s.WrittenBytes,
			float64(s.DiskBytes)/1e9)
		return save(cfg.Dir, report)
	})
	if err != nil {
		return err
	}
	report.DiskBytes = int64(state.DiskBytes())
	open = false
	if err := errors.Join(state.Close(), save(cfg.Dir, report)); err != nil {
		return err
	}
	cfg.say("look-ups")
	if report.Cold, err = cfg.cold(ctx, ColdDirectory, cfg.Dir); err != nil {
		return err
	}
	report.BytesPerEntry = float64(report.DiskBytes) / float64(report.Entries)
	report.MemoryBytes = report.Cold.RSSBytes - report.Cold.RSSBeforeBytes
	if n := len(report.Steps); n > 0 {
		report.RateRatio, report.SustainedRatio, report.CPURatio = ratios(report.Steps[n-1],
			report.Steps[0])
	}
	for _, s := range report.Steps {
		report.RSSPeakBytes = max(report.RSSPeakBytes, s.RSSPeakBytes)
	}
	report.Complete = true
	return save(cfg.Dir, report)
}
