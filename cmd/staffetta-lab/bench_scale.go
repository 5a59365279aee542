package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"github.com/spf13/cobra"
	"github.com/staffetta/staffetta/cmd/internal/server"
	"github.com/staffetta/staffetta/internal/localfile"
	"github.com/staffetta/staffetta/internal/scale"
	"github.com/staffetta/staffetta/internal/store"
	"github.com/staffetta/staffetta/node/federation"
	"github.com/staffetta/staffetta/node/region"
	"github.com/staffetta/staffetta/node/seat"
	"github.com/staffetta/staffetta/testcluster/process"
	"github.com/staffetta/staffetta/wire"
	"golang.org/x/sync/errgroup"
)

// newBenchScaleCommand measures what is large.
func newBenchScaleCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "scale",
		Short: "Measure the relay when it has grown large",
		Long: `Make states grow to the size of a large region and of the whole country, on real files and
by the code that runs in a node, and measure them at several sizes.

--scale 1 is the full size; the default is a hundredth. The disk space that a run needs is printed
first, and refused when it is not there. A run that was interrupted, or whose --limit is over, goes
on where it stopped when the same command is given again with the same --dir.`,
		Example: `  staffetta-lab bench scale catch-up`,
		Args:    cobra.NoArgs,
		RunE:    func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(newScaleRegionCommand(), newScaleDirectoryCommand(), newScaleCatchUpCommand(),
		newScaleColdCommand())
	return cmd
}

// scaleFlags are what the runs have in common.
type scaleFlags struct {
	dir   string
	scale float64
	limit time.Duration
	json  bool
	keep  bool
}

func (f *scaleFlags) register(cmd *cobra.Command) {
	flags := cmd.Flags()
	flags.StringVar(&f.dir, "dir", "", "where the run's files lie (default: a fresh temporary "+
		"directory)")
	flags.Float64Var(&f.scale, "scale", scale.ScaleDefault, fmt.Sprintf("size of the run, up to %d",
		scale.ScaleMax))
	flags.DurationVar(&f.limit, "limit", 12*time.Hour, "stop then; the run can go on later")
	flags.BoolVar(&f.json, "json", false, "print the report as JSON")
	flags.BoolVar(&f.keep, "keep", false, "keep the run's files when it is complete")
}

// report is what a run prints.
type report interface{ Write(io.Writer) error }

// run gives a run a directory of its own below --dir, and prints its report. What a complete run
// leaves is removed, unless it is to be kept; an interrupted one's is always kept.
func (f *scaleFlags) run(cmd *cobra.Command, name string, room int64,
	measure func(ctx context.Context, dir string) (report, error)) error {
	if !(f.scale > 0 && f.scale <= scale.ScaleMax) {
		return fmt.Errorf("scale %v: more than 0 and at most %d allowed", f.scale, scale.ScaleMax)
	}
	if f.dir == "" {
		dir, err := os.MkdirTemp("", "staffetta-scale-")
		if err != nil {
			return err
		}
		f.dir = dir
	}
	dir, err := filepath.Abs(filepath.Join(f.dir, name))
	if err != nil {
		return err
	}
	fmt.Fprintf(cmd.ErrOrStderr(), "%s, needs up to %.1f GB\n", dir, float64(room)/1e9)
	ctx, cancel := context.WithTimeout(cmd.Context(), f.limit)
	defer cancel()
	r, err := measure(ctx, dir)
	switch {
	case err != nil:
		os.Remove(dir) // as long as it is empty
		os.Remove(f.dir)
		if _, there := os.Stat(dir); there == nil {
			fmt.Fprintf(cmd.ErrOrStderr(), "kept in --dir %s\n", f.dir)
		}
	case !f.keep:
		err = os.RemoveAll(dir)
		os.Remove(f.dir) // when nothing else is there
	}
	if r == nil {
		return f.ended(err)
	}
	out := targetFlags{json: f.json}
	return errors.Join(out.print(cmd, r), f.ended(err))
}

// ended says what an interruption means.
func (f *scaleFlags) ended(err error) error {
	if errors.Is(err, context.DeadlineExceeded) {
		return fmt.Errorf("the limit of %v is over", f.limit)
	}
	return interrupted(err)
}

func newScaleRegionCommand() *cobra.Command {
	var flags scaleFlags
	var cfg scale.RegionConfig
	cmd := &cobra.Command{
		Use:   "region",
		Short: "Measure a region's state with many citizens and messages",
		Long: fmt.Sprintf(`Fill a region's state with %d million citizens and as many messages, at
scale 1, by applying a log to it as a node does, and measure: how fast and at what cost entries are
applied as the state grows, bytes on disk and bytes written, snapshots, a cold start, and reading
beside writes.

A small state, of a tenth or at most 100,000 citizens, is measured first as the reference.`,
			scale.RegionCitizens/1_000_000),
		Example: `  staffetta-lab bench scale region --scale 0.01
  staffetta-lab bench scale region --scale 1 --dir /var/tmp/scale --json`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			cfg.Scale = flags.scale
			return flags.run(cmd, "region", cfg.Room(),
				func(ctx context.Context, dir string) (report, error) {
					cfg.Dir, cfg.Open = dir, openScaleRegion
					cfg.Fresh, cfg.Progress = freshProcess, cmd.ErrOrStderr()
					// In memory only: a full write buffer and the next one.
					cfg.TailBytes = 2 * seat.RegionMemTableBytes
					r, err := scale.RunRegion(ctx, cfg)
					if r == nil {
						return nil, err
					}
					return r, err
				})
		},
	}
	flags.register(cmd)
	cmd.Flags().Uint64Var(&cfg.Seed, "seed", 1, "seed of messages and recipients")
	cmd.Flags().IntVar(&cfg.Citizens, "citizens", 0, "citizens, whatever the scale (default: by "+
		"--scale)")
	cmd.Flags().Float64Var(&cfg.KeyedPercent, "idempotency-keys", 20,
		"percent of the messages that have an idempotency key")
	cmd.Flags().DurationVar(&cfg.ReadFor, "read-for", scale.ReadForDefault,
		"how long to read beside writes")
	return cmd
}

func newScaleDirectoryCommand() *cobra.Command {
	var flags scaleFlags
	var cfg scale.DirectoryConfig
	cmd := &cobra.Command{
		Use:   "directory",
		Short: "Measure the federation's directory with all of a country's codes",
		Long: fmt.Sprintf(`Fill the federation's directory with %d million codes, at scale 1, by
applying the log of their claims to it as a node does, and measure: its size, what entries cost as
it grows, a cold start, and look-ups by the %d, in a process of their own.`,
			scale.DirectoryEntries/1_000_000, wire.BlockRecordsMax),
		Example: "  staffetta-lab bench scale directory --scale 0.01",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return flags.run(cmd, "directory", scale.DirectoryRoom(flags.scale),
				func(ctx context.Context, dir string) (report, error) {
					cfg.Dir, cfg.Scale, cfg.Open = dir, flags.scale, openScaleDirectory
					cfg.Fresh, cfg.Progress = freshProcess, cmd.ErrOrStderr()
					r, err := scale.RunDirectory(ctx, cfg)
					if r == nil {
						return nil, err
					}
					return r, err
				})
		},
	}
	flags.register(cmd)
	cmd.Flags().Uint64Var(&cfg.Seed, "seed", 1, "seed of the look-ups")
	return cmd
}

// scaleStore is a state's database as a node sets it up, in a process whose garbage is collected as
// a node's.
func scaleStore(dir string, cache *pebble.Cache) store.Config {
	server.TuneMemory(server.NodeMemory)
	return store.Config{Dir: dir, Cache: cache,
		Identity: store.Identity{Federation: scale.Federation}}
}

func openScaleRegion(dir string) (scale.RegionState, error) {
	coder, err := wire.NewCoder(2)
	if err != nil {
		return nil, err
	}
	s := &scaleRegion{coder: coder, cache: pebble.NewCache(seat.CacheBytes)}
	cfg := region.Config{Region: scale.Region, Hasher: wire.NewHasher(scale.Key), Coder: coder,
		Store: scaleStore(dir, s.cache)}
	cfg.Store.MemTableBytes = seat.RegionMemTableBytes
	if s.State, err = region.Open(cfg); err != nil {
		s.release()
		return nil, err
	}
	return s, nil
}

// scaleRegion is a region's state with what belongs to its node.
type scaleRegion struct {
	*region.State
	coder *wire.Coder
	cache *pebble.Cache
}

// Close closes the state, then what belonged to its node.
func (s *scaleRegion) Close() error {
	err := s.State.Close()
	s.release()
	return err
}

func (s *scaleRegion) release() {
	s.cache.Unref()
	s.coder.Close()
}

func openScaleDirectory(dir string) (scale.DirectoryState, error) {
	cache := pebble.NewCache(seat.CacheBytes)
	s, err := federation.Open(federation.Config{Hasher: wire.NewHasher(scale.Key),
		Store: scaleStore(dir, cache)})
	if err != nil {
		cache.Unref()
		return nil, err
	}
	return &scaleDirectory{s, cache}, nil
}

// scaleDirectory is the federation's state with the cache of its node.
type scaleDirectory struct {
	*federation.State
	cache *pebble.Cache
}

// Close closes the state, then lets go of the cache.
func (s *scaleDirectory) Close() error {
	err := s.State.Close()
	s.cache.Unref()
	return err
}

// freshProcess measures in a process of its own.
func freshProcess(ctx context.Context, what, dir string) ([]byte, error) {
	binary, err := os.Executable()
	if err != nil {
		return nil, err
	}
	cmd := exec.CommandContext(ctx, binary, "bench", "scale", "cold", what, dir)
	var said strings.Builder
	cmd.Stderr = &said
	out, err := cmd.Output()
	if err != nil {
		return nil, errors.Join(ctx.Err(), fmt.Errorf("%w: %s", err, strings.TrimSpace(said.String())))
	}
	return out, nil
}

// newScaleColdCommand is that process. It is not for people: what it applies stays in the state,
// so that only the first time tells something.
func newScaleColdCommand() *cobra.Command {
	return &cobra.Command{
		Use:    "cold region|directory DIR",
		Short:  "Measure a state of a run from a cold start",
		Hidden: true,
		Args:   cobra.ExactArgs(2),
		RunE: func(cmd *cobra.Command, args []string) error {
			var c *scale.Cold
			var err error
			switch args[0] {
			case scale.ColdRegion:
				c, err = scale.MeasureRegion(args[1], openScaleRegion)
			case scale.ColdDirectory:
				c, err = scale.MeasureDirectory(args[1], openScaleDirectory)
			default:
				err = fmt.Errorf("%q is neither %s nor %s", args[0], scale.ColdRegion,
					scale.ColdDirectory)
			}
			if err != nil {
				return err
			}
			return json.NewEncoder(cmd.OutOrStdout()).Encode(c)
		},
	}
}

func newScaleCatchUpCommand() *cobra.Command {
	var flags scaleFlags
	var outage time.Duration
	var citizens, concurrency int
	cmd := &cobra.Command{
		Use:   "catch-up",
		Short: "Measure how a follower catches up that was away under load",
		Long: fmt.Sprintf(`Run a federation of one region with three nodes and a gateway, kill a
follower, offer full load without it, start it again under half the load, and measure how long it
takes to catch up and what that costs the others. At scale 1 it is away for %v.

The run does not go on after an interruption: it is the same every time.`, scale.OutageDefault),
		Example: "  staffetta-lab bench scale catch-up --outage 30s",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if citizens == 0 { // which package process takes for the default
				return errors.New("--citizens 0: at least 1 is needed")
			}
			if outage == 0 {
				outage = max(time.Duration(flags.scale*float64(scale.OutageDefault)),
					scale.OutageMin)
			}
			if outage < scale.OutageMin {
				return fmt.Errorf("outage of %v, %v at least", outage, scale.OutageMin)
			}
			// Three replicas of what can be sent meanwhile, and their logs.
			room := int64(outage.Seconds()*catchUpRate*3*2*1000) + 1<<30
			return flags.run(cmd, "catch-up", room,
				func(ctx context.Context, dir string) (report, error) {
					r, err := catchUp(ctx, dir, citizens, scale.CatchUpConfig{Outage: outage,
						Room: room, Concurrency: concurrency, Progress: cmd.ErrOrStderr()})
					if r == nil {
						return nil, err
					}
					return r, err
				})
		},
	}
	flags.register(cmd)
	cmd.Flags().DurationVar(&outage, "outage", 0, "how long the follower is away (default: by "+
		"--scale)")
	cmd.Flags().IntVar(&citizens, "citizens", 1000, "active synthetic citizens")
	cmd.Flags().IntVar(&concurrency, "concurrency", 256, "connections")
	return cmd
}

// catchUpRate is more messages a second than one machine takes, for the room that a run needs.
const catchUpRate = 20_000

// catchUp runs a federation in dir for the measurement.
func catchUp(ctx context.Context, dir string, citizens int, cfg scale.CatchUpConfig) (
	*scale.CatchUpReport, error) {
	binary, err := os.Executable()
	if err != nil {
		return nil, err
	}
	returning := returningNodes{died: make(chan error, 1)}
	f, err := process.New(process.Config{Binary: binary, Dir: dir, Regions: []string{"lazio"},
		Citizens: citizens, Seed: 1, Events: cfg.Progress, Restart: true,
		Ended: returning.ended})
	if err != nil {
		return nil, err
	}
	returning.federation = f
	var r *scale.CatchUpReport
	g, ctx := errgroup.WithContext(ctx)
	running, stop := context.WithCancel(ctx)
	defer stop()
	g.Go(func() error { return f.Run(running) })
	g.Go(func() error {
		select {
		case err := <-returning.died:
			return err
		case <-running.Done():
			return nil
		}
	})
	g.Go(func() error {
		defer stop()
		select {
		case <-f.Ready():
		case <-ctx.Done():
			return ctx.Err()
		}
		cfg.File, cfg.Group = f.File(), "region/lazio"
		cfg.Kill = returning.kill
		cfg.Start = returning.start
		codes, err := readCitizens(filepath.Join(dir, process.CitizensFile))
		if err != nil {
			return err
		}
		cfg.Codes = codes
		r, err = scale.CatchUp(ctx, cfg)
		return err
	})
	return r, g.Wait()
}

// returningNodes ends nodes of a local federation, and starts them again after any time.
type returningNodes struct {
	federation *process.Federation
	killed     atomic.Bool // one is, and its end no news
	died       chan error  // has room for one that ended by itself
}

func (r *returningNodes) ended(id string, err error) {
	if r.killed.Load() {
		return
	}
	select {
	case r.died <- fmt.Errorf("%s ended: %w", id, err):
	default:
	}
}

// endWait is how long the end of a killed process may take to be noticed.
const endWait = 10 * time.Second

// kill ends a node at once. On return it has ended.
func (r *returningNodes) kill(id string) error {
	r.killed.Store(true)
	err := errors.Join(r.federation.Hold(id), r.federation.Signal(id, syscall.SIGKILL))
	if err != nil {
		return err
	}
	for until := time.Now().Add(endWait); r.runs(id); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(until) {
			return fmt.Errorf("%s was killed and has not ended", id)
		}
	}
	return nil
}

func (r *returningNodes) runs(id string) bool {
	return slices.ContainsFunc(r.federation.File().Nodes, func(n localfile.Node) bool {
		return n.ID == id && n.PID != 0
	})
}

// start starts the node as the federation did.
func (r *returningNodes) start(id string) error {
	r.killed.Store(false)
	return r.federation.Release(id)
}
