package admin

import (
	"errors"
	"slices"

	"github.com/spf13/cobra"
	"github.com/staffetta/staffetta/internal/founding"
	"github.com/staffetta/staffetta/wire"
	"github.com/staffetta/staffetta/wire/link"
)

func newVotersCommand() *cobra.Command {
	var spread bool
	return command{
		use:   "voters NODE… | --spread",
		short: "Set which nodes vote in the federation group: an odd number, across several regions",
		long: `Say which nodes vote in the federation group, all of them: three, five or
seven, or one as long as there are fewer than three nodes. The others follow. A voter that is
removed is replaced by itself. 'admin node list' shows who votes.

--spread names them: of every region one before any has two, and where there are more regions than
votes evenly over the country, in the order of the regions' tags. Nodes in maintenance get none.`,
		args: cobra.ArbitraryArgs,
		flags: func(f *flagSet) {
			f.BoolVar(&spread, "spread", false,
				"spread them over the regions, instead of naming them")
		},
		check: func(c *invocation) error {
			if spread == (len(c.args) > 0) {
				return errors.New("name the nodes, all of them, or give --spread")
			}
			return nil
		},
		change: func(c *invocation) (*wire.MemberChange, error) {
			if spread {
				m, err := c.op.Map(c.ctx)
				if err != nil {
					return nil, err
				}
				return &wire.MemberChange{Voters: spreadVoters(m)}, nil
			}
			change := &wire.MemberChange{}
			for _, id := range c.args {
				change.Voters = append(change.Voters, wire.NodeID(id))
			}
			return change, nil
		},
		follow: func(c *invocation, m *wire.MemberChange) error { return awaitVoters(c, m.Voters) },
	}.build()
}

// spreadVoters names the voters as at a founding, of the nodes that may lead.
func spreadVoters(m *wire.Map) (ids []wire.NodeID) {
	able := *m
	able.Nodes = slices.DeleteFunc(slices.Clone(m.Nodes),
		func(n wire.Node) bool { return n.Maintenance != "" })
	file := founding.Of(&able)
	file.SpreadVoters()
	return votersIn(file)
}

// votersIn are the voters that a founding file names.
func votersIn(file *founding.File) (ids []wire.NodeID) {
	for _, n := range file.Nodes {
		if n.Voter {
			ids = append(ids, n.ID)
		}
	}
	return ids
}

func awaitVoters(c *invocation, want []wire.NodeID) error {
	return await(c, func() (string, bool, error) {
		g, err := c.op.Members(c.ctx, link.FederationGroup)
		if err != nil {
			return "", false, err
		}
		var have []wire.NodeID
		match := 0
		for _, m := range g.List {
			if !m.Voter {
				continue
			}
			if have = append(have, m.Node); slices.Contains(want, m.Node) {
				match++
			}
		}
		return "in the federation group vote " + join(have, " "),
			match == len(want) && len(have) == len(want), nil
	})
}
