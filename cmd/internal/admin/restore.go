package admin

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/staffetta/staffetta/internal/backup"
	"github.com/staffetta/staffetta/internal/founding"
	"github.com/staffetta/staffetta/internal/store"
	"github.com/staffetta/staffetta/node/recovery"
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
	replace                    bool
}

func (f *restoreFlags) register(s *flagSet) {
	f.repo.register(s)
	f.recovery.register(s)
	s.need(&f.group, "group", "what is restored: region/NAME or federation")
	s.StringVar(&f.at, "at", "latest",
		"the newest copy that is not newer than this, as 2026-11-22T10:00:00Z, or latest")
	s.Uint32Var(&f.incarnation, "incarnation", 0, "the restored group's incarnation: one more "+
		"than the last one; the same on every node")
	s.need(&f.dir, "dir", "the node's data directory, new or without this group")
	s.need(&f.node, "node", "whose data directory it is")
	s.StringVar(&f.region, "region", "", "the node's region; empty: the group's")
	s.need(&f.founder, "founder", "the node that begins the group, alone, the same "+
		"for every node; the others join it from their copies")
	s.StringVar(&f.founding, "founding-out", "", "with --group federation: file for the copy's "+
		"map as a founding file, for nodes that joined after the founding")
	s.BoolVar(&f.replace, "replace", false,
		"move the group's directory aside that is there, to …replaced-1")
	s.required("incarnation")
}

func newRestoreCommand() *cobra.Command {
	var f restoreFlags
	return command{
		use:   "restore",
		short: "Restore a node's data directory from a copy of a group's state",
		long: `Make the part of a node's data directory that holds one group of a copy, as a new
incarnation of the group: nodes of an earlier one take no part any more. Run it for every node of
the group, each time with the same copy, incarnation and founder; then start the founder, and the
others. The directory holds citizens' data in clear, as every node's.

A region is fenced first ("restore fence"), while the federation lives. When everything is lost the
federation comes first, then each region. A restored group serves nothing until ownership is
compared between regions and directory, which it does by itself ("restore status").`,
		example: `  staffetta admin restore fence --dir DIR --region lazio --incarnation 1
  staffetta admin restore --target /srv/copies --key-file backup.key --group region/lazio \
    --recovery-key lazio-recovery.key --incarnation 1 --founder lazio-1 --node lazio-1 \
    --dir /var/lib/staffetta`,
		dry:   dryDo,
		flags: f.register,
		do: func(c *invocation) (report, error) {
			at, err := f.time()
			if err != nil {
				return nil, err
			}
			r, err := f.repo.open(c.ctx)
			if err != nil {
				return nil, err
			}
			return f.restore(c, r, at)
		},
		below: []*cobra.Command{newRestoreFenceCommand(), newRestoreWaiveCommand(),
			newRestoreStatusCommand(), newRestoreMovedCommand()},
	}.build()
}

func (r *restoreReport) text(p *page) {
	p.printf("%s: %s of the copy of %s, entry %d (%d MiB), for node %s\n", r.Dir,
		either(r.Done, "is made", "would be made"), r.Copy.Time.Format(time.RFC3339), r.Copy.Index,
		r.Bytes>>20, r.Node)
	p.printf("%s becomes incarnation %d, begun by %s\n", r.Copy.Group, r.Incarnation, r.Founder)
	p.printf("lost: what came after entry %d, of %s\n", r.Copy.Index,
		r.Copy.Time.Format(time.RFC3339))
	if r.Newest.Name != r.Copy.Name {
		p.printf("      of it entries %d to %d are in a newer copy, of %s\n", r.Copy.Index+1,
			r.Newest.Index, r.Newest.Time.Format(time.RFC3339))
	}
}

func (f *restoreFlags) restore(c *invocation, r *backup.Repository, at time.Time) (*restoreReport,
	error) {
	if f.founding != "" && f.group != "federation" {
		return nil, errors.New("--founding-out: only the federation's copy has the map")
	}
	e, err := r.Find(c.ctx, f.group, at)
	if err != nil {
		return nil, err
	}
	newest, err := r.Find(c.ctx, f.group, time.Time{})
	if err != nil {
		return nil, err
	}
	m, err := r.Manifest(c.ctx, e.Name)
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
	told := &restoreReport{Copy: e, Dir: f.dir, Node: wire.NodeID(f.node), Bytes: m.Bytes,
		Founder: wire.NodeID(f.founder), Incarnation: f.incarnation, Newest: newest}
	if c.dry {
		return told, nil
	}
	identity := m.Identity()
	identity.Incarnation = f.incarnation
	err = recovery.RestoreGroup(recovery.RestoreConfig{Dir: f.dir, Node: told.Node,
		Founder: told.Founder, Region: wire.RegionID(region), Replace: f.replace,
		Identity: identity, OnMap: f.writeFounding,
		Plan: store.Plan{Origin: m.Origin(), Digest: m.Digest,
			Files: func(write func(string, int64, io.Reader) error) error {
				return opened.Files(c.ctx, c.progress(f.group), write)
			}}})
	if errors.Is(err, recovery.ErrRestoredOver) {
		err = fmt.Errorf("%w: --replace moves it aside", err)
	}
	told.Done = err == nil
	return told, err
}

// waived is what `restore waive` says.
type waived struct {
	Done   bool   `json:"done"`
	Region string `json:"region"`
}

func (f waived) text(p *page) {
	p.printf("the federation %s on without the report of %s\n", either(f.Done, "goes", "would go"),
		f.Region)
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

// writeFounding leaves the map of a federation's copy as a founding file, from which nodes can
// start that came after the founding.
func (f *restoreFlags) writeFounding(m *wire.Map) error {
	if f.founding == "" {
		return nil
	}
	return os.WriteFile(f.founding, founding.Of(m).JSON(), 0o600)
}

func newRestoreWaiveCommand() *cobra.Command {
	var (
		region  string
		healthy bool
	)
	return command{
		use:   "waive --region R",
		short: "Waive the report of a lost region, so that a restored federation goes on without it",
		long: `A restored federation takes no claim and no move before every region has reported what it
owns. A region that will not come back, or not soon, can be left out: codes that it had got since
the federation's copy was made can then be claimed again elsewhere. When it is restored later, the
higher epoch wins.`,
		dry: dryDo,
		flags: func(f *flagSet) {
			f.need(&region, "region", "the region")
			f.healthy(&healthy)
		},
		ask: func(c *invocation) (report, error) {
			if _, _, err := c.onMap("region", region); err != nil {
				return nil, err
			}
			return waived{!c.dry, region}, c.op.WaiveReport(c.ctx,
				&wire.WaiveReport{Region: wire.RegionID(region), Healthy: healthy})
		},
	}.build()
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
	return command{
		use:   "status",
		short: "Show which groups were restored, their progress, and what was lost",
		bound: within(unbounded),
		ask: withMap(func(c *invocation, m *wire.Map) (report, error) {
			return restoreStatuses(c, m), nil
		}),
	}.build()
}

type restoreStatusReport struct {
	Groups []restoreStatus `json:"groups"`
	Silent []wire.NodeID   `json:"silent,omitempty"` // nodes that did not answer
}

// restoreStatuses asks every node, and keeps the furthest word on each group.
func restoreStatuses(c *invocation, m *wire.Map) (told restoreStatusReport) {
	at := map[string]int{}
	for _, n := range m.Nodes {
		list, err := c.op.Restores(c.ctx, n.ID)
		if err != nil {
			told.Silent = append(told.Silent, n.ID)
			continue
		}
		for _, r := range list {
			s := restoreStatus{Node: n.ID, Group: r.Group, Incarnation: r.Incarnation,
				Done: r.Done, Index: r.Index, Time: time.UnixMilli(int64(r.Time)).UTC(),
				Counts: r.Counts, Awaited: r.Awaited}
			i, seen := at[r.Group]
			switch {
			case !seen:
				at[r.Group] = len(told.Groups)
				told.Groups = append(told.Groups, s)
			case r.Incarnation > told.Groups[i].Incarnation || r.Done:
				told.Groups[i] = s
			}
		}
	}
	return told
}

func (r restoreStatusReport) text(p *page) {
	if len(r.Groups) == 0 {
		p.printf("no group was ever restored\n")
	}
	for _, g := range r.Groups {
		p.printf("%s, incarnation %d, %s; lost: what came after entry %d, of %s\n", g.Group,
			g.Incarnation, either(g.Done, "serves", "is being compared"), g.Index,
			g.Time.Format(time.RFC3339))
		if g.Group == link.FederationGroup {
			for _, region := range g.Awaited {
				p.printf("  waits for the report of region %s\n", region)
			}
			continue
		}
		c := g.Counts
		p.printf("  codes: %d agreed, %d had left, %d had left and come back, %d had come (their "+
			"citizens have to log in again), %d unknown to the directory\n", c.Agreed, c.Released,
			c.Raised, c.Lost, c.Ahead)
	}
	for _, n := range r.Silent {
		p.printf("%s does not answer\n", n)
	}
}
