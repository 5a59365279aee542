package scale

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"runtime"
	"time"

	"github.com/staffetta/staffetta/wire"
)

// Names in a run's directory.
const (
	stateDir   = "state"
	stepFile   = "step.log"
	tailFile   = "tail.log"
	reportFile = "report.json"
)

// growing is a state that takes entries.
type growing interface {
	Apply([]wire.LogEntry) ([]any, error)
	Position() wire.Position
	Flush() (wire.Position, error)
	Close() error
}

// grower makes one state grow. Owned by the run.
type grower struct {
	cfg   *Config
	dir   string // the state's own
	state growing
	disk  func() uint64
	from  source
	group int // entries that belong together: a step has all of them; 0 is 1
}

// step makes the state grow by some entries, and returns when nothing is left to compact. It is
// measured without the making of the entries. An interruption leaves the state where it stands,
// and no Step.
func (g *grower) step(ctx context.Context, entries int) (*Step, error) {
	s, err := g.prepare(ctx, entries)
	if err != nil {
		return nil, err
	}
	began, before := time.Now(), readUsage()
	if err := g.applySpool(ctx, s); err != nil {
		return nil, err
	}
	s.ApplySeconds = time.Since(began).Seconds()
	end, after, err := settle(ctx, g.cfg.quiet, g.disk)
	if err != nil {
		return nil, err
	}
	used := after.since(before)
	s.SettleSeconds = max(end.Sub(began).Seconds()-s.ApplySeconds, 0)
	s.CPUMicros = float64(used.cpu.Microseconds()) / float64(max(s.Units, 1))
	s.WrittenBytes = float64(used.written) / float64(max(s.Units, 1))
	s.DiskBytes = int64(g.disk())
	_, s.RSSPeakBytes = memory()
	return s, nil
}

// prepare spools the entries that follow the state.
func (g *grower) prepare(ctx context.Context, entries int) (*Step, error) {
	s := &Step{Entries: entries}
	var logged int
	units, err := spool(ctx, g.path(stepFile), g.from, g.state.Position().Index+1,
		func(n, bytes int) bool {
			logged = bytes
			return n >= entries
		})
	if err != nil {
		return nil, err
	}
	s.Units, s.LogBytes = units, float64(logged)/float64(max(units, 1))
	runtime.GC() // what making them left behind
	forgetPeak()
	return s, nil
}

func (g *grower) path(name string) string { return filepath.Join(g.dir, name) }

// applySpool applies what prepare spooled, as many entries at once as a replica under load does.
func (g *grower) applySpool(ctx context.Context, s *Step) (err error) {
	from, err := openSpool(g.path(stepFile))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, from.close()) }()
	for {
		if err := ctx.Err(); err != nil {
			return err
		}
		entries, err := from.next(applyEntries)
		if err != nil || len(entries) == 0 {
			return err
		}
		results, err := g.state.Apply(entries)
		if err != nil {
			return err
		}
		rejected, err := judge(results)
		if err != nil {
			return fmt.Errorf("entries from %d on: %w", entries[0].Index, err)
		}
		s.Rejected += rejected
	}
}

// judge counts rejected messages. Anything else than verdicts and successes is an error: the
// state would not be what it is taken for.
func judge(results []any) (rejected int, err error) {
	for _, r := range results {
		switch r := r.(type) {
		case *wire.Outcomes:
			for i := range r.List {
				if o := &r.List[i]; o.Kind != wire.Decided {
					return 0, fmt.Errorf("record %d has outcome %d, not a verdict", i, o.Kind)
				} else if o.Verdict.Status != wire.Processed {
					rejected++
				}
			}
		case *wire.Results:
			for i := range r.List {
				if r.List[i].Err != nil {
					return 0, fmt.Errorf("command %d failed: %w", i, r.List[i].Err)
				}
			}
		default:
			return 0, fmt.Errorf("an entry was answered %T", r)
		}
	}
	return rejected, nil
}

// grow takes steps of about size entries until the state has the entry last. After each step it
// calls done. With the last one everything is flushed, so that its size on disk is the state's.
func (g *grower) grow(ctx context.Context, last uint64, size int, done func(*Step) error) error {
	for {
		at := g.state.Position().Index
		if at >= last {
			return nil
		}
		left := int(last - at)
		steps := (left + size - 1) / size
		n := (left + steps - 1) / steps
		if g.group > 1 {
			n = (n + g.group - 1) / g.group * g.group
		}
		s, err := g.step(ctx, min(n, left))
		if err != nil {
			return err
		}
		if g.state.Position().Index >= last {
			if _, err := g.state.Flush(); err != nil {
				return err
			}
			if _, _, err := settle(ctx, g.cfg.quiet, g.disk); err != nil {
				return err
			}
			s.DiskBytes = int64(g.disk())
		}
		if err := done(s); err != nil {
			return err
		}
	}
}

// spoolTail writes bytes of the log that follows the state, but at most so many entries, for the
// measurement of a cold start.
func (g *grower) spoolTail(ctx context.Context, entries, bytes int) error {
	_, err := spool(ctx, g.path(tailFile), g.from, g.state.Position().Index+1,
		func(n, written int) bool { return n >= entries || written >= bytes })
	return err
}
