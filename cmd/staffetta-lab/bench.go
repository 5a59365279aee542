package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"
	"github.com/staffetta/staffetta/cmd/internal/cli"
	"github.com/staffetta/staffetta/internal/fiscalcode"
	"github.com/staffetta/staffetta/internal/load"
	"github.com/staffetta/staffetta/internal/localfile"
)

const (
	// citizensFile has the codes of a local federation's active citizens, one a line.
	citizensFile = "citizens.txt"
	// benchCitizensMax bounds the recipients held in memory, at 32 bytes each.
	benchCitizensMax = 2 << 20
)

// benchFlags say what to drive, and how.
type benchFlags struct {
	target   targetFlags
	gateways []string
	key      cli.KeyFlags
	citizens string
	load     load.Config
}

// targetFlags name a local federation.
type targetFlags struct {
	dir, file string
	json      bool
}

func (f *targetFlags) register(cmd *cobra.Command) {
	cmd.Flags().StringVar(&f.dir, "dir", "", "directory of a local federation")
	cmd.Flags().StringVar(&f.file, "local", "", "file that describes a local federation, "+
		"instead of --dir")
	cmd.Flags().BoolVar(&f.json, "json", false, "print the report as JSON")
	cmd.MarkFlagsMutuallyExclusive("dir", "local")
}

// path is the local file's, empty when no local federation is named.
func (f *targetFlags) path() string {
	if f.dir != "" {
		return filepath.Join(f.dir, localfile.Name)
	}
	return f.file
}

func newBenchCommand() *cobra.Command {
	var flags benchFlags
	cmd := &cobra.Command{
		Use:   "bench --dir DIR | --gateway URL --key-file FILE --citizens FILE",
		Short: "Drive a running federation and measure what messages cost it",
		Long: `Drive a running federation with invented messages, and measure.

Without --rate, each connection sends its next message when the last one is answered: that finds
the throughput. With --rate, messages are sent at their time whatever the answers do, and latency
counts from that time: that finds the latency at a load. With --bulk, each connection is a stream
of up to --window messages without a verdict.

For a local federation (--dir), the report has the processor time, memory, and bytes sent and
written of each of its processes; the generator's own processor time stands apart. The warm-up
is not measured.`,
		Example: `  staffetta-lab bench --dir /tmp/federation --duration 60s
  staffetta-lab bench --dir /tmp/federation --rate 2500 --json
  staffetta-lab bench --dir /tmp/federation --bulk`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return runBench(cmd, &flags) },
	}
	flags.register(cmd)
	f, c := cmd.Flags(), &flags.load
	f.BoolVar(&c.Bulk, "bulk", false, "send messages as lines of bulk streams, one a connection")
	f.Int64Var(&c.Count, "count", 0, "how many messages to measure")
	f.Float64Var(&c.Rate, "rate", 0, "messages to offer a second (default: as many as are answered)")
	f.Float64Var(&c.UnknownPercent, "unknown", 0, "percent of messages to citizens nobody knows")
	f.BoolVar(&c.Keys, "idempotency-keys", false, "give each message an idempotency key")
	cmd.AddCommand(newBenchIdleCommand(), newBenchLatencyCommand(), newBenchFairnessCommand(),
		newBenchOverloadCommand(), newBenchReadsCommand(), newBenchScaleCommand())
	return cmd
}

// register registers what all kinds of load have in common.
func (f *benchFlags) register(cmd *cobra.Command) {
	f.target.register(cmd)
	f.key.Register(cmd)
	// The key of another service may lie in the environment.
	cli.YieldTo(cmd, "key", "dir", "local")
	cli.YieldTo(cmd, "key-file", "dir", "local")
	flags, c := cmd.Flags(), &f.load
	flags.StringArrayVar(&f.gateways, "gateway", nil, "base URL of a gateway; may be repeated "+
		"(default: those of --dir)")
	flags.StringVar(&f.citizens, "citizens", "", "file of fiscal codes, one a line (default: "+
		"the active citizens of --dir)")
	flags.IntVar(&c.Concurrency, "concurrency", 0, fmt.Sprintf("connections (default %d; bulk "+
		"streams: %d)", load.ConcurrencyDefault, load.StreamsDefault))
	flags.IntVar(&c.Window, "window", 0, fmt.Sprintf("lines of a bulk stream without a verdict "+
		"(default %d)", load.WindowDefault))
	flags.DurationVar(&c.Duration, "duration", 0, fmt.Sprintf("how long to measure (default %v, "+
		"or until --count)", load.DurationDefault))
	flags.DurationVar(&c.WarmUp, "warm-up", load.WarmUpDefault, "load before the measurement")
	flags.Uint64Var(&c.Seed, "seed", 1, "seed of messages and recipients")
	flags.IntVar(&c.MedianBytes, "median", 0, "median size of a message in bytes, 500-4000 "+
		"(default 1400)")
	flags.BoolVar(&c.Zipf, "zipf", false, "prefer few recipients, by Zipf's law (default: all alike)")
}

func runBench(cmd *cobra.Command, flags *benchFlags) error {
	if err := flags.complete(); err != nil {
		return err
	}
	report, err := load.Run(cmd.Context(), flags.load)
	if report == nil {
		return interrupted(err)
	}
	return errors.Join(flags.target.print(cmd, report), interrupted(err))
}

// complete fills the load's target in, from the local federation where flags do not say.
func (f *benchFlags) complete() error {
	key, err := f.key.Read()
	if err != nil {
		return err
	}
	f.load.Gateways, f.load.Key = f.gateways, key
	if path := f.target.path(); path != "" {
		file, err := localfile.Read(path)
		if err != nil {
			return err
		}
		f.load.Federation = load.Local(path)
		if len(f.load.Gateways) == 0 {
			for _, g := range file.Gateways {
				f.load.Gateways = append(f.load.Gateways, g.URL)
			}
		}
		if s, ok := file.Service(""); ok && f.key == (cli.KeyFlags{}) {
			f.load.Key = s.PrimaryKey
		}
		if f.citizens == "" {
			f.load.Codes, err = localCitizens(path, file)
			if err != nil {
				return err
			}
		}
	}
	if f.citizens != "" {
		if f.load.Codes, err = readCitizens(f.citizens); err != nil {
			return fmt.Errorf("--citizens: %w", err)
		}
	}
	if len(f.load.Gateways) == 0 || f.load.Key == "" {
		return errors.New("give --dir of a local federation, or --gateway, a key and --citizens")
	}
	return nil
}

// localCitizens are the active citizens: all of them from the file beside path, or else those
// that the local file names.
func localCitizens(path string, file *localfile.File) ([]fiscalcode.Code, error) {
	codes, err := readCitizens(filepath.Join(filepath.Dir(path), citizensFile))
	if err == nil && len(codes) > 0 || err != nil && !errors.Is(err, os.ErrNotExist) {
		return codes, err
	}
	codes = nil
	for _, c := range file.Citizens {
		if code, err := fiscalcode.Parse(c.FiscalCode); err == nil && c.State == localfile.Active {
			codes = append(codes, code)
		}
	}
	return codes, nil
}

// readCitizens reads a file of fiscal codes. Its errors name lines, never what is on them.
func readCitizens(path string) ([]fiscalcode.Code, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	var codes []fiscalcode.Code
	lines := bufio.NewScanner(f)
	for number := 1; lines.Scan(); number++ {
		if len(lines.Bytes()) == 0 {
			continue
		}
		code, err := fiscalcode.Parse(lines.Text())
		if err != nil {
			return nil, fmt.Errorf("%s: line %d: %w", path, number, err)
		}
		if codes = append(codes, code); len(codes) > benchCitizensMax {
			return nil, fmt.Errorf("%s: more than %d codes", path, benchCitizensMax)
		}
	}
	return codes, lines.Err()
}

// newBenchIdleCommand measures without load.
func newBenchIdleCommand() *cobra.Command {
	var flags targetFlags
	var d time.Duration
	cmd := &cobra.Command{
		Use:   "idle --dir DIR",
		Short: "Measure what a federation costs that nobody uses",
		Long: `Watch the processes of a local federation without sending anything: processor time in
percent of one core, memory, bytes sent, and which groups each node leads.`,
		Example: `  staffetta-lab bench idle --dir /tmp/federation`,
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if flags.path() == "" {
				return errors.New("give --dir of a local federation")
			}
			report, err := load.Idle(cmd.Context(), load.Local(flags.path()), d)
			if report == nil {
				return interrupted(err)
			}
			return errors.Join(flags.print(cmd, report), interrupted(err))
		},
	}
	flags.register(cmd)
	cmd.Flags().DurationVar(&d, "duration", time.Minute, "how long to watch")
	return cmd
}

// print writes a report, for machines or for people.
func (f *targetFlags) print(cmd *cobra.Command, report interface{ Write(io.Writer) error }) error {
	if !f.json {
		return report.Write(cmd.OutOrStdout())
	}
	enc := json.NewEncoder(cmd.OutOrStdout())
	enc.SetIndent("", "  ")
	return enc.Encode(report)
}

// interrupted gives a Ctrl-C its exit code; other errors stay.
func interrupted(err error) error {
	if errors.Is(err, context.Canceled) {
		return &cli.ExitError{Code: cli.ExitInterrupted, Err: errors.New("interrupted")}
	}
	return err
}
