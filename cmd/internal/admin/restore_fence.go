package admin

import (
	"fmt"
	"slices"

	"github.com/spf13/cobra"
	"github.com/staffetta/staffetta/internal/operator"
	"github.com/staffetta/staffetta/wire"
	"github.com/staffetta/staffetta/wire/link"
)

func newRestoreFenceCommand() *cobra.Command {
	var (
		fence  wire.FenceRegion
		region string
	)
	return command{
		use:   "fence --region R --incarnation N",
		short: "Fence a region's present incarnation, before the region is restored",
		long: `Make N the region's incarnation in the map: one more than the present one, which
--dry-run shows. When it is N already, nothing changes. Every node of the region that still runs
stops when it hears of it, for good, and what it says to the directory is refused. The region serves
again when it is restored as incarnation N.

Nodes of the region that vote in the federation's group lose that vote to others, since on a new
disk they have forgotten what they voted for: the command waits until that is done. Refused when
the federation would have no majority without the region's nodes, and for a region that answers.`,
		dry: dryDo,
		flags: func(f *flagSet) {
			f.need(&region, "region", "the region")
			f.Uint32Var(&fence.Incarnation, "incarnation", 0, "its next incarnation")
			f.healthy(&fence.Healthy)
			f.required("incarnation")
		},
		bound: within(adminWait + membersWait),
		ask: func(c *invocation) (report, error) {
			m, r, err := c.onMap("region", region)
			if err != nil {
				return nil, err
			}
			fence.Region = r.ID
			told := fenceReport{Done: !c.dry, Region: r.ID, Before: r.Incarnation,
				Incarnation: fence.Incarnation}
			if err := c.op.FenceRegion(c.ctx, &fence); err != nil || c.dry {
				return told, err
			}
			err = awaitFence(c, m, &told)
			return told, err
		},
	}.build()
}

// awaitFence waits until the region's nodes do not vote in the federation any more.
func awaitFence(c *invocation, before *wire.Map, r *fenceReport) error {
	return await(c, func() (string, bool, error) {
		m, err := c.op.Map(c.ctx)
		if err != nil {
			return "", false, err
		}
		if now, ok := m.RegionByID(r.Region); ok && now.Incarnation != r.Incarnation {
			return "the node that is asked has not heard of it yet", false, nil
		}
		is := operator.VotersOf(m)
		if r.Voters = is; slices.Equal(is, operator.VotersOf(before)) {
			r.Voters = nil
		}
		r.Keep = slices.DeleteFunc(slices.Clone(is), func(id wire.NodeID) bool {
			n, _ := m.Node(id)
			return n.Region != r.Region
		})
		if len(r.Keep) > 0 {
			return "", true, nil
		}
		g, err := c.op.Members(c.ctx, link.FederationGroup)
		if err != nil {
			return "", false, err
		}
		for _, member := range g.List {
			if n, _ := m.Node(member.Node); n.Region == r.Region && member.Voter {
				return fmt.Sprintf("%s still votes in the federation", member.Node), false, nil
			}
		}
		return "", true, nil
	})
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

func (r fenceReport) text(p *page) {
	if r.Before == r.Incarnation {
		p.printf("region %s is of incarnation %d already: it was fenced before\n", r.Region,
			r.Incarnation)
	} else {
		p.printf("region %s %s of incarnation %d, after %d\n", r.Region,
			either(r.Done, "is", "would be"), r.Incarnation, r.Before)
	}
	if len(r.Voters) > 0 {
		p.printf("in the federation group vote %s; when the region is back, give its nodes votes "+
			"again: staffetta admin voters NODE…\n", join(r.Voters, " "))
	}
	if len(r.Keep) > 0 {
		p.printf("%s keep their votes in the federation group, since nobody can take them: while "+
			"they start on new disks, let every other voter run; then add nodes, and name the voters: "+
			"staffetta admin voters NODE…\n", join(r.Keep, " "))
	}
}
