package admin

import (
	"context"
	"fmt"
	"io"

	"github.com/spf13/cobra"
	"github.com/staffetta/staffetta/cmd/internal/cli"
	"github.com/staffetta/staffetta/internal/operator"
	"github.com/staffetta/staffetta/wire"
)

func newRegionKeyCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "region-key",
		Short: "Show and rotate the key to which messages for a region that is away are sealed",
	}
	cmd.AddCommand(newRegionKeyShowCommand(), newRegionKeyRotateCommand())
	return cmd
}

// regionKeyReport is what both commands say.
type regionKeyReport struct {
	Region    wire.RegionID `json:"region"`
	Key       uint32        `json:"key"`     // the newest one's number; 0: none yet
	Made      wire.Time     `json:"made_ms"` // since the Unix epoch
	Published bool          `json:"published"`
	// Rotated: this command had the key made, or with --dry-run would have.
	Rotated bool `json:"rotated"`
}

func (r *regionKeyReport) text(out io.Writer) error {
	if r.Key == 0 {
		_, err := fmt.Fprintf(out, "region %s has no key yet: its leader makes one\n", r.Region)
		return err
	}
	on := "is on the map"
	if !r.Published {
		on = "is not on the map yet"
	}
	_, err := fmt.Fprintf(out, "region %s: key %d, made %s, %s\n", r.Region, r.Key, r.Made, on)
	return err
}

func newRegionKeyShowCommand() *cobra.Command {
	var (
		flags  viewFlags
		region string
	)
	cmd := &cobra.Command{
		Use:   "show --region REGION",
		Short: "Show a region's newest key: its number, its age, whether the map has it",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return flags.with(cmd, adminWait, func(ctx context.Context, op *operator.Client) error {
				info, err := op.RegionKey(ctx, wire.RegionID(region))
				if err != nil {
					return fmt.Errorf("region-key show: %w", err)
				}
				r := regionKeyReport{Region: wire.RegionID(region), Key: info.ID, Made: info.At,
					Published: info.Published}
				return cli.PrintReport(cmd.OutOrStdout(), flags.asJSON, r, r.text)
			})
		},
	}
	flags.register(cmd)
	cmd.Flags().StringVar(&region, "region", "", "the region")
	cmd.MarkFlagRequired("region")
	return cmd
}

func newRegionKeyRotateCommand() *cobra.Command {
	var (
		flags  viewFlags
		region string
		after  uint32
		dryRun bool
	)
	cmd := &cobra.Command{
		Use:   "rotate --region REGION [--after KEY]",
		Short: "Have a region make a new key, and put it on the map",
		Long: `Have a region make a new key, and put it on the map. What was sealed to older keys still
opens: the region keeps them. With --after a new one is made only when there is none newer than
that, so that the same command again changes nothing; without it each run makes one.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return flags.with(cmd, adminWait, func(ctx context.Context, op *operator.Client) error {
				r, err := rotateRegionKey(ctx, op, wire.RegionID(region), after,
					cmd.Flags().Changed("after"), dryRun)
				if err != nil {
					return fmt.Errorf("region-key rotate: %w", err)
				}
				return cli.PrintReport(cmd.OutOrStdout(), flags.asJSON, r, func(out io.Writer) error {
					if dryRun && r.Rotated {
						fmt.Fprintln(out, "a new key would be made, in place of:")
					} else if !r.Rotated {
						fmt.Fprintln(out, "nothing to do:")
					}
					return r.text(out)
				})
			})
		},
	}
	flags.register(cmd)
	cmd.Flags().StringVar(&region, "region", "", "the region")
	cmd.Flags().Uint32Var(&after, "after", 0, "number of the key that is to be replaced; "+
		"default: the newest")
	cmd.Flags().BoolVar(&dryRun, "dry-run", false, "only say what would be done")
	cmd.MarkFlagRequired("region")
	return cmd
}

func rotateRegionKey(ctx context.Context, op *operator.Client, region wire.RegionID,
	after uint32, given, dryRun bool) (*regionKeyReport, error) {
	before, err := op.RegionKey(ctx, region)
	if err != nil {
		return nil, err
	}
	if !given {
		after = before.ID
	}
	if dryRun {
		ctx = operator.Rehearse(ctx)
	}
	info, err := op.RotateRegionKey(ctx, region, after)
	if err != nil {
		return nil, err
	}
	return &regionKeyReport{Region: region, Key: info.ID, Made: info.At, Published: info.Published,
		Rotated: before.ID <= after}, nil
}
