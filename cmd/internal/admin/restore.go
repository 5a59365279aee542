package admin

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/staffetta/staffetta/cmd/internal/cli"
	"github.com/staffetta/staffetta/internal/backup"
	"github.com/staffetta/staffetta/internal/founding"
	"github.com/staffetta/staffetta/internal/operator"
	"github.com/staffetta/staffetta/internal/store"
	"github.com/staffetta/staffetta/node"
	"github.com/staffetta/staffetta/wire"
	"github.com/staffetta/staffetta/wire/link"
)

// restoreFlags say which copy becomes whose data directory.
type restoreFlags struct {
	repo                       repositoryFlags
	recovery                   recoveryFlags
	group, at                  string
	dir, node, founder, region string
	founding                   string
	incarnation                uint32
	replace, dryRun, asJSON    bool
}

func (f *restoreFlags) register(cmd *cobra.Command) {
	f.repo.register(cmd)
	f.recovery.register(cmd)
	flags := cmd.Flags()
	flags.StringVar(&f.group, "group", "", "what is restored: region/NAME or federation")
	flags.StringVar(&f.at, "at", "latest",
		"the newest copy that is not newer than this, as 2026-11-22T10:00:00Z, or latest")
	flags.Uint32Var(&f.incarnation, "incarnation", 0, "the restored group's incarnation: one more "+
		"than the last one; the same on every node")
	flags.StringVar(&f.dir, "dir", "", "the node's data directory, new or without this group")
	flags.StringVar(&f.node, "node", "", "whose data directory it is")
	flags.StringVar(&f.region, "region", "", "the node's region; empty: the group's")
	flags.StringVar(&f.founder, "founder", "", "the node that begins the group, alone, the same "+
		"for every node; the others join it from their copies")
	flags.StringVar(&f.founding, "founding-out", "", "with --group federation: file for the copy's "+
		"map as a founding file, for nodes that joined after the founding")
	flags.BoolVar(&f.replace, "replace", false,
		"move the group's directory aside that is there, to …replaced-1")
	flags.BoolVar(&f.dryRun, "dry-run", false, "only say what would be done")
	flags.BoolVar(&f.asJSON, "json", false, "print JSON")
	for _, name := range []string{"group", "incarnation", "dir", "node", "founder"} {
		cmd.MarkFlagRequired(name)
	}
}

func newRestoreCommand() *cobra.Command {
	var f restoreFlags
	cmd := &cobra.Command{
		Use:   "restore",
		Short: "Make a node's data directory of a copy of a group's state",
		Long: `Make the part of a node's data directory that holds one group of a copy, as a new
incarnation of the group: nodes of an earlier one take no part any more. Run it for every node of
the group, each time with the same copy, incarnation and founder; then start the founder, and the
others. The directory holds citizens' data in clear, as every node's.

A region is fenced first ("restore fence"), while the federation lives. When everything is lost the
federation comes first, then each region. A restored group serves nothing until ownership is
compared between regions and directory, which it does by itself ("restore status").`,
		Example: `  staffetta admin restore fence --dir DIR --region lazio --incarnation 1
  staffetta admin restore --target /srv/copies --key-file backup.key --group region/lazio \
    --recovery-key lazio-recovery.key --incarnation 1 --founder lazio-1 --node lazio-1 \
    --dir /var/lib/staffetta`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			at, err := f.time()
			if err != nil {
				return err
			}
			r, err := f.repo.open(cmd.Context())
			if err != nil {
				return err
			}
			report, err := f.run(cmd.Context(), r, at, cmd.ErrOrStderr())
			if err != nil {
				return err
			}
			return cli.PrintReport(cmd.OutOrStdout(), f.asJSON, report, report.text)
		},
	}
	f.register(cmd)
	cmd.AddCommand(newRestoreFenceCommand(), newRestoreForgoCommand(), newRestoreStatusCommand(),
		newRestoreMovedCommand())
	return cmd
}

// time is what --at says, zero for the latest.
func (f *restoreFlags) time() (time.Time, error) {
	if f.at == "latest" {
		return time.Time{}, nil
	}
	at, err := time.Parse(time.RFC3339, f.at)
	if err != nil {
		return at, fmt.Errorf("--at %q is neither latest nor a time as 2026-11-22T10:00:00Z", f.at)
	}
	return at, nil
}

// restoreReport is what `restore` says.
type restoreReport struct {
	Done        bool         `json:"done"`
	Copy        backup.Entry `json:"copy"`
	Dir         string       `json:"dir"`
	Node        wire.NodeID  `json:"node"`
	Founder     wire.NodeID  `json:"founder"`
	Incarnation uint32       `json:"incarnation"`
	Bytes       uint64       `json:"bytes"`
	// Newest is the last copy there is: what it is ahead of Copy is known to be lost.
	Newest backup.Entry `json:"newest_copy"`
}

func (r restoreReport) text(out io.Writer) error {
	verb := "would be made"
	if r.Done {
		verb = "is made"
	}
	fmt.Fprintf(out, "%s: %s of the copy of %s, entry %d (%d MiB), for node %s\n", r.Dir, verb,
		r.Copy.Time.Format(time.RFC3339), r.Copy.Index, r.Bytes>>20, r.Node)
	fmt.Fprintf(out, "%s becomes incarnation %d, begun by %s\n", r.Copy.Group, r.Incarnation,
		r.Founder)
	fmt.Fprintf(out, "lost: what came after entry %d, of %s\n", r.Copy.Index,
		r.Copy.Time.Format(time.RFC3339))
	if r.Newest.Name != r.Copy.Name {
		fmt.Fprintf(out, "      of it entries %d to %d are in a newer copy, of %s\n",
			r.Copy.Index+1, r.Newest.Index, r.Newest.Time.Format(time.RFC3339))
	}
	return nil
}

func (f *restoreFlags) run(ctx context.Context, r *backup.Repository, at time.Time,
	out io.Writer) (*restoreReport, error) {
	if f.founding != "" && f.group != "federation" {
		return nil, errors.New("--founding-out: only the federation's copy has the map")
	}
	e, err := r.Find(ctx, f.group, at)
	if err != nil {
		return nil, err
	}
	newest, err := r.Find(ctx, f.group, time.Time{})
	if err != nil {
		return nil, err
	}
	m, err := r.Manifest(ctx, e.Name)
	if err != nil {
		return nil, err
	}
	if f.incarnation <= m.Incarnation {
		return nil, fmt.Errorf("--incarnation %d: the copy is of incarnation %d, a new one is "+
			"needed", f.incarnation, m.Incarnation)
	}
	region := f.region
	if name, is := strings.CutPrefix(f.group, "region/"); is && region == "" {
		region = name
	}
	if region == "" {
		return nil, errors.New("--region: of which region is the node?")
	}
	keys, err := f.recovery.keys()
	if err != nil {
		return nil, err
	}
	opened, err := r.Open(m, keys)
	if err != nil {
		return nil, err
	}
	report := &restoreReport{Copy: e, Dir: f.dir, Node: wire.NodeID(f.node), Bytes: m.Bytes,
		Founder: wire.NodeID(f.founder), Incarnation: f.incarnation, Newest: newest}
	if f.dryRun {
		return report, nil
	}
	p := &progress{out: out, what: f.group, last: time.Now()}
	identity := m.Identity()
	identity.Incarnation = f.incarnation
	err = node.RestoreGroup(node.RestoreConfig{Dir: f.dir, Node: report.Node,
		Founder: report.Founder, Region: wire.RegionID(region), Replace: f.replace,
		Identity: identity, OnMap: f.writeFounding,
		Plan: store.Plan{Origin: m.Origin(), Digest: m.Digest,
			Files: func(write func(string, int64, io.Reader) error) error {
				return opened.Files(ctx, p.tell, write)
			}}})
	if errors.Is(err, node.ErrRestoredOver) {
		err = fmt.Errorf("%w: --replace moves it aside", err)
	}
	report.Done = err == nil
	return report, err
}

// writeFounding leaves the map of a federation's copy as a founding file, from which nodes can
// start that came after the founding.
func (f *restoreFlags) writeFounding(m *wire.Map) error {
	if f.founding == "" {
		return nil
	}
	return os.WriteFile(f.founding, founding.Of(m).JSON(), 0o600)
}

func newRestoreForgoCommand() *cobra.Command {
	var (
		flags          operatorFlags
		region         string
		asJSON, dryRun bool
		healthy        bool
	)
	cmd := &cobra.Command{
		Use:   "forgo --region R",
		Short: "Let a restored federation go on without the report of a region that is lost, too",
		Long: `A restored federation takes no claim and no move before every region has reported what it
owns. A region that will not come back, or not soon, can be left out: codes that it had got since
the federation's copy was made can then be claimed again elsewhere. When it is restored later, the
higher epoch wins.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return withMap(cmd.Context(), &flags,
				func(ctx context.Context, op *operator.Client, m *wire.Map) error {
					if _, ok := m.RegionByID(wire.RegionID(region)); !ok {
						return fmt.Errorf("--region: no region %q on the map", region)
					}
					if dryRun {
						ctx = operator.Rehearse(ctx)
					}
					if err := op.ForgoReport(ctx, &wire.ForgoReport{Region: wire.RegionID(region),
						Healthy: healthy}); err != nil {
						return fmt.Errorf("forgo the report of region %s: %w", region, err)
					}
					report := struct {
						Done   bool   `json:"done"`
						Region string `json:"region"`
					}{!dryRun, region}
					return cli.PrintReport(cmd.OutOrStdout(), asJSON, report, func(w io.Writer) error {
						verb := map[bool]string{false: "goes", true: "would go"}[dryRun]
						_, err := fmt.Fprintf(w, "the federation %s on without the report of %s\n",
							verb, region)
						return err
					})
				})
		},
	}
	flags.register(cmd)
	cmd.Flags().StringVar(&region, "region", "", "the region")
	registerHealthy(cmd, &healthy)
	cmd.Flags().BoolVar(&dryRun, "dry-run", false, "only say whether it would be done")
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	cmd.MarkFlagRequired("region")
	return cmd
}

// restoreStatus is what `restore status` says of one group, as one node knows.
type restoreStatus struct {
	Node        wire.NodeID          `json:"node"`
	Group       string               `json:"group"`
	Incarnation uint32               `json:"incarnation"`
	Done        bool                 `json:"done"`
	Index       uint64               `json:"lost_after_index"`
	Time        time.Time            `json:"lost_after"`
	Counts      wire.ReconcileCounts `json:"codes"`
	Awaited     []wire.RegionID      `json:"awaited,omitempty"`
}

func newRestoreStatusCommand() *cobra.Command {
	var (
		flags  operatorFlags
		asJSON bool
	)
	cmd := &cobra.Command{
		Use:   "status",
		Short: "Show which groups were restored, how far they are, and what was lost",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return withMap(cmd.Context(), &flags,
				func(ctx context.Context, op *operator.Client, m *wire.Map) error {
					report := restoreStatuses(ctx, op, m)
					return cli.PrintReport(cmd.OutOrStdout(), asJSON, report, report.text)
				})
		},
	}
	flags.register(cmd)
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return cmd
}

type restoreStatusReport struct {
	Groups []restoreStatus `json:"groups"`
	Silent []wire.NodeID   `json:"silent,omitempty"` // nodes that did not answer
}

// restoreStatuses asks every node, and keeps the furthest word on each group.
func restoreStatuses(ctx context.Context, op *operator.Client, m *wire.Map) (
	report restoreStatusReport) {
	at := map[string]int{}
	for _, n := range m.Nodes {
		list, err := op.Restores(ctx, n.ID)
		if err != nil {
			report.Silent = append(report.Silent, n.ID)
			continue
		}
		for _, r := range list {
			s := restoreStatus{Node: n.ID, Group: r.Group, Incarnation: r.Incarnation,
				Done: r.Done, Index: r.Index, Time: time.UnixMilli(int64(r.Time)).UTC(),
				Counts: r.Counts, Awaited: r.Awaited}
			i, seen := at[r.Group]
			switch {
			case !seen:
				at[r.Group] = len(report.Groups)
				report.Groups = append(report.Groups, s)
			case r.Incarnation > report.Groups[i].Incarnation || r.Done:
				report.Groups[i] = s
			}
		}
	}
	return report
}

func (r restoreStatusReport) text(out io.Writer) error {
	if len(r.Groups) == 0 {
		fmt.Fprintln(out, "no group was ever restored")
	}
	for _, g := range r.Groups {
		state := "is being compared"
		if g.Done {
			state = "serves"
		}
		fmt.Fprintf(out, "%s, incarnation %d, %s; lost: what came after entry %d, of %s\n", g.Group,
			g.Incarnation, state, g.Index, g.Time.Format(time.RFC3339))
		if g.Group == link.FederationGroup {
			for _, region := range g.Awaited {
				fmt.Fprintf(out, "  waits for the report of region %s\n", region)
			}
			continue
		}
		c := g.Counts
		fmt.Fprintf(out, "  codes: %d agreed, %d had left, %d had left and come back, %d had come "+
			"(their citizens have to log in again), %d unknown to the directory\n", c.Agreed,
			c.Released, c.Raised, c.Lost, c.Ahead)
	}
	for _, n := range r.Silent {
		fmt.Fprintf(out, "%s does not answer\n", n)
	}
	return nil
}
