package admin

import (
	"context"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/staffetta/staffetta/cmd/internal/cli"
	"github.com/staffetta/staffetta/internal/operator"
	"github.com/staffetta/staffetta/wire"
)

// fetchWait bounds `restore moved`: some thousands of citizens.
const fetchWait = time.Hour

func newSpoolCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "spool",
		Short: "Give up what waits for a region that cannot read it",
	}
	cmd.AddCommand(newSpoolDiscardCommand())
	return cmd
}

// discardReport is what `spool discard` says.
type discardReport struct {
	Home     wire.RegionID `json:"home"`
	Owner    wire.RegionID `json:"owner"`
	Blocks   uint64        `json:"blocks"`
	Messages uint64        `json:"messages"`
	Left     uint64        `json:"left"` // blocks that may be with the owner once more
	Reasons  []string      `json:"reasons"`
	Done     bool          `json:"done"`
}

func (r *discardReport) text(out io.Writer) error {
	verb := "discarded"
	if !r.Done {
		verb = "would be discarded"
	}
	fmt.Fprintf(out, "spool of region %s: %d messages in %d blocks for region %s %s\n", r.Home,
		r.Messages, r.Blocks, r.Owner, verb)
	if len(r.Reasons) > 0 {
		fmt.Fprintf(out, "region %s said: %s\n", r.Owner, strings.Join(r.Reasons, "; "))
	}
	if r.Left > 0 {
		fmt.Fprintf(out, "%d more blocks are being tried once more: run this again in a moment\n",
			r.Left)
	}
	return nil
}

func (r *discardReport) Failure() error {
	if r.Left > 0 && r.Done {
		return fmt.Errorf("%d blocks for region %s are not discarded", r.Left, r.Owner)
	}
	return nil
}

func newSpoolDiscardCommand() *cobra.Command {
	var (
		flags       viewFlags
		home, owner string
		dryRun      bool
	)
	cmd := &cobra.Command{
		Use:   "discard --home REGION --owner REGION",
		Short: "Discard the blocks that their owner says it cannot read",
		Long: `Discard the blocks that wait in one region's spool and that their owner says it cannot
read, such as those sealed to a key that it lost with its disks. Their messages end as FAILED, which
their senders see, and their idempotency keys are free: an institution may send again. What the
owner reads, or was not asked for yet, stays. There is no way back: if a newer backup of the owner
has the key, restore that.`,
		Example: `  staffetta admin spool discard --dir DIR --home lazio --owner sicilia --dry-run`,
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return flags.with(cmd, adminWait, func(ctx context.Context, op *operator.Client) error {
				d, err := op.DiscardSpooled(ctx, wire.RegionID(home), wire.RegionID(owner), dryRun)
				if err != nil {
					return fmt.Errorf("spool discard: %w", err)
				}
				r := &discardReport{Home: wire.RegionID(home), Owner: wire.RegionID(owner),
					Blocks: d.Blocks, Messages: d.Records, Left: d.Left, Reasons: d.Reasons,
					Done: !dryRun}
				return cli.PrintReport(cmd.OutOrStdout(), flags.asJSON, r, r.text)
			})
		},
	}
	flags.register(cmd)
	cmd.Flags().StringVar(&home, "home", "", "the region in whose spool the blocks wait")
	cmd.Flags().StringVar(&owner, "owner", "", "the region that cannot read them")
	cmd.Flags().BoolVar(&dryRun, "dry-run", false, "only say what would be discarded, and why")
	cmd.MarkFlagRequired("home")
	cmd.MarkFlagRequired("owner")
	return cmd
}

// movedReport is what `restore moved` says.
type movedReport struct {
	Region   wire.RegionID `json:"region"`
	From     wire.RegionID `json:"from"`
	Citizens uint64        `json:"citizens"`
	Failed   uint64        `json:"failed"`
	Reason   string        `json:"reason,omitempty"`
	Done     bool          `json:"done"`
}

func (r *movedReport) text(out io.Writer) error {
	verb := "was fetched"
	if !r.Done {
		verb = "would be fetched"
	}
	_, err := fmt.Fprintf(out, "region %s: what region %s still has of %d citizens %s\n", r.Region,
		r.From, r.Citizens, verb)
	if r.Failed > 0 {
		_, err = fmt.Fprintf(out, "not of %d others: %s; run this again\n", r.Failed, r.Reason)
	}
	return err
}

func (r *movedReport) Failure() error {
	if r.Failed > 0 {
		return fmt.Errorf("%d citizens of region %s are not fetched", r.Failed, r.From)
	}
	return nil
}

func newRestoreMovedCommand() *cobra.Command {
	var (
		flags        viewFlags
		region, from string
		dryRun       bool
	)
	cmd := &cobra.Command{
		Use:   "moved --region R --from R",
		Short: "Fetch what citizens who moved to a restored region left where they came from",
		Long: `A region that was restored from a copy owns citizens who moved there after the copy was
made, and has nothing of them. The region that they came from keeps what it handed over for a time,
see --keep-moved of its nodes. Fetch it: messages, verdicts and idempotency keys, and the profile
with its preferences of those who have not logged in again since. What the restored region has
decided since stays. Nobody's messages are doubled; the same command again changes nothing.`,
		Example: `  staffetta admin restore moved --dir DIR --region lazio --from sicilia`,
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return flags.with(cmd, fetchWait, func(ctx context.Context, op *operator.Client) error {
				sum, err := op.FetchMoved(ctx, wire.RegionID(region), wire.RegionID(from), dryRun,
					func(at wire.FetchedMoved) {
						if at.More {
							fmt.Fprintf(cmd.ErrOrStderr(), "%d citizens\n", at.Citizens)
						}
					})
				if err != nil {
					return fmt.Errorf("restore moved, after %d citizens: %w", sum.Citizens, err)
				}
				r := &movedReport{Region: wire.RegionID(region), From: wire.RegionID(from),
					Citizens: sum.Citizens, Failed: sum.Failed, Reason: sum.Reason, Done: !dryRun}
				return cli.PrintReport(cmd.OutOrStdout(), flags.asJSON, r, r.text)
			})
		},
	}
	flags.register(cmd)
	cmd.Flags().StringVar(&region, "region", "", "the region that was restored")
	cmd.Flags().StringVar(&from, "from", "", "the region that citizens came from")
	cmd.Flags().BoolVar(&dryRun, "dry-run", false, "only count the citizens")
	cmd.MarkFlagRequired("region")
	cmd.MarkFlagRequired("from")
	return cmd
}
