package admin

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"
	"github.com/staffetta/staffetta/cmd/internal/cli"
	"github.com/staffetta/staffetta/internal/founding"
	"github.com/staffetta/staffetta/internal/operator"
	"github.com/staffetta/staffetta/wire"
	"github.com/staffetta/staffetta/wire/link"
)

// membersWait is how long a command waits for the groups, as a rule: a member votes ten seconds
// after it has caught up.
const membersWait = 2 * time.Minute

func newNodeAdminCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "node",
		Short: "Let nodes join, remove and replace them, and take them into maintenance",
	}
	cmd.AddCommand(newNodeListCommand(), newNodeTokenCommand(), newNodeSignCommand(),
		newNodeRemoveCommand(), newNodeReplaceCommand(), newNodeVoteCommand(true),
		newNodeVoteCommand(false), newNodeHandOverCommand(), newNodeDrainCommand(),
		newNodeMaintenanceCommand(), newNodeAddressCommand())
	return cmd
}

// nodeLine is a node of `node list` and `map`. What its groups say of it is empty when they were
// not asked, or have no leader.
type nodeLine struct {
	ID          wire.NodeID   `json:"id"`
	Region      wire.RegionID `json:"region"`
	Addr        string        `json:"addr"`
	InRegion    string        `json:"in_region"`     // voter, or nonvoter; as the map wants it
	InFed       string        `json:"in_federation"` // the same
	Maintenance string        `json:"maintenance,omitempty"`
	Now         *nodeNow      `json:"now,omitempty"`
}

// nodeNow is how a node does in its groups.
type nodeNow struct {
	Region     string `json:"region"` // leader, voter, nonvoter, none, unknown
	Federation string `json:"federation"`
	Behind     uint64 `json:"entries_behind"` // in its region's group
	Answers    bool   `json:"answers"`        // its region's leader
}

func suffrage(votes bool) string {
	if votes {
		return "voter"
	}
	return "nonvoter"
}

func nodeLines(m *wire.Map) []nodeLine {
	lines := make([]nodeLine, len(m.Nodes))
	for i, n := range m.Nodes {
		lines[i] = nodeLine{ID: n.ID, Region: n.Region, Addr: n.Addr,
			InRegion: suffrage(!n.Nonvoter), InFed: suffrage(n.Voter), Maintenance: n.Maintenance}
	}
	return lines
}

func writeNodes(out io.Writer, lines []nodeLine) error {
	w := tabwriter.NewWriter(out, 0, 8, 2, ' ', 0)
	fmt.Fprintln(w, "node\tregion\taddress\tin its region\tin the federation\tbehind\tmaintenance")
	for _, n := range lines {
		region, fed, behind := n.InRegion, n.InFed, ""
		if n.Now != nil {
			region, fed, behind = n.Now.Region, n.Now.Federation, fmt.Sprint(n.Now.Behind)
			if !n.Now.Answers {
				behind = "silent"
			}
		}
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%s\t%s\n", n.ID, n.Region, n.Addr, region, fed, behind,
			n.Maintenance)
	}
	return w.Flush()
}

func newNodeListCommand() *cobra.Command {
	var f memberFlags
	cmd := &cobra.Command{
		Use:   "list",
		Short: "List the nodes, and how they do in their groups",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return f.run(cmd, func(ctx context.Context, op *operator.Client) error {
				m, err := op.Map(ctx)
				if err != nil {
					return err
				}
				lines := nodeLines(m)
				askGroups(ctx, op, m, lines)
				return cli.PrintReport(cmd.OutOrStdout(), f.asJSON, lines, func(out io.Writer) error {
					return writeNodes(out, lines)
				})
			})
		},
	}
	f.register(cmd, false, 0)
	return cmd
}

// groupWait bounds the question to one group's leader, when the answer is only for show.
const groupWait = 3 * time.Second

// askGroups completes the lines by what the groups' leaders say.
func askGroups(ctx context.Context, op *operator.Client, m *wire.Map, lines []nodeLine) {
	groups := map[string]*wire.GroupMembers{}
	ask := func(group string) {
		ctx, cancel := context.WithTimeout(ctx, groupWait)
		defer cancel()
		if g, err := op.Members(ctx, group); err == nil {
			groups[group] = g
		}
	}
	ask(link.FederationGroup)
	for _, r := range m.Regions {
		ask(link.RegionGroup(r.ID))
	}
	place := func(group string, id wire.NodeID) (string, wire.GroupMember) {
		g := groups[group]
		if g == nil {
			return "unknown", wire.GroupMember{}
		}
		member, there := g.Member(id)
		switch {
		case !there:
			return "none", member
		case g.Leader == id:
			return "leader", member
		}
		return suffrage(member.Voter), member
	}
	for i := range lines {
		n := &lines[i]
		n.Now = new(nodeNow)
		n.Now.Federation, _ = place(link.FederationGroup, n.ID)
		var member wire.GroupMember
		n.Now.Region, member = place(link.RegionGroup(n.Region), n.ID)
		n.Now.Answers, n.Now.Behind = member.Answers, member.Behind
	}
}

func newNodeRemoveCommand() *cobra.Command {
	var f memberFlags
	cmd := &cobra.Command{
		Use:   "remove NODE",
		Short: "Remove a node, for good: it hands over what it leads, stops, and does not start again",
		Long: `Remove a node. It hands over what it leads, leaves its groups, and ends by
itself; when it votes in the federation group, another node gets its vote. Its name is not given
again.

Refused when what remains of a group would have no majority that answers now, or when two voters
would be left in the region: let another node join first, see 'admin node replace'.`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			id := wire.NodeID(args[0])
			return f.change(cmd, &wire.MemberChange{RemoveNode: &wire.NodeRemoval{ID: id}},
				func(ctx context.Context, op *operator.Client) error {
					return awaitLeft(ctx, cmd.ErrOrStderr(), op, id)
				})
		},
	}
	f.register(cmd, true, membersWait)
	return cmd
}

// awaitLeft waits until a node is in no group any more. A region that the node was the last of has
// no leader to ask.
func awaitLeft(ctx context.Context, progress io.Writer, op *operator.Client,
	id wire.NodeID) error {
	return await(ctx, progress, func(ctx context.Context) (string, bool, error) {
		m, err := op.Map(ctx)
		if err != nil {
			return "", false, err
		}
		groups := []string{link.FederationGroup}
		for _, r := range m.Regions {
			for _, n := range m.Nodes {
				if n.Region == r.ID {
					groups = append(groups, link.RegionGroup(r.ID))
					break
				}
			}
		}
		for _, group := range groups {
			g, err := op.Members(ctx, group)
			if err != nil {
				return "", false, err
			}
			if _, there := g.Member(id); there {
				return fmt.Sprintf("%s is still in %s", id, group), false, nil
			}
		}
		return fmt.Sprintf("%s has left its groups", id), true, nil
	})
}

func newNodeVoteCommand(votes bool) *cobra.Command {
	var f memberFlags
	use, short := "demote NODE", "Take a node's vote in its region's group; it goes on following"
	if votes {
		use, short = "promote NODE", "Give a node its vote in its region's group, once it has caught up"
	}
	cmd := &cobra.Command{
		Use:   use,
		Short: short,
		Args:  cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			id := wire.NodeID(args[0])
			return f.change(cmd, &wire.MemberChange{Node: &wire.NodeChange{ID: id,
				SetNonvoter: true, Nonvoter: !votes}},
				func(ctx context.Context, op *operator.Client) error {
					return awaitVote(ctx, cmd.ErrOrStderr(), op, id, votes)
				})
		},
	}
	f.register(cmd, true, membersWait)
	return cmd
}

// awaitVote waits until a node votes in its region's group, or does not any more.
func awaitVote(ctx context.Context, progress io.Writer, op *operator.Client, id wire.NodeID,
	votes bool) error {
	return await(ctx, progress, func(ctx context.Context) (string, bool, error) {
		m, err := op.Map(ctx)
		if err != nil {
			return "", false, err
		}
		n, ok := m.Node(id)
		if !ok { // the federation's leader knows it, so the node that answered is behind
			return fmt.Sprintf("%s is not on the map everywhere yet", id), false, nil
		}
		g, err := op.Members(ctx, link.RegionGroup(n.Region))
		if err != nil {
			return "", false, err
		}
		member, there := g.Member(id)
		switch {
		case !there:
			return fmt.Sprintf("%s is not in its region's group yet", id), false, nil
		case member.Voter == votes:
			return fmt.Sprintf("%s is a %s of its region's group", id, suffrage(votes)), true, nil
		case !member.Answers:
			return fmt.Sprintf("%s does not answer", id), false, nil
		}
		return fmt.Sprintf("%s is a %s of its region's group, %d entries behind", id,
			suffrage(member.Voter), member.Behind), false, nil
	})
}

func newNodeHandOverCommand() *cobra.Command {
	var (
		f         memberFlags
		group, to string
	)
	cmd := &cobra.Command{
		Use:   "handover NODE",
		Short: "Have a node hand over what it leads; nothing keeps it from leading again",
		Args:  cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return f.run(cmd, func(ctx context.Context, op *operator.Client) error {
				id := wire.NodeID(args[0])
				if to == args[0] {
					return fmt.Errorf("node %s does not hand over to itself", id)
				}
				m, err := op.Map(ctx)
				if err != nil {
					return err
				}
				n, ok := m.Node(id)
				if !ok {
					return fmt.Errorf("no node %s on the map", id)
				}
				if o, ok := m.Node(wire.NodeID(to)); to != "" && (!ok || o.Region != n.Region) {
					return fmt.Errorf("--to: no node %s of region %s on the map", to, n.Region)
				}
				groups := []string{link.RegionGroup(n.Region), link.FederationGroup}
				switch group {
				case "":
				case "region":
					groups = groups[:1]
				case "federation":
					groups = groups[1:]
				default:
					return fmt.Errorf("--group %q is not region or federation", group)
				}
				r := handedOver{Node: id, DryRun: f.dryRun}
				for _, g := range groups {
					members, err := op.Members(ctx, g)
					if err != nil {
						return fmt.Errorf("%s: %w", g, err)
					}
					if members.Leader != id {
						continue
					}
					r.Groups = append(r.Groups, g)
					if f.dryRun {
						ctx = operator.Rehearse(ctx)
					}
					what, _, _ := strings.Cut(g, "/")
					_, err = op.ChangeMembers(ctx, &wire.MemberChange{DryRun: f.dryRun,
						Node: &wire.NodeChange{ID: id, Transfer: what}}) // for the audit
					if err != nil {
						return fmt.Errorf("node handover %s: %w", id, err)
					}
					if err := op.TransferLeadership(ctx, g, wire.NodeID(to)); err != nil {
						return fmt.Errorf("%s: %w", g, err)
					}
				}
				return cli.PrintReport(cmd.OutOrStdout(), f.asJSON, r, r.text)
			})
		},
	}
	f.register(cmd, true, 0)
	cmd.Flags().StringVar(&group, "group", "", "region or federation; default: both")
	cmd.Flags().StringVar(&to, "to", "", "who is to lead; default: who is furthest")
	return cmd
}

type handedOver struct {
	Node   wire.NodeID `json:"node"`
	Groups []string    `json:"groups"` // that it led
	DryRun bool        `json:"dry_run,omitempty"`
}

func (h handedOver) text(out io.Writer) error {
	if len(h.Groups) == 0 {
		_, err := fmt.Fprintf(out, "%s leads nothing\n", h.Node)
		return err
	}
	verb := map[bool]string{false: "handed", true: "would hand"}[h.DryRun]
	_, err := fmt.Fprintf(out, "%s %s over %v\n", h.Node, verb, h.Groups)
	return err
}

func newNodeDrainCommand() *cobra.Command {
	var (
		f      memberFlags
		reason string
	)
	cmd := &cobra.Command{
		Use:   "drain NODE --reason TEXT",
		Short: "Begin a node's maintenance and wait until it leads nothing: then it may be stopped",
		Args:  cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			id := wire.NodeID(args[0])
			return f.change(cmd, &wire.MemberChange{Node: &wire.NodeChange{ID: id,
				SetMaintenance: true, Maintenance: reason}},
				func(ctx context.Context, op *operator.Client) error {
					return awaitDrained(ctx, cmd.ErrOrStderr(), op, id)
				})
		},
	}
	f.register(cmd, true, membersWait)
	cmd.Flags().StringVar(&reason, "reason", "", "why; shown in the node's /health")
	cmd.MarkFlagRequired("reason")
	return cmd
}

func awaitDrained(ctx context.Context, progress io.Writer, op *operator.Client,
	id wire.NodeID) error {
	return await(ctx, progress, func(ctx context.Context) (string, bool, error) {
		m, err := op.Map(ctx)
		if err != nil {
			return "", false, err
		}
		n, _ := m.Node(id)
		for _, group := range []string{link.RegionGroup(n.Region), link.FederationGroup} {
			g, err := op.Members(ctx, group)
			if err != nil {
				return "", false, err
			}
			if g.Leader == id {
				return fmt.Sprintf("%s still leads %s", id, group), false, nil
			}
		}
		return fmt.Sprintf("%s leads nothing", id), true, nil
	})
}

func newNodeMaintenanceCommand() *cobra.Command {
	var (
		f      memberFlags
		reason string
		end    bool
	)
	cmd := &cobra.Command{
		Use:   "maintenance NODE --reason TEXT | --end",
		Short: "Begin or end a node's maintenance: until it ends the node does not lead",
		Args:  cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if end == (reason != "") {
				return fmt.Errorf("give either --reason or --end")
			}
			return f.change(cmd, &wire.MemberChange{Node: &wire.NodeChange{
				ID: wire.NodeID(args[0]), SetMaintenance: true, Maintenance: reason}}, nil)
		},
	}
	f.register(cmd, true, 0)
	cmd.Flags().StringVar(&reason, "reason", "", "why; shown in the node's /health")
	cmd.Flags().BoolVar(&end, "end", false, "end the maintenance")
	return cmd
}

func newNodeAddressCommand() *cobra.Command {
	var f memberFlags
	cmd := &cobra.Command{
		Use:   "address NODE HOST:PORT",
		Short: "Say where a node is to be reached from now on",
		Args:  cobra.ExactArgs(2),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := link.CheckAddr(args[1]); err != nil {
				return err
			}
			return f.change(cmd, &wire.MemberChange{Node: &wire.NodeChange{
				ID: wire.NodeID(args[0]), Addr: args[1]}}, nil)
		},
	}
	f.register(cmd, true, 0)
	return cmd
}

func newVotersCommand() *cobra.Command {
	var f memberFlags
	var spread bool
	cmd := &cobra.Command{
		Use:   "voters NODE… | --spread",
		Short: "Say which nodes vote in the federation group: an odd number, over several regions",
		Long: `Say which nodes vote in the federation group, all of them: three, five or
seven, or one as long as there are fewer than three nodes. The others follow. A voter that is
removed is replaced by itself. 'admin node list' shows who votes.

--spread names them: of every region one before any has two, and where there are more regions than
votes evenly over the country, in the order of the regions' tags. Nodes in maintenance get none.`,
		RunE: func(cmd *cobra.Command, args []string) error {
			if spread == (len(args) > 0) {
				return errors.New("name the nodes, all of them, or give --spread")
			}
			c := &wire.MemberChange{}
			if spread {
				err := f.run(cmd, func(ctx context.Context, op *operator.Client) error {
					m, err := op.Map(ctx)
					if err == nil {
						c.Voters = spreadVoters(m)
					}
					return err
				})
				if err != nil {
					return err
				}
			}
			for _, id := range args {
				c.Voters = append(c.Voters, wire.NodeID(id))
			}
			return f.change(cmd, c, func(ctx context.Context, op *operator.Client) error {
				return awaitVoters(ctx, cmd.ErrOrStderr(), op, c.Voters)
			})
		},
	}
	f.register(cmd, true, membersWait)
	cmd.Flags().BoolVar(&spread, "spread", false,
		"spread them over the regions, instead of naming them")
	return cmd
}

// spreadVoters names the voters as at a founding, of the nodes that may lead.
func spreadVoters(m *wire.Map) (ids []wire.NodeID) {
	able := *m
	able.Nodes = slices.DeleteFunc(slices.Clone(m.Nodes),
		func(n wire.Node) bool { return n.Maintenance != "" })
	file := founding.Of(&able)
	file.SpreadVoters()
	for _, n := range file.Nodes {
		if n.Voter {
			ids = append(ids, n.ID)
		}
	}
	return ids
}

func awaitVoters(ctx context.Context, progress io.Writer, op *operator.Client,
	want []wire.NodeID) error {
	return await(ctx, progress, func(ctx context.Context) (string, bool, error) {
		g, err := op.Members(ctx, link.FederationGroup)
		if err != nil {
			return "", false, err
		}
		var have []wire.NodeID
		match := 0
		for _, m := range g.List {
			if !m.Voter {
				continue
			}
			have = append(have, m.Node)
			for _, w := range want {
				if w == m.Node {
					match++
				}
			}
		}
		return "in the federation group vote " + joinIDs(have),
			match == len(want) && len(have) == len(want), nil
	})
}
