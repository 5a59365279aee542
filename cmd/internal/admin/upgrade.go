package admin

import (
	"errors"
	"fmt"

	"github.com/spf13/cobra"
	"github.com/staffetta/staffetta/wire"
)

func newUpgradeCommand() *cobra.Command {
	return group("upgrade", "Show the progress of an upgrade, and finalise it",
		newUpgradeStatusCommand(), newUpgradeFinaliseCommand())
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

func (r upgradeReport) text(p *page) {
	p.row("node", "region", "program knows", "region's log")
	for _, n := range r.Nodes {
		if n.Program == 0 {
			p.row(n.Node, n.Region, "no answer", "")
			continue
		}
		p.row(n.Node, n.Region, fmt.Sprint("version ", n.Program), fmt.Sprint("version ", n.Active))
	}
	p.printf("the federation's log: version %d; %s\n", r.Active, r.next())
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
	return command{
		use:   "status",
		short: "Show which versions of the logs every node's program knows, and which are in use",
		ask: func(c *invocation) (report, error) {
			u, err := c.op.Upgrade(c.ctx)
			if err != nil {
				return nil, err
			}
			return reportUpgrade(u), nil
		},
	}.build()
}

func newUpgradeFinaliseCommand() *cobra.Command {
	return command{
		use:   "finalise",
		short: "Finalise an upgrade: use the newest version that every node's program knows",
		long: `Begin to use the newest version of the logs that every node's program knows. Until then
any node may go back to the program before; from then on none may, and one that is started all the
same refuses its data. Each region follows by itself once all its nodes answer. Again it changes
nothing.`,
		dry: dryDo,
		ask: func(c *invocation) (report, error) { return finaliseUpgrade(c) },
	}.build()
}

// finalised is what `upgrade finalise` says.
type finalised struct {
	upgradeReport
	dry bool
}

func finaliseUpgrade(c *invocation) (r finalised, err error) {
	u, err := c.op.Upgrade(c.ctx)
	if err != nil {
		return r, err
	}
	r = finalised{reportUpgrade(u), c.dry}
	for _, n := range r.Nodes {
		if n.Program == 0 {
			return r, fmt.Errorf("%s does not answer: start it, or remove it from the federation if "+
				"it is lost for good", n.Node)
		}
	}
	if r.Ready < r.Active {
		return r, errors.New(r.next())
	}
	if r.Ready == r.Active && !c.dry {
		return r, nil
	}
	if err := c.op.Finalise(c.ctx, r.Ready); err != nil || c.dry {
		return r, err
	}
	r.Active, r.Finalised = r.Ready, true
	return r, nil
}

func (r finalised) text(p *page) {
	switch {
	case r.Finalised:
		p.printf("the federation's log goes on in version %d, the regions' follow\n", r.Active)
	case r.Ready > r.Active && r.dry:
		p.printf("would go on from version %d to %d\n", r.Active, r.Ready)
	default:
		p.printf("version %d is in use; %s\n", r.Active, r.next())
	}
}

// releasedBallast is what `disk release-ballast` says.
type releasedBallast struct {
	Node  string `json:"node"`
	Bytes uint64 `json:"released_bytes"`
	Done  bool   `json:"done"`
}

func (r releasedBallast) text(p *page) {
	if !r.Done {
		p.printf("%s would release its ballast\n", r.Node)
		return
	}
	p.printf("%s released %d MiB\n", r.Node, r.Bytes>>20)
}

func newDiskCommand() *cobra.Command {
	return group("disk", "Free space on a node's disk", command{
		use:   "release-ballast NODE",
		short: "Delete a node's ballast, to free its space at once",
		long: `Delete a node's ballast, to free its space at once. The node makes a new one at its next
start, if there is room for it above the low watermark. Again it changes nothing.`,
		args: cobra.ExactArgs(1),
		dry:  dryDo,
		ask: func(c *invocation) (report, error) {
			bytes, err := c.op.ReleaseBallast(c.ctx, wire.NodeID(c.args[0]))
			return releasedBallast{Node: c.args[0], Bytes: bytes, Done: !c.dry}, err
		},
	}.build())
}
