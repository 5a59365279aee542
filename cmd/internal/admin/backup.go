package admin

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/spf13/cobra"
	"github.com/staffetta/staffetta/cmd/internal/cli"
	"github.com/staffetta/staffetta/internal/backup"
	"github.com/staffetta/staffetta/internal/operator"
	"github.com/staffetta/staffetta/wire"
	"github.com/staffetta/staffetta/wire/link"
)

// progressPeriod is how often a command that takes long says how far it is.
const progressPeriod = 2 * time.Second

// repositoryFlags say where copies are kept.
type repositoryFlags struct {
	target, keyFile      string
	s3Endpoint, s3Region string
}

func (f *repositoryFlags) register(cmd *cobra.Command) {
	cmd.Flags().StringVar(&f.target, "target", "",
		"where the copies lie: a directory, or s3://bucket/prefix")
	cmd.Flags().StringVar(&f.keyFile, "key-file", "",
		"file with the repository's key, without which nobody reads anything of what lies there")
	cmd.Flags().StringVar(&f.s3Endpoint, "s3-endpoint", "", "the S3-compatible store, https://host; "+
		"account in AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY")
	cmd.Flags().StringVar(&f.s3Region, "s3-region", "", "the store's region; empty: it is asked for")
	for _, name := range []string{"target", "key-file"} {
		cmd.MarkFlagRequired(name)
	}
}

func (f *repositoryFlags) open(ctx context.Context) (*backup.Repository, error) {
	t, err := f.openTarget()
	if err != nil {
		return nil, err
	}
	key, err := backup.ReadKeyFile(f.keyFile)
	if errors.Is(err, fs.ErrNotExist) {
		err = fmt.Errorf("%w: `staffetta admin backup init` makes it with a new repository", err)
	}
	if err != nil {
		return nil, err
	}
	return backup.Open(ctx, t, key)
}

func (f *repositoryFlags) openTarget() (backup.Target, error) {
	t, err := backup.OpenTarget(f.target, backup.S3Config{Endpoint: f.s3Endpoint,
		Region: f.s3Region, AccessKey: os.Getenv("AWS_ACCESS_KEY_ID"),
		SecretKey:    os.Getenv("AWS_SECRET_ACCESS_KEY"),
		SessionToken: os.Getenv("AWS_SESSION_TOKEN")})
	if err != nil {
		return nil, fmt.Errorf("--target: %w", err)
	}
	return t, nil
}

// progress tells now and then how far something is.
type progress struct {
	out  io.Writer
	what string

	mu   sync.Mutex
	last time.Time // guarded by mu
}

func (p *progress) tell(done, total uint64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if time.Since(p.last) < progressPeriod {
		return
	}
	p.last = time.Now()
	fmt.Fprintf(p.out, "%s: %d of %d MiB\n", p.what, done>>20, total>>20)
}

// groupFlags say whose copies.
type groupFlags struct {
	region          string
	federation, all bool
}

func (f *groupFlags) register(cmd *cobra.Command) {
	cmd.Flags().StringVar(&f.region, "region", "", "the group of this region")
	cmd.Flags().BoolVar(&f.federation, "federation", false, "the federation's group")
	cmd.Flags().BoolVar(&f.all, "all", false, "the federation's group and those of all regions")
}

// groupOrAll is group, where none that is named stands for all.
func (f *groupFlags) groupOrAll() (string, error) {
	if f.region == "" && !f.federation {
		return "", nil
	}
	return f.group()
}

// group is the one that is named, empty for all.
func (f *groupFlags) group() (string, error) {
	given := 0
	for _, b := range []bool{f.region != "", f.federation, f.all} {
		if b {
			given++
		}
	}
	switch {
	case given != 1:
		return "", errors.New("give one of --region, --federation and --all")
	case f.federation:
		return link.FederationGroup, nil
	case f.all:
		return "", nil
	case !wire.RegionID(f.region).Valid():
		return "", fmt.Errorf("--region %q is not a region's name", f.region)
	}
	return link.RegionGroup(wire.RegionID(f.region)), nil
}

func newBackupCommand() *cobra.Command {
	var (
		flags  operatorFlags
		repo   repositoryFlags
		groups groupFlags
		rate   int64
		stale  bool
		clear  bool
		asJSON bool
		dryRun bool
	)
	cmd := &cobra.Command{
		Use:   "backup",
		Short: "Take copies of groups' states, list, verify and prune them",
		Long: `Take copies of groups' states, from nodes that follow, while they work. Only what is not in
the repository yet is fetched; the same node is asked as the last time, if it follows. A copy of a
region is sealed by the node that gives it, to the region's recovery key ("region recovery-key"),
and once more with the repository's. A region without a recovery key gives a copy, in clear, only
with --unsealed, which its log of reads shows.

A copy holds everything that was acknowledged before the command began, unless --stale. A backup
that breaks off leaves nothing that looks like a copy; run it again.`,
		Example: `  staffetta admin backup init --target /srv/copies --key-file backup.key
  staffetta admin backup --dir DIR --target /srv/copies --key-file backup.key --all`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			group, err := groups.group()
			if err != nil {
				return err
			}
			r, err := repo.open(cmd.Context())
			if err != nil {
				return err
			}
			return withMap(cmd.Context(), &flags,
				func(ctx context.Context, op *operator.Client, m *wire.Map) error {
					if dryRun {
						report := plannedBackup{Would: groupsOf(m, group)}
						for _, g := range report.Would {
							if err := op.MayCopy(ctx, g); err != nil {
								return fmt.Errorf("backup of %s: %w", g, err)
							}
						}
						return cli.PrintReport(cmd.OutOrStdout(), asJSON, report, report.text)
					}
					b := &backingUp{r: r, op: op, rate: rate << 20, stale: stale, unsealed: clear,
						progress: cmd.ErrOrStderr()}
					report, err := b.all(ctx, groupsOf(m, group))
					return errors.Join(cli.PrintReport(cmd.OutOrStdout(), asJSON, report,
						report.text), err)
				})
		},
	}
	flags.register(cmd)
	repo.register(cmd)
	groups.register(cmd)
	cmd.Flags().Int64Var(&rate, "rate", 0, "read at most so many MiB a second; 0: no bound")
	cmd.Flags().BoolVar(&stale, "stale", false, "take what a node has whose group has no leader: "+
		"to save what is left of one that lost its majority")
	cmd.Flags().BoolVar(&clear, "unsealed", false, "take a copy in clear of a region that has no "+
		"recovery key: whoever has it and the repository's key reads its citizens' data")
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	cmd.Flags().BoolVar(&dryRun, "dry-run", false, "say of which groups copies would be taken")
	cmd.AddCommand(newBackupInitCommand(), newBackupListCommand(), newBackupVerifyCommand(),
		newBackupPruneCommand())
	return cmd
}

// plannedBackup is what `backup --dry-run` says.
type plannedBackup struct {
	Would []string `json:"would_copy"`
}

func (p plannedBackup) text(out io.Writer) error {
	_, err := fmt.Fprintf(out, "copies would be taken of %s\n", strings.Join(p.Would, ", "))
	return err
}

// groupsOf are the one that is named, or all of the map, the federation first.
func groupsOf(m *wire.Map, group string) []string {
	if group != "" {
		return []string{group}
	}
	list := []string{link.FederationGroup}
	for _, r := range m.Regions {
		list = append(list, link.RegionGroup(r.ID))
	}
	return list
}

// backingUp takes copies.
type backingUp struct {
	r        *backup.Repository
	op       *operator.Client
	rate     int64 // bytes per second, 0: no bound
	stale    bool
	unsealed bool
	progress io.Writer
}

// backupReport is what `backup` says.
type backupReport struct {
	Copies []*backup.Report `json:"copies"`
	Failed []failedBackup   `json:"failed,omitempty"`
}

type failedBackup struct {
	Group  string `json:"group"`
	Reason string `json:"reason"`
}

func (r backupReport) text(out io.Writer) error {
	for _, c := range r.Copies {
		fmt.Fprintf(out, "%s: entry %d, %d MiB, of which %d MiB are new; from %s\n  %s\n", c.Group,
			c.Index, c.Bytes>>20, c.AddedBytes>>20, c.Node, c.Name)
		switch {
		case c.RecoveryKey != "":
			fmt.Fprintf(out, "  sealed to recovery key %s\n", c.RecoveryKey)
		case c.Group != link.FederationGroup:
			fmt.Fprintf(out, "  in clear, but for the repository's key\n")
		}
		if c.Stale {
			fmt.Fprintf(out, "  the group may have acknowledged more than the node had\n")
		}
		if c.FromLeader {
			fmt.Fprintf(out, "  the node led its group: no other had a copy to give\n")
		}
	}
	for _, f := range r.Failed {
		fmt.Fprintf(out, "%s: no copy: %s\n", f.Group, f.Reason)
	}
	return nil
}

// all takes a copy of each group. One that fails does not keep the others from theirs.
func (b *backingUp) all(ctx context.Context, groups []string) (report backupReport, err error) {
	for _, group := range groups {
		c, err := b.one(ctx, group)
		if ctx.Err() != nil {
			return report, ctx.Err()
		}
		if err != nil {
			report.Failed = append(report.Failed, failedBackup{group, err.Error()})
			continue
		}
		report.Copies = append(report.Copies, c)
	}
	if n := len(report.Failed); n > 0 {
		err = fmt.Errorf("%d of %d groups have no new copy", n, len(groups))
	}
	return report, err
}

func (b *backingUp) one(ctx context.Context, group string) (*backup.Report, error) {
	var prefer wire.NodeID
	if e, err := b.r.Find(ctx, group, time.Time{}); err == nil {
		last, err := b.r.Manifest(ctx, e.Name)
		if err != nil {
			return nil, fmt.Errorf("the last copy: %w", err)
		}
		prefer = last.Node
	}
	c, err := b.op.Copy(ctx, wire.OpenBackup{Group: group, Rate: uint64(b.rate),
		Stale: b.stale, Unsealed: b.unsealed}, prefer)
	if err != nil {
		return nil, err
	}
	defer c.Close()
	p := &progress{out: b.progress, what: group, last: time.Now()}
	return b.r.Backup(ctx, c, backup.Options{Rate: b.rate, Progress: p.tell})
}

func newBackupInitCommand() *cobra.Command {
	var (
		repo   repositoryFlags
		asJSON bool
		dryRun bool
	)
	cmd := &cobra.Command{
		Use:   "init",
		Short: "Make a repository, and its key unless the key file is there",
		Long: `Make a repository of copies in an empty directory or prefix, and its key unless the key
file is there. Keep the key where the repository is not, and more than once: without it no copy can
be read. A repository that is there under this key is left as it is.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			target, err := repo.openTarget()
			if err != nil {
				return err
			}
			key, err := backup.ReadKeyFile(repo.keyFile)
			newKey := errors.Is(err, os.ErrNotExist)
			if dryRun && (newKey || err == nil) {
				_, err := fmt.Fprintf(cmd.OutOrStdout(), "%s would be made a repository, unless it is "+
					"one; a new key in %s: %t\n", target, repo.keyFile, newKey)
				return err
			}
			if newKey {
				key, err = backup.NewKeyFile(repo.keyFile)
			}
			if err != nil {
				return err
			}
			made, err := backup.Init(cmd.Context(), target, key)
			if err != nil {
				return err
			}
			report := struct {
				Target  string `json:"target"`
				Made    bool   `json:"made"`
				NewKey  bool   `json:"new_key"`
				KeyFile string `json:"key_file"`
			}{target.String(), made, newKey, repo.keyFile}
			return cli.PrintReport(cmd.OutOrStdout(), asJSON, report, func(out io.Writer) error {
				if made {
					_, err = fmt.Fprintf(out, "%s is a repository of copies now\n", target)
				} else {
					_, err = fmt.Fprintf(out, "%s is a repository of this key already\n", target)
				}
				if newKey {
					fmt.Fprintf(out, "its key is in %s: keep it elsewhere, too\n", repo.keyFile)
				}
				return err
			})
		},
	}
	repo.register(cmd)
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	cmd.Flags().BoolVar(&dryRun, "dry-run", false, "say what would be made, and make nothing")
	return cmd
}

func newBackupListCommand() *cobra.Command {
	var (
		repo   repositoryFlags
		groups groupFlags
		asJSON bool
	)
	cmd := &cobra.Command{
		Use:   "list [--region R | --federation]",
		Short: "List the copies that there are",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			group, err := groups.groupOrAll()
			if err != nil {
				return err
			}
			r, err := repo.open(cmd.Context())
			if err != nil {
				return err
			}
			list, err := r.List(cmd.Context(), group)
			if err != nil {
				return err
			}
			report := struct {
				Copies []backup.Entry `json:"copies"`
			}{list}
			return cli.PrintReport(cmd.OutOrStdout(), asJSON, report, func(out io.Writer) error {
				return printEntries(out, list)
			})
		},
	}
	repo.register(cmd)
	groups.register(cmd)
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return cmd
}

func printEntries(out io.Writer, list []backup.Entry) error {
	for _, e := range list {
		if _, err := fmt.Fprintf(out, "%s  %s  entry %d, incarnation %d\n",
			e.Time.Format(time.RFC3339), e.Group, e.Index, e.Incarnation); err != nil {
			return err
		}
	}
	return nil
}
