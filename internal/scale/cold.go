package scale

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"time"

	"github.com/staffetta/staffetta/wire"
)

// MeasureRegion opens the closed state of a region's run in dir, reads from it, and applies what
// a crash might have left to be applied again. It is to be the only thing that its process does.
func MeasureRegion(dir string, open func(dir string) (RegionState, error)) (c *Cold, err error) {
	c = new(Cold)
	c.RSSBeforeBytes, _ = memory()
	before, began := readUsage(), time.Now()
	state, err := open(filepath.Join(dir, stateDir))
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, state.Close()) }()
	c.OpenMillis = millis(time.Since(began))
	began = time.Now()
	token := newCitizens(1, 1).token(0)
	_, err = state.ListInbox(wire.ListInbox{Token: token, Size: pageSize},
		timeOf(state.Position().Index))
	if err != nil {
		return nil, fmt.Errorf("first read: %w", err)
	}
	c.ReadMillis = millis(time.Since(began))
	c.StorageBytes = readUsage().since(before).read
	g := &grower{dir: dir, state: state}
	if c.ReplayEntries, c.ReplayMillis, err = g.replay(); err != nil {
		return nil, err
	}
	c.RSSBytes, _ = memory()
	return c, nil
}

// replay applies the tail.
func (g *grower) replay() (entries int, ms float64, err error) {
	from, err := openSpool(g.path(tailFile))
	if err != nil {
		return 0, 0, err
	}
	defer func() { err = errors.Join(err, from.close()) }()
	began := time.Now()
	for {
		list, err := from.next(applyEntries)
		if err != nil || len(list) == 0 {
			return entries, millis(time.Since(began)), err
		}
		if _, err := g.state.Apply(list); err != nil {
			return 0, 0, err
		}
		entries += len(list)
	}
}

const (
	// lookUpBatch is what a gateway asks for at once under load: a block's recipients.
	lookUpBatch = wire.BlockRecordsMax
	// lookUpWarm batches come before the lookUpCount that are measured.
	lookUpWarm  = 200
	lookUpCount = 2000
)

// MeasureDirectory opens the closed state of a directory's run in dir and looks recipients up. It
// is to be the only thing that its process does.
func MeasureDirectory(dir string, open func(dir string) (DirectoryState, error)) (c *Cold,
	err error) {
	var report DirectoryReport
	if there, err := resume(dir, &report); err != nil || !there {
		return nil, errors.Join(err, fmt.Errorf("%s holds no run of a directory", dir))
	}
	c = new(Cold)
	c.RSSBeforeBytes, _ = memory()
	before, began := readUsage(), time.Now()
	state, err := open(filepath.Join(dir, stateDir))
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, state.Close()) }()
	c.OpenMillis = millis(time.Since(began))
	rng := rand.New(rand.NewPCG(report.Seed, 1))
	l := &lookUps{state: state, rng: rng, entries: report.Entries}
	if _, err := l.measure(1, false); err != nil {
		return nil, err
	}
	c.ReadMillis = millis(time.Since(began)) - c.OpenMillis
	c.StorageBytes = readUsage().since(before).read
	if err := warm(filepath.Join(dir, stateDir)); err != nil {
		return nil, err
	}
	if _, err := l.measure(lookUpWarm, false); err != nil {
		return nil, err
	}
	c.LookUps = &LookUps{Batch: lookUpBatch}
	before = readUsage()
	if c.LookUps.Known, err = l.measure(lookUpCount, false); err != nil {
		return nil, err
	}
	c.LookUps.CPUMicros = float64(readUsage().since(before).cpu.Microseconds()) / lookUpCount
	if c.LookUps.Unknown, err = l.measure(lookUpCount, true); err != nil {
		return nil, err
	}
	c.RSSBytes, _ = memory()
	return c, nil
}

// lookUps asks a directory for recipients, any of those that it has alike.
type lookUps struct {
	state   DirectoryState
	rng     *rand.Rand
	entries int
}

// measure times batches. The answers are held against what was put there.
func (l *lookUps) measure(batches int, unknown bool) (Latency, error) {
	samples := make([]time.Duration, 0, batches)
	recipients := make([]wire.Recipient, lookUpBatch)
	answers := make([]wire.DirectoryEntry, 0, lookUpBatch)
	for range batches {
		for i := range recipients {
			n := l.rng.Uint64N(uint64(l.entries))
			if unknown && i%4 == 0 {
				n += uint64(l.entries) // nobody claimed these
			}
			recipients[i] = recipientOf(n)
		}
		began := time.Now()
		_, found, err := l.state.Resolve(answers[:0], recipients)
		samples = append(samples, time.Since(began))
		if err != nil {
			return Latency{}, err
		}
		for i := range found {
			want := wire.Claimed
			if unknown && i%4 == 0 {
				want = wire.Unclaimed
			}
			if found[i].State != want {
				return Latency{}, fmt.Errorf("a code is in state %d, not %d", found[i].State, want)
			}
		}
	}
	return latencyOf(samples), nil
}
