package admin

import (
	"context"
	"errors"
	"fmt"
	"io"
	"text/tabwriter"

	"github.com/spf13/cobra"
	"github.com/staffetta/staffetta/cmd/internal/cli"
	"github.com/staffetta/staffetta/internal/operator"
	"github.com/staffetta/staffetta/wire"
)

func newUpgradeCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "upgrade",
		Short: "Show how far an upgrade is, and finalise it",
	}
	cmd.AddCommand(newUpgradeStatusCommand(), newUpgradeFinaliseCommand())
	return cmd
}

// upgradeReport is what `upgrade status` and `upgrade finalise` say.
type upgradeReport struct {
	// Active is the version that the federation's log holds, Ready the newest that every node's
	// program knows, 0 while one does not answer.
	Active uint32        `json:"active_version"`
	Ready  uint32        `json:"ready_for_version"`
	Nodes  []nodeVersion `json:"nodes"`
	// Finalised, of `finalise`: it was done.
	Finalised bool `json:"finalised"`
}

type nodeVersion struct {
	Node    wire.NodeID   `json:"node"`
	Region  wire.RegionID `json:"region"`
	Program uint32        `json:"program_version"` // 0: it does not answer
	Active  uint32        `json:"region_active_version"`
}

func reportUpgrade(u *wire.Upgrade) upgradeReport {
	r := upgradeReport{Active: u.Active, Ready: u.Newest}
	for _, n := range u.Nodes {
		r.Nodes = append(r.Nodes, nodeVersion{Node: n.Node, Region: n.Region, Program: n.Version,
			Active: n.Active})
		r.Ready = min(r.Ready, n.Version)
	}
	return r
}

func (r upgradeReport) text(out io.Writer) error {
	w := tabwriter.NewWriter(out, 0, 8, 2, ' ', 0)
	fmt.Fprintln(w, "node\tregion\tprogram knows\tregion's log")
	for _, n := range r.Nodes {
		if n.Program == 0 {
			fmt.Fprintf(w, "%s\t%s\tno answer\t\n", n.Node, n.Region)
			continue
		}
		fmt.Fprintf(w, "%s\t%s\tversion %d\tversion %d\n", n.Node, n.Region, n.Program, n.Active)
	}
	if err := w.Flush(); err != nil {
		return err
	}
	_, err := fmt.Fprintf(out, "the federation's log: version %d; %s\n", r.Active, r.next())
	return err
}

// next says what there is to do.
func (r upgradeReport) next() string {
	switch {
	case r.Ready == 0:
		return "not every node answers"
	case r.Ready > r.Active:
		return fmt.Sprintf("every node knows version %d: `staffetta admin upgrade finalise` begins "+
			"to use it, and there is no way back from it", r.Ready)
	case r.Ready < r.Active:
		return fmt.Sprintf("a node knows versions up to %d only and cannot go on", r.Ready)
	}
	return "nothing to finalise"
}

func newUpgradeStatusCommand() *cobra.Command {
	var flags viewFlags
	cmd := &cobra.Command{
		Use:   "status",
		Short: "Show which versions of the logs every node's program knows, and which are in use",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return flags.with(cmd, adminWait, func(ctx context.Context, op *operator.Client) error {
				u, err := op.Upgrade(ctx)
				if err != nil {
					return fmt.Errorf("upgrade status: %w", err)
				}
				r := reportUpgrade(u)
				return cli.PrintReport(cmd.OutOrStdout(), flags.asJSON, r, r.text)
			})
		},
	}
	flags.register(cmd)
	return cmd
}

func newUpgradeFinaliseCommand() *cobra.Command {
	var (
		flags  viewFlags
		dryRun bool
	)
	cmd := &cobra.Command{
		Use:   "finalise",
		Short: "Begin to use the newest version that every node's program knows",
		Long: `Begin to use the newest version of the logs that every node's program knows. Until then
any node may go back to the program before; from then on none may, and one that is started all the
same refuses its data. Each region follows by itself once all its nodes answer. Again it changes
nothing.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return flags.with(cmd, adminWait, func(ctx context.Context, op *operator.Client) error {
				r, err := finaliseUpgrade(ctx, op, dryRun)
				if err != nil {
					return fmt.Errorf("upgrade finalise: %w", err)
				}
				return cli.PrintReport(cmd.OutOrStdout(), flags.asJSON, r, func(out io.Writer) error {
					return r.textOfFinalise(out, dryRun)
				})
			})
		},
	}
	flags.register(cmd)
	cmd.Flags().BoolVar(&dryRun, "dry-run", false, "only say what would be done")
	return cmd
}

func finaliseUpgrade(ctx context.Context, op *operator.Client, dryRun bool) (upgradeReport, error) {
	u, err := op.Upgrade(ctx)
	if err != nil {
		return upgradeReport{}, err
	}
	r := reportUpgrade(u)
	for _, n := range r.Nodes {
		if n.Program == 0 {
			return r, fmt.Errorf("%s does not answer: start it, or remove it from the federation if "+
				"it is lost for good", n.Node)
		}
	}
	if r.Ready < r.Active {
		return r, errors.New(r.next())
	}
	if r.Ready == r.Active && !dryRun {
		return r, nil
	}
	if dryRun {
		ctx = operator.Rehearse(ctx)
	}
	if err := op.Finalise(ctx, r.Ready); err != nil || dryRun {
		return r, err
	}
	r.Active, r.Finalised = r.Ready, true
	return r, nil
}

func (r upgradeReport) textOfFinalise(out io.Writer, dryRun bool) error {
	var err error
	switch {
	case r.Finalised:
		_, err = fmt.Fprintf(out, "the federation's log goes on in version %d, the regions' follow\n",
			r.Active)
	case r.Ready > r.Active && dryRun:
		_, err = fmt.Fprintf(out, "would go on from version %d to %d\n", r.Active, r.Ready)
	default:
		_, err = fmt.Fprintf(out, "version %d is in use; %s\n", r.Active, r.next())
	}
	return err
}

// releasedBallast is what `disk release-ballast` says.
type releasedBallast struct {
	Node  string `json:"node"`
	Bytes uint64 `json:"released_bytes"`
	Done  bool   `json:"done"`
}

func (r releasedBallast) text(out io.Writer) error {
	if !r.Done {
		_, err := fmt.Fprintf(out, "%s would release its ballast\n", r.Node)
		return err
	}
	_, err := fmt.Fprintf(out, "%s released %d MiB\n", r.Node, r.Bytes>>20)
	return err
}

func newDiskCommand() *cobra.Command {
	cmd := &cobra.Command{Use: "disk", Short: "Make room on a node's disk"}
	var flags changeFlags
	release := &cobra.Command{
		Use:   "release-ballast NODE",
		Short: "Delete a node's ballast, to have its space at once",
		Long: `Delete a node's ballast, to have its space at once. The node makes a new one at its next
start, if there is room for it above the low watermark. Again it changes nothing.`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return flags.with(cmd, adminWait, func(ctx context.Context, op *operator.Client) error {
				r := releasedBallast{Node: args[0], Done: !flags.dryRun}
				_, err := op.Map(ctx)
				if flags.dryRun {
					ctx = operator.Rehearse(ctx)
				}
				if err == nil {
					r.Bytes, err = op.ReleaseBallast(ctx, wire.NodeID(args[0]))
				}
				if err != nil {
					return fmt.Errorf("release the ballast of %s: %w", args[0], err)
				}
				return cli.PrintReport(cmd.OutOrStdout(), flags.asJSON, r, r.text)
			})
		},
	}
	flags.register(release)
	cmd.AddCommand(release)
	return cmd
}
