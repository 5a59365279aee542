package admin

import (
	"cmp"
	"fmt"

	"github.com/spf13/cobra"
	"github.com/staffetta/staffetta/wire"
)

func newRegionCommand() *cobra.Command {
	return group("region", "Add, remove and list regions, and set what their copies are sealed to",
		newRegionAddCommand(), newRegionCloseCommand(), newRegionReopenCommand(),
		newRegionRemoveCommand(), newRegionListCommand(), newRecoveryKeyCommand())
}

func newRegionAddCommand() *cobra.Command {
	var tag uint16
	return command{
		use:   "add REGION --tag N",
		short: "Put a region on the map; its first node founds its group",
		long: `Put a region on the map. It has no nodes and no anchor slots yet: let its
nodes join with 'admin node token', then deal it slots with 'admin slots deal'. The tag is the
region's number for ever; ISTAT's region code is a good one.`,
		args: cobra.ExactArgs(1),
		flags: func(f *flagSet) {
			f.Uint16Var(&tag, "tag", 0, "the region's number, 0-1023")
			f.required("tag")
		},
		change: func(c *invocation) (*wire.MemberChange, error) {
			return &wire.MemberChange{PutRegion: &wire.RegionChange{ID: wire.RegionID(c.args[0]),
				Tag: wire.RegionTag(tag)}}, nil
		},
		next: "when its nodes run, spread the votes of the federation anew: staffetta admin voters " +
			"--spread",
	}.build()
}

func newRegionCloseCommand() *cobra.Command {
	return command{
		use:   "close REGION",
		short: "Close an empty region, so that its nodes can be removed",
		long: `Close a region that has no anchor slots and no citizens, and for which
nothing waits in a spool: it takes none any more, and its nodes can be removed, to the last.
'region reopen' undoes it.`,
		args:   cobra.ExactArgs(1),
		change: func(c *invocation) (*wire.MemberChange, error) { return closeRegion(c, true) },
	}.build()
}

func newRegionReopenCommand() *cobra.Command {
	return command{
		use:    "reopen REGION",
		short:  "Open a region again that was closed",
		args:   cobra.ExactArgs(1),
		change: func(c *invocation) (*wire.MemberChange, error) { return closeRegion(c, false) },
	}.build()
}

func closeRegion(c *invocation, closing bool) (*wire.MemberChange, error) {
	m, err := c.op.Map(c.ctx)
	if err != nil {
		return nil, err
	}
	r, ok := m.RegionByID(wire.RegionID(c.args[0]))
	if !ok {
		return nil, fmt.Errorf("no region %s on the map", c.args[0])
	}
	return &wire.MemberChange{PutRegion: &wire.RegionChange{ID: r.ID, Tag: r.Tag,
		Closing: closing}}, nil
}

func newRegionRemoveCommand() *cobra.Command {
	return command{
		use:   "remove REGION",
		short: "Take an empty region off the map, for good",
		long: `Take a region off the map that has no nodes, no gateways, no anchor slots
and no citizens. Deal its slots and move its citizens to other regions first, close it, and remove
its nodes.`,
		args: cobra.ExactArgs(1),
		change: func(c *invocation) (*wire.MemberChange, error) {
			return &wire.MemberChange{RemoveRegion: wire.RegionID(c.args[0])}, nil
		},
	}.build()
}

// regionLines are what `region list` says.
type regionLines []regionLine

func linesOfRegions(m *wire.Map) regionLines {
	lines := make(regionLines, len(m.Regions))
	for i, r := range m.Regions {
		lines[i] = regionLine{ID: r.ID, Tag: r.Tag, Closing: r.Closing, Incarnation: r.Incarnation}
		if len(r.Recovery) > 0 {
			lines[i].RecoveryKey = wire.RecoveryIDOf(r.Recovery).String()
		}
		for _, n := range m.Nodes {
			if n.Region == r.ID {
				lines[i].Nodes++
			}
		}
		for _, g := range m.Gateways {
			if g.Region == r.ID {
				lines[i].Gateways++
			}
		}
		for _, tag := range m.SlotOwners {
			if tag == r.Tag {
				lines[i].Slots++
			}
		}
	}
	return lines
}

func (l regionLines) text(p *page) {
	p.row("region", "tag", "nodes", "gateways", "anchor slots", "recovery key", "")
	for _, r := range l {
		p.row(r.ID, r.Tag, r.Nodes, r.Gateways, r.Slots, cmp.Or(r.RecoveryKey, "none"),
			either(r.Closing, "closing", ""))
	}
}

// regionLine is a region of `region list` and `map`.
type regionLine struct {
	ID          wire.RegionID  `json:"id"`
	Tag         wire.RegionTag `json:"tag"`
	Nodes       int            `json:"nodes"`
	Gateways    int            `json:"gateways"`
	Slots       int            `json:"anchor_slots"`
	Closing     bool           `json:"closing,omitempty"`
	Incarnation uint32         `json:"incarnation,omitempty"`
	// RecoveryKey is the fingerprint of the key that copies are sealed to; empty for none.
	RecoveryKey string `json:"recovery_key,omitempty"`
}

func newRegionListCommand() *cobra.Command {
	return command{
		use:   "list",
		short: "List the regions",
		ask: withMap(func(c *invocation, m *wire.Map) (report, error) {
			return linesOfRegions(m), nil
		}),
	}.build()
}
