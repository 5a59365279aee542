package admin

import (
	"context"
	"fmt"
	"io"

	"github.com/spf13/cobra"
	"github.com/staffetta/staffetta/cmd/internal/cli"
	"github.com/staffetta/staffetta/internal/operator"
	"github.com/staffetta/staffetta/wire"
	"github.com/staffetta/staffetta/wire/link"
)

func newRestoreFenceCommand() *cobra.Command {
	var (
		flags          operatorFlags
		fence          wire.FenceRegion
		region         string
		asJSON, dryRun bool
	)
	cmd := &cobra.Command{
		Use:   "fence --region R --incarnation N",
		Short: "End a region's present incarnation, before it is restored",
		Long: `Make N the region's incarnation in the map: one more than the present one, which
--dry-run shows. When it is N already, nothing changes. Every node of the region that still runs
stops when it hears of it, for good, and what it says to the directory is refused. The region serves
again when it is restored as incarnation N.

Nodes of the region that vote in the federation's group lose that vote to others, since on a new
disk they have forgotten what they voted for: the command waits until that is done. Refused when
the federation would have no majority without the region's nodes, and for a region that answers.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			fence.Region, fence.DryRun = wire.RegionID(region), dryRun
			return withMap(cmd.Context(), &flags,
				func(ctx context.Context, op *operator.Client, m *wire.Map) error {
					r, ok := m.RegionByID(fence.Region)
					if !ok {
						return fmt.Errorf("--region: no region %q on the map", region)
					}
					report := fenceReport{Done: !dryRun, Region: fence.Region,
						Before: r.Incarnation, Incarnation: fence.Incarnation}
					if err := fenceRegion(ctx, cmd.ErrOrStderr(), op, &fence, m, &report); err != nil {
						return fmt.Errorf("fence region %s: %w", region, err)
					}
					return cli.PrintReport(cmd.OutOrStdout(), asJSON, report, report.text)
				})
		},
	}
	flags.register(cmd)
	cmd.Flags().StringVar(&region, "region", "", "the region")
	cmd.Flags().Uint32Var(&fence.Incarnation, "incarnation", 0, "its next incarnation")
	registerHealthy(cmd, &fence.Healthy)
	cmd.Flags().BoolVar(&dryRun, "dry-run", false, "only say whether it would be done")
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	cmd.MarkFlagRequired("region")
	cmd.MarkFlagRequired("incarnation")
	return cmd
}

// fenceReport is what `restore fence` says.
type fenceReport struct {
	Done   bool          `json:"done"`
	Region wire.RegionID `json:"region"`
	// Before is the incarnation that the command found: the same when it was fenced already.
	Before      uint32 `json:"incarnation_before"`
	Incarnation uint32 `json:"incarnation"`
	// Voters are the federation's from now on, when they are others than before.
	Voters []wire.NodeID `json:"federation_voters,omitempty"`
	// Keep are nodes of the region that keep their vote: there is nobody to take it.
	Keep []wire.NodeID `json:"federation_votes_kept,omitempty"`
}

// fenceRegion fences, and waits until the region's nodes do not vote in the federation any more.
func fenceRegion(ctx context.Context, progress io.Writer, op *operator.Client, f *wire.FenceRegion,
	before *wire.Map, r *fenceReport) error {
	ctx, cancel := context.WithTimeout(ctx, adminWait+membersWait)
	defer cancel()
	if err := op.FenceRegion(ctx, f); err != nil || f.DryRun {
		return err
	}
	return await(ctx, progress, func(ctx context.Context) (string, bool, error) {
		m, err := op.Map(ctx)
		if err != nil {
			return "", false, err
		}
		if now, ok := m.RegionByID(f.Region); ok && now.Incarnation != f.Incarnation {
			return "the node that is asked has not heard of it yet", false, nil
		}
		r.Keep, r.Voters = votersOfRegion(m, f.Region), nil
		if is := votersOf(m); joinIDs(is) != joinIDs(votersOf(before)) {
			r.Voters = is
		}
		if len(r.Keep) > 0 {
			return "", true, nil
		}
		g, err := op.Members(ctx, link.FederationGroup)
		if err != nil {
			return "", false, err
		}
		for _, member := range g.List {
			if n, _ := m.Node(member.Node); n.Region == f.Region && member.Voter {
				return fmt.Sprintf("%s still votes in the federation", member.Node), false, nil
			}
		}
		return "", true, nil
	})
}

// votersOfRegion are the nodes of a region that vote in the federation's group.
func votersOfRegion(m *wire.Map, region wire.RegionID) (ids []wire.NodeID) {
	for _, n := range m.Nodes {
		if n.Voter && n.Region == region {
			ids = append(ids, n.ID)
		}
	}
	return ids
}

func (r fenceReport) text(out io.Writer) error {
	verb := "would be"
	if r.Done {
		verb = "is"
	}
	what := fmt.Sprintf("region %s %s of incarnation %d, after %d\n", r.Region, verb,
		r.Incarnation, r.Before)
	if r.Before == r.Incarnation {
		what = fmt.Sprintf("region %s is of incarnation %d already: it was fenced before\n",
			r.Region, r.Incarnation)
	}
	if len(r.Voters) > 0 {
		what += fmt.Sprintf("in the federation group vote %s; when the region is back, give its "+
			"nodes votes again: staffetta admin voters NODE…\n", joinIDs(r.Voters))
	}
	if len(r.Keep) > 0 {
		what += fmt.Sprintf("%s keep their votes in the federation group, since nobody can take "+
			"them: while they start on new disks, let every other voter run; then add nodes, and "+
			"name the voters: staffetta admin voters NODE…\n", joinIDs(r.Keep))
	}
	_, err := fmt.Fprint(out, what)
	return err
}
