package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	"github.com/staffetta/staffetta/internal/localfile"
	"github.com/staffetta/staffetta/testcluster/process"
	"golang.org/x/sync/errgroup"
)

func newLocalCommand() *cobra.Command {
	var (
		cfg  process.Config
		demo bool
	)
	cmd := &cobra.Command{
		Use:   "local",
		Short: "Run a whole federation on this machine",
		Long: `Run a whole federation on this machine, as real processes: relay nodes of several
regions and a gateway, with three institutions and synthetic citizens.

Ctrl-C ends everything. Started again on the same --dir, it comes back with all its data; then
the flags that shape it (--regions, --nodes, --gateways, --citizens, --seed) hold as they were.`,
		Example: `  staffetta local --regions lazio,sicilia --nodes 1`,
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := refuseNone(cmd.Flags()); err != nil {
				return err
			}
			binary, err := os.Executable()
			if err != nil {
				return err
			}
			if cfg.Dir == "" {
				if cfg.Dir, err = os.MkdirTemp("", "staffetta-"); err != nil {
					return err
				}
			}
			cfg.Binary, cfg.Events = binary, cmd.ErrOrStderr()
			cfg.IdentityProvider = true
			return runLocal(cmd.Context(), cfg, demo, cmd.OutOrStdout())
		},
	}
	f := cmd.Flags()
	f.StringVar(&cfg.Dir, "dir", "", "directory of the federation (default: a fresh temporary one)")
	f.StringSliceVar(&cfg.Regions, "regions", []string{"lazio", "lombardia", "sicilia"}, "regions")
	f.IntVar(&cfg.Nodes, "nodes", 3, "relay nodes per region")
	f.IntVar(&cfg.Gateways, "gateways", 1, "gateways")
	f.StringVar(&cfg.HTTP, "http", "127.0.0.1:8080", "address of the first gateway")
	f.StringVar(&cfg.LogStore, "log-store", "wal", "store of the Raft logs: wal or bolt")
	f.BoolVar(&cfg.Restart, "restart", true, "start a process again that dies")
	f.IntVar(&cfg.Citizens, "citizens", 2, "active synthetic citizens per region")
	f.Uint64Var(&cfg.Seed, "seed", 1, "seed of the synthetic citizens")
	f.StringVar(&cfg.LogLevel, "log-level", "info", "of the processes' logs")
	f.StringArrayVar(&cfg.GatewayFlags, "gateway-flag", nil, "another flag of every gateway, as "+
		"name=value; may be repeated")
	f.BoolVar(&demo, "demo", true, "on the first start, send a message to each citizen and show "+
		"their inboxes")
	return cmd
}

// refuseNone refuses a federation without something that it cannot be without: package process
// takes none for the default.
func refuseNone(flags *pflag.FlagSet) error {
	for _, name := range []string{"nodes", "gateways", "citizens"} {
		if n, err := flags.GetInt(name); err != nil || n == 0 {
			return errors.Join(err, fmt.Errorf("--%s 0: at least 1 is needed", name))
		}
	}
	if regions, err := flags.GetStringSlice("regions"); err != nil || len(regions) == 0 {
		return errors.Join(err, errors.New("--regions names no region"))
	}
	return nil
}

// runLocal runs the federation until ctx ends.
func runLocal(ctx context.Context, cfg process.Config, demo bool, out io.Writer) error {
	started := time.Now()
	f, err := process.New(cfg)
	if err != nil {
		return err
	}
	remote, err := newSample()
	if err != nil {
		return err
	}
	fmt.Fprintf(out, "Starting a federation in %s\n", f.Dir())
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { return f.Run(ctx) })
	g.Go(func() error { return remote.run(ctx) })
	g.Go(func() error {
		select {
		case <-f.Ready():
		case <-ctx.Done():
			return nil
		}
		file := f.File()
		if err := remote.configure(ctx, f.Dir(), file); err != nil && ctx.Err() == nil {
			return fmt.Errorf("the sample institution: %w", err)
		}
		plural := "s"
		if len(file.Gateways) == 1 {
			plural = ""
		}
		fmt.Fprintf(out, "Ready after %.1f s: %d nodes, %d gateway%s, described in %s\n\n",
			time.Since(started).Seconds(), len(file.Nodes), len(file.Gateways), plural,
			filepath.Join(f.Dir(), localfile.Name))
		if demo && f.Fresh() {
			if err := runDemo(ctx, file, out); err != nil && ctx.Err() == nil {
				return fmt.Errorf("the demonstration failed: %w", err)
			}
		}
		printHints(out, f.Dir(), file)
		return nil
	})
	return g.Wait()
}
