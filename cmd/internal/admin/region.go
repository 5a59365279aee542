package admin

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"
	"github.com/staffetta/staffetta/cmd/internal/cli"
	"github.com/staffetta/staffetta/internal/operator"
	"github.com/staffetta/staffetta/wire"
	"github.com/staffetta/staffetta/wire/link"
)

// memberFlags are those of every command about who takes part.
type memberFlags struct {
	operatorFlags
	asJSON, dryRun bool
	wait           time.Duration
}

// register adds the flags; wait is the default of --wait, 0 for a command that does not wait.
func (f *memberFlags) register(cmd *cobra.Command, changes bool, wait time.Duration) {
	f.operatorFlags.register(cmd)
	cmd.Flags().BoolVar(&f.asJSON, "json", false, "print JSON")
	if changes {
		cmd.Flags().BoolVar(&f.dryRun, "dry-run", false, "say what would change, and change nothing")
	}
	if wait > 0 {
		cmd.Flags().DurationVar(&f.wait, "wait", wait,
			"how long to wait until the groups have followed; 0: not at all")
	}
}

// run opens a client for f, which has as long as the flags say.
func (f *memberFlags) run(cmd *cobra.Command,
	work func(ctx context.Context, op *operator.Client) error) error {
	op, err := f.client()
	if err != nil {
		return err
	}
	defer op.Close()
	ctx, cancel := context.WithTimeout(cmd.Context(), adminWait+f.wait)
	defer cancel()
	return work(ctx, op)
}

// changed is what a command that changes the map says.
type changed struct {
	Action  string `json:"action"`
	Subject string `json:"subject"`
	Changed bool   `json:"changed"`
	DryRun  bool   `json:"dry_run,omitempty"`
	Version uint64 `json:"map_version"`
	// Done: the groups have followed, as far as was waited.
	Done bool `json:"done"`
	// Voters are the federation's from now on, when the change names them.
	Voters []wire.NodeID `json:"voters,omitempty"`
}

func (c changed) text(out io.Writer) error {
	what := fmt.Sprintf("%s %s: map version %d", c.Action, c.Subject, c.Version)
	switch {
	case c.DryRun && c.Changed:
		what = fmt.Sprintf("%s %s would make map version %d", c.Action, c.Subject, c.Version)
	case !c.Changed:
		what = fmt.Sprintf("%s %s: nothing to change, map version %d", c.Action, c.Subject,
			c.Version)
	}
	if len(c.Voters) > 0 {
		what += fmt.Sprintf("; in the federation group vote %s", joinIDs(c.Voters))
	}
	if c.Done {
		what += "; done"
	}
	_, err := fmt.Fprintln(out, what)
	return err
}

func joinIDs(ids []wire.NodeID) string {
	words := make([]string, len(ids))
	for i, id := range ids {
		words[i] = string(id)
	}
	return strings.Join(words, " ")
}

// change makes a change of the map and says what became of it; done waits until it has its effect,
// and may be nil.
func (f *memberFlags) change(cmd *cobra.Command, c *wire.MemberChange,
	done func(ctx context.Context, op *operator.Client) error) error {
	return f.run(cmd, func(ctx context.Context, op *operator.Client) error {
		before, err := op.Map(ctx)
		if err != nil {
			return err
		}
		c.DryRun = f.dryRun
		after, err := op.ChangeMembers(ctx, c)
		if err != nil {
			return fmt.Errorf("%s %s: %w", c.Action(), c.AuditSubject(), err)
		}
		r := changed{Action: c.Action(), Subject: c.AuditSubject(), DryRun: f.dryRun,
			Changed: after.Version != before.Version, Version: after.Version}
		if was, is := votersOf(before), votersOf(after); joinIDs(was) != joinIDs(is) {
			r.Voters = is
		}
		if !f.dryRun && f.wait > 0 && done != nil {
			if err := done(ctx, op); err != nil {
				return err
			}
			r.Done = true
		}
		if !f.dryRun {
			tellOfCertificate(cmd.ErrOrStderr(), before, c)
		}
		return cli.PrintReport(cmd.OutOrStdout(), f.asJSON, r, r.text)
	})
}

// tellOfCertificate says what is left of whom a change takes off the map.
func tellOfCertificate(out io.Writer, before *wire.Map, c *wire.MemberChange) {
	id := link.Identity{Federation: before.Federation}
	for _, g := range before.Gateways {
		if g.ID == c.RemoveGateway {
			id.Role, id.Region, id.Name = link.RoleGateway, g.Region, string(g.ID)
		}
	}
	if c.RemoveNode != nil {
		if n, ok := before.Node(c.RemoveNode.ID); ok {
			id.Role, id.Region, id.Name = link.RoleNode, n.Region, string(n.ID)
		}
	}
	if id.Role != 0 {
		fmt.Fprintf(out, "the certificate of %s stays valid; if somebody else could have it, type: "+
			"staffetta admin revoke %s\n", id.Name, id)
	}
}

func votersOf(m *wire.Map) (ids []wire.NodeID) {
	for _, n := range m.Nodes {
		if n.Voter {
			ids = append(ids, n.ID)
		}
	}
	return ids
}

// await looks every second whether something is so, and tells of it on standard error whenever
// what it sees has changed. Errors that may pass do not end it.
func await(ctx context.Context, progress io.Writer,
	look func(context.Context) (state string, done bool, err error)) error {
	said := ""
	for {
		state, done, err := look(ctx)
		if err != nil && (!wire.Retriable(err) || operator.NoMajority(err)) {
			return err
		}
		if err != nil {
			state = err.Error()
		}
		if state != said && state != "" && ctx.Err() == nil {
			fmt.Fprintln(progress, state)
			said = state
		}
		if done {
			return nil
		}
		select {
		case <-time.After(time.Second):
		case <-ctx.Done():
			return fmt.Errorf("not done in time, and it goes on; the last state: %s", said)
		}
	}
}

func newRegionCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "region",
		Short: "Add, remove and list regions, and set what their copies are sealed to",
	}
	cmd.AddCommand(newRegionAddCommand(), newRegionCloseCommand(true),
		newRegionCloseCommand(false), newRegionRemoveCommand(), newRegionListCommand(),
		newRecoveryKeyCommand())
	return cmd
}

func newRegionAddCommand() *cobra.Command {
	var (
		f   memberFlags
		tag uint16
	)
	cmd := &cobra.Command{
		Use:   "add REGION --tag N",
		Short: "Put a region on the map; its first node founds its group",
		Long: `Put a region on the map. It has no nodes and no anchor slots yet: let its
nodes join with 'admin node token', then deal it slots with 'admin slots deal'. The tag is the
region's number for ever; ISTAT's region code is a good one.`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			err := f.change(cmd, &wire.MemberChange{PutRegion: &wire.RegionChange{
				ID: wire.RegionID(args[0]), Tag: wire.RegionTag(tag)}}, nil)
			if err == nil && !f.dryRun {
				fmt.Fprintf(cmd.ErrOrStderr(), "when its nodes run, spread the votes of the federation "+
					"anew: staffetta admin voters --spread\n")
			}
			return err
		},
	}
	f.register(cmd, true, 0)
	cmd.Flags().Uint16Var(&tag, "tag", 0, "the region's number, 0-1023")
	cmd.MarkFlagRequired("tag")
	return cmd
}

func newRegionCloseCommand(closing bool) *cobra.Command {
	var f memberFlags
	cmd := &cobra.Command{
		Use:   "close REGION",
		Short: "Close an empty region, so that its nodes can be removed",
		Long: `Close a region that has no anchor slots and no citizens, and for which
nothing waits in a spool: it takes none any more, and its nodes can be removed, to the last.
'region reopen' undoes it.`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			c := &wire.RegionChange{ID: wire.RegionID(args[0]), Closing: closing}
			err := f.run(cmd, func(ctx context.Context, op *operator.Client) error {
				m, err := op.Map(ctx)
				if err != nil {
					return err
				}
				r, ok := m.RegionByID(c.ID)
				if !ok {
					return fmt.Errorf("no region %s on the map", c.ID)
				}
				c.Tag = r.Tag
				return nil
			})
			if err != nil {
				return err
			}
			return f.change(cmd, &wire.MemberChange{PutRegion: c}, nil)
		},
	}
	if !closing {
		cmd.Use, cmd.Long = "reopen REGION", ""
		cmd.Short = "Open a region again that was closed"
	}
	f.register(cmd, true, 0)
	return cmd
}

func newRegionRemoveCommand() *cobra.Command {
	var f memberFlags
	cmd := &cobra.Command{
		Use:   "remove REGION",
		Short: "Take an empty region off the map, for good",
		Long: `Take a region off the map that has no nodes, no gateways, no anchor slots
and no citizens. Deal its slots and move its citizens to other regions first, close it, and remove
its nodes.`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return f.change(cmd, &wire.MemberChange{RemoveRegion: wire.RegionID(args[0])}, nil)
		},
	}
	f.register(cmd, true, 0)
	return cmd
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

func regionLines(m *wire.Map) []regionLine {
	lines := make([]regionLine, len(m.Regions))
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

func writeRegions(out io.Writer, lines []regionLine) error {
	w := tabwriter.NewWriter(out, 0, 8, 2, ' ', 0)
	fmt.Fprintln(w, "region\ttag\tnodes\tgateways\tanchor slots\trecovery key\t")
	for _, r := range lines {
		closing := ""
		if r.Closing {
			closing = "closing"
		}
		fmt.Fprintf(w, "%s\t%d\t%d\t%d\t%d\t%s\t%s\n", r.ID, r.Tag, r.Nodes, r.Gateways, r.Slots,
			cmp.Or(r.RecoveryKey, "none"), closing)
	}
	return w.Flush()
}

func newRegionListCommand() *cobra.Command {
	var f memberFlags
	cmd := &cobra.Command{
		Use:   "list",
		Short: "List the regions",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return f.run(cmd, func(ctx context.Context, op *operator.Client) error {
				m, err := op.Map(ctx)
				if err != nil {
					return err
				}
				lines := regionLines(m)
				return cli.PrintReport(cmd.OutOrStdout(), f.asJSON, lines, func(out io.Writer) error {
					return writeRegions(out, lines)
				})
			})
		},
	}
	f.register(cmd, false, 0)
	return cmd
}
