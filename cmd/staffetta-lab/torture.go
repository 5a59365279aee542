package main

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"
	"github.com/staffetta/staffetta/testcluster/torture"
)

func newTortureCommand() *cobra.Command {
	var (
		cfg          torture.Config
		list, asJSON bool
	)
	cmd := &cobra.Command{
		Use:   "torture",
		Short: "Put a federation through faults, and judge what it kept and what it told",
		Long: `Start a federation on this machine, let clients use it, and inject faults from a seed:
processes that die and freeze, a network that loses, repeats and cuts, disks that fail, clocks that
jump. Then mend everything and judge: every acknowledged message is there once, verdicts and
profiles are linearizable, replicas agree, no disk has what it may not have, and writes came back.

The timeline goes to standard error, the report to standard output. When something is found, all
data, logs and histories stay, with the command line that repeats the run, and the exit code is 1.

Faults of disks need root's rights, loop devices and mkfs.ext4; without them they are left out.`,
		Example: `  staffetta-lab torture --seed 1 --duration 60s`,
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if list {
				return listFaults(cmd)
			}
			var err error
			if cfg.Binary, err = os.Executable(); err != nil {
				return err
			}
			if cfg.Dir == "" {
				if cfg.Dir, err = os.MkdirTemp("", "staffetta-torture-"); err != nil {
					return err
				}
			}
			if !cmd.Flags().Changed("seed") {
				cfg.Seed = rand.Uint64() >> 32 // short enough to be copied by hand
			}
			cfg.Timeline = cmd.ErrOrStderr()
			fmt.Fprintln(cfg.Timeline, cfg.Again())
			return runTorture(cmd, cfg, asJSON)
		},
	}
	f := cmd.Flags()
	f.Uint64Var(&cfg.Seed, "seed", 0, "seed of faults and clients (default: a fresh one)")
	f.DurationVar(&cfg.Duration, "duration", time.Minute, "how long faults and clients are at work")
	f.StringSliceVar(&cfg.Faults, "faults", nil, "names of the faults to choose from (default: all)")
	f.BoolVar(&list, "list", false, "list the faults and end")
	f.StringSliceVar(&cfg.Regions, "regions", []string{"lazio", "lombardia", "sicilia"}, "regions")
	f.IntVar(&cfg.Nodes, "nodes", 3, "relay nodes per region")
	f.BoolVar(&asJSON, "json", false, "print the report as JSON")
	f.BoolVar(&cfg.Keep, "keep", false, "keep all data also when nothing was found")
	f.StringVar(&cfg.Dir, "dir", "", "empty directory for the run (default: a fresh temporary one)")
	return cmd
}

func runTorture(cmd *cobra.Command, cfg torture.Config, asJSON bool) error {
	report, err := torture.Run(cmd.Context(), cfg)
	if report != nil {
		print := report.WriteText
		if asJSON {
			print = report.WriteJSON
		}
		err = errors.Join(err, print(cmd.OutOrStdout()))
	}
	switch {
	case err != nil:
		return err
	case report.Violations > 0:
		return fmt.Errorf("%d violations; everything is kept in %s", report.Violations, report.Dir)
	case !report.Complete:
		return errors.New("interrupted")
	}
	return nil
}

func listFaults(cmd *cobra.Command) error {
	table := tabwriter.NewWriter(cmd.OutOrStdout(), 0, 0, 2, ' ', 0)
	for _, f := range torture.Faults() {
		fmt.Fprintf(table, "%s\t%s\n", f.Name, f.About)
	}
	return table.Flush()
}
