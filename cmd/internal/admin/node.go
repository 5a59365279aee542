package admin

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/staffetta/staffetta/wire"
	"github.com/staffetta/staffetta/wire/link"
)

func newNodeAdminCommand() *cobra.Command {
	return group("node", "Add, remove and replace nodes, and put them into maintenance",
		newNodeListCommand(), newNodeTokenCommand(), newNodeSignCommand(), newNodeRemoveCommand(),
		newNodeReplaceCommand(),
		newNodeVoteCommand(true, "promote NODE",
			"Give a node its vote in its region's group, once it has caught up"),
		newNodeVoteCommand(false, "demote NODE",
			"Take a node's vote in its region's group; it goes on following"),
		newNodeHandOverCommand(), newNodeDrainCommand(), newNodeMaintenanceCommand(),
		newNodeAddressCommand())
}

// nodeLines are what `node list` says.
type nodeLines []nodeLine

func linesOfNodes(m *wire.Map) nodeLines {
	lines := make(nodeLines, len(m.Nodes))
	for i, n := range m.Nodes {
		lines[i] = nodeLine{ID: n.ID, Region: n.Region, Addr: n.Addr,
			InRegion: suffrage(!n.Nonvoter), InFed: suffrage(n.Voter), Maintenance: n.Maintenance}
	}
	return lines
}

func suffrage(votes bool) string { return either(votes, "voter", "nonvoter") }

func (l nodeLines) text(p *page) {
	p.row("node", "region", "address", "in its region", "in the federation", "behind", "maintenance")
	for _, n := range l {
		region, fed, behind := n.InRegion, n.InFed, ""
		if n.Now != nil {
			region, fed, behind = n.Now.Region, n.Now.Federation, fmt.Sprint(n.Now.Behind)
			if !n.Now.Answers {
				behind = "silent"
			}
		}
		p.row(n.ID, n.Region, n.Addr, region, fed, behind, n.Maintenance)
	}
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

func newNodeListCommand() *cobra.Command {
	return command{
		use:   "list",
		short: "List the nodes and their state in their groups",
		ask: withMap(func(c *invocation, m *wire.Map) (report, error) {
			lines := linesOfNodes(m)
			askGroups(c, m, lines)
			return lines, nil
		}),
	}.build()
}

// groupWait bounds the question to one group's leader, when the answer is only for show.
const groupWait = 3 * time.Second

// askGroups completes the lines by what the groups' leaders say.
func askGroups(c *invocation, m *wire.Map, lines nodeLines) {
	groups := map[string]*wire.GroupMembers{}
	ask := func(group string) {
		ctx, cancel := context.WithTimeout(c.ctx, groupWait)
		defer cancel()
		if g, err := c.op.Members(ctx, group); err == nil {
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
	return command{
		use:   "remove NODE",
		short: "Remove a node for good: it transfers leadership, stops, and does not start again",
		long: `Remove a node. It hands over what it leads, leaves its groups, and ends by
itself; when it votes in the federation group, another node gets its vote. Its name is not given
again.

Refused when what remains of a group would have no majority that answers now, or when two voters
would be left in the region: let another node join first, see 'admin node replace'.`,
		args: cobra.ExactArgs(1),
		change: func(c *invocation) (*wire.MemberChange, error) {
			return &wire.MemberChange{RemoveNode: &wire.NodeRemoval{ID: wire.NodeID(c.args[0])}}, nil
		},
		follow: func(c *invocation, m *wire.MemberChange) error {
			return awaitLeft(c, m.RemoveNode.ID)
		},
	}.build()
}

// awaitLeft waits until a node is in no group any more. A region that the node was the last of has
// no leader to ask.
func awaitLeft(c *invocation, id wire.NodeID) error {
	return await(c, func() (string, bool, error) {
		m, err := c.op.Map(c.ctx)
		if err != nil {
			return "", false, err
		}
		groups := []string{link.FederationGroup}
		for _, n := range m.Nodes {
			if group := link.RegionGroup(n.Region); !slices.Contains(groups, group) {
				groups = append(groups, group)
			}
		}
		for _, group := range groups {
			g, err := c.op.Members(c.ctx, group)
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

// changeNode is a change of what the map says of the node that a command names first.
func changeNode(c *invocation, n wire.NodeChange) *wire.MemberChange {
	n.ID = wire.NodeID(c.args[0])
	return &wire.MemberChange{Node: &n}
}

func newNodeVoteCommand(votes bool, use, short string) *cobra.Command {
	return command{
		use: use, short: short, args: cobra.ExactArgs(1),
		change: func(c *invocation) (*wire.MemberChange, error) {
			return changeNode(c, wire.NodeChange{SetNonvoter: true, Nonvoter: !votes}), nil
		},
		follow: func(c *invocation, m *wire.MemberChange) error {
			return awaitVote(c, m.Node.ID, votes)
		},
	}.build()
}

// awaitVote waits until a node votes in its region's group, or does not any more.
func awaitVote(c *invocation, id wire.NodeID, votes bool) error {
	return await(c, func() (string, bool, error) {
		m, err := c.op.Map(c.ctx)
		if err != nil {
			return "", false, err
		}
		n, ok := m.Node(id)
		if !ok { // the federation's leader knows it, so the node that answered is behind
			return fmt.Sprintf("%s is not on the map everywhere yet", id), false, nil
		}
		g, err := c.op.Members(c.ctx, link.RegionGroup(n.Region))
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
	var group, to string
	return command{
		use:   "handover NODE",
		short: "Transfer a node's leadership; nothing keeps it from leading again",
		args:  cobra.ExactArgs(1),
		dry:   dryChange,
		flags: func(f *flagSet) {
			f.StringVar(&group, "group", "", "region or federation; default: both")
			f.StringVar(&to, "to", "", "the node that is to lead; default: the most up to date")
		},
		ask: func(c *invocation) (report, error) {
			return handOver(c, wire.NodeID(c.args[0]), wire.NodeID(to), group)
		},
	}.build()
}

func handOver(c *invocation, id, to wire.NodeID, group string) (report, error) {
	if to == id {
		return nil, fmt.Errorf("node %s does not hand over to itself", id)
	}
	m, err := c.op.Map(c.ctx)
	if err != nil {
		return nil, err
	}
	n, ok := m.Node(id)
	if !ok {
		return nil, fmt.Errorf("no node %s on the map", id)
	}
	if o, ok := m.Node(to); to != "" && (!ok || o.Region != n.Region) {
		return nil, fmt.Errorf("--to: no node %s of region %s on the map", to, n.Region)
	}
	groups := []string{link.RegionGroup(n.Region), link.FederationGroup}
	switch group {
	case "":
	case "region":
		groups = groups[:1]
	case "federation":
		groups = groups[1:]
	default:
		return nil, fmt.Errorf("--group %q is not region or federation", group)
	}
	r := handedOver{Node: id, DryRun: c.dry}
	for _, g := range groups {
		members, err := c.op.Members(c.ctx, g)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", g, err)
		}
		if members.Leader != id {
			continue
		}
		r.Groups = append(r.Groups, g)
		what, _, _ := strings.Cut(g, "/")
		change := changeNode(c, wire.NodeChange{Transfer: what}) // for the audit
		if _, err = c.op.ChangeMembers(c.ctx, change); err != nil {
			return nil, err
		}
		if err := c.op.TransferLeadership(c.ctx, g, to); err != nil {
			return nil, fmt.Errorf("%s: %w", g, err)
		}
	}
	return r, nil
}

type handedOver struct {
	Node   wire.NodeID `json:"node"`
	Groups []string    `json:"groups"` // that it led
	DryRun bool        `json:"dry_run,omitempty"`
}

func (h handedOver) text(p *page) {
	if len(h.Groups) == 0 {
		p.printf("%s leads nothing\n", h.Node)
		return
	}
	p.printf("%s %s over %v\n", h.Node, either(!h.DryRun, "handed", "would hand"), h.Groups)
}

func newNodeDrainCommand() *cobra.Command {
	var reason string
	return command{
		use:   "drain NODE --reason TEXT",
		short: "Begin a node's maintenance and wait until it leads nothing: then it may be stopped",
		args:  cobra.ExactArgs(1),
		flags: func(f *flagSet) {
			registerReason(f, &reason)
			f.required("reason")
		},
		change: func(c *invocation) (*wire.MemberChange, error) {
			return changeNode(c, wire.NodeChange{SetMaintenance: true, Maintenance: reason}), nil
		},
		follow: func(c *invocation, m *wire.MemberChange) error { return awaitDrained(c, m.Node.ID) },
	}.build()
}

func registerReason(f *flagSet, reason *string) {
	f.StringVar(reason, "reason", "", "why; shown in the node's /health")
}

func awaitDrained(c *invocation, id wire.NodeID) error {
	return await(c, func() (string, bool, error) {
		m, err := c.op.Map(c.ctx)
		if err != nil {
			return "", false, err
		}
		n, _ := m.Node(id)
		for _, group := range []string{link.RegionGroup(n.Region), link.FederationGroup} {
			g, err := c.op.Members(c.ctx, group)
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
		reason string
		end    bool
	)
	return command{
		use:   "maintenance NODE --reason TEXT | --end",
		short: "Begin or end a node's maintenance: until it ends the node does not lead",
		args:  cobra.ExactArgs(1),
		flags: func(f *flagSet) {
			registerReason(f, &reason)
			f.BoolVar(&end, "end", false, "end the maintenance")
		},
		check: func(*invocation) error {
			if end == (reason != "") {
				return errors.New("give either --reason or --end")
			}
			return nil
		},
		change: func(c *invocation) (*wire.MemberChange, error) {
			return changeNode(c, wire.NodeChange{SetMaintenance: true, Maintenance: reason}), nil
		},
	}.build()
}

func newNodeAddressCommand() *cobra.Command {
	return command{
		use:   "address NODE HOST:PORT",
		short: "Set the address at which a node can be reached",
		args:  cobra.ExactArgs(2),
		check: func(c *invocation) error { return link.CheckAddr(c.args[1]) },
		change: func(c *invocation) (*wire.MemberChange, error) {
			return changeNode(c, wire.NodeChange{Addr: c.args[1]}), nil
		},
	}.build()
}
