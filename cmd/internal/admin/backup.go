package admin

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/spf13/cobra"
	"github.com/staffetta/staffetta/internal/backup"
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

func (f *repositoryFlags) register(s *flagSet) {
	s.need(&f.target, "target", "where the copies lie: a directory, or s3://bucket/prefix")
	s.StringVar(&f.keyFile, "key-file", "",
		"file with the repository's key, without which nothing in it can be read")
	s.StringVar(&f.s3Endpoint, "s3-endpoint", "", "the S3-compatible store, https://host; "+
		"account in AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY")
	s.StringVar(&f.s3Region, "s3-region", "", "the store's region; empty: the store is asked")
	s.required("key-file")
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

// groupFlags say whose copies.
type groupFlags struct {
	region          string
	federation, all bool
}

func (f *groupFlags) register(s *flagSet) {
	s.StringVar(&f.region, "region", "", "the group of this region")
	s.BoolVar(&f.federation, "federation", false, "the federation's group")
	s.BoolVar(&f.all, "all", false, "the federation's group and those of all regions")
}

// copiesFlags say which copies of a repository a command is about.
type copiesFlags struct {
	repo   repositoryFlags
	groups groupFlags
}

func (f *copiesFlags) register(s *flagSet) {
	f.repo.register(s)
	f.groups.register(s)
}

// list opens the repository, and lists the copies of the group that is named, or of all.
func (f *copiesFlags) list(ctx context.Context) (*backup.Repository, []backup.Entry, error) {
	group, err := f.groups.groupOrAll()
	if err != nil {
		return nil, nil, err
	}
	r, err := f.repo.open(ctx)
	if err != nil {
		return nil, nil, err
	}
	list, err := r.List(ctx, group)
	return r, list, err
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
		copies copiesFlags
		rate   int64
		group  string
		b      backingUp
	)
	return command{
		use:   "backup",
		short: "Take, list, verify and prune copies of groups' states",
		long: `Take copies of groups' states, from nodes that follow, while they work. Only what is not in
the repository yet is fetched; the same node is asked as the last time, if it follows. A copy of a
region is sealed by the node that gives it, to the region's recovery key ("region recovery-key"),
and once more with the repository's. A region without a recovery key gives a copy, in clear, only
with --unsealed, which its log of reads shows.

A copy holds everything that was acknowledged before the command began, unless --stale. A backup
that breaks off leaves nothing that looks like a copy; run it again.`,
		example: `  staffetta admin backup init --target /srv/copies --key-file backup.key
  staffetta admin backup --dir DIR --target /srv/copies --key-file backup.key --all`,
		dry: "say of which groups copies would be taken",
		flags: func(f *flagSet) {
			copies.register(f)
			f.Int64Var(&rate, "rate", 0, "read at most so many MiB a second; 0: no bound")
			f.BoolVar(&b.stale, "stale", false, "take what a node has whose group has no leader: "+
				"to save what is left of one that lost its majority")
			f.BoolVar(&b.unsealed, "unsealed", false, "take a copy in clear of a region that has no "+
				"recovery key: whoever has it and the repository's key reads its citizens' data")
		},
		check: func(c *invocation) (err error) {
			b.rate = rate << 20
			if group, err = copies.groups.group(); err == nil {
				b.r, err = copies.repo.open(c.ctx)
			}
			return err
		},
		bound: within(unbounded),
		ask: withMap(func(c *invocation, m *wire.Map) (report, error) {
			if c.dry {
				return planBackup(c, groupsOf(m, group))
			}
			return b.all(c, groupsOf(m, group)), nil
		}),
		below: []*cobra.Command{newBackupInitCommand(), newBackupListCommand(),
			newBackupVerifyCommand(), newBackupPruneCommand()},
	}.build()
}

func planBackup(c *invocation, groups []string) (report, error) {
	for _, g := range groups {
		if err := c.op.CheckCopy(c.ctx, g); err != nil {
			return nil, fmt.Errorf("%s: %w", g, err)
		}
	}
	return plannedBackup{groups}, nil
}

func (b plannedBackup) text(p *page) {
	p.printf("copies would be taken of %s\n", strings.Join(b.Would, ", "))
}

// plannedBackup is what `backup --dry-run` says.
type plannedBackup struct {
	Would []string `json:"would_copy"`
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
	rate     int64 // bytes per second, 0: no bound
	stale    bool
	unsealed bool
}

// backupReport is what `backup` says.
type backupReport struct {
	Copies []*backup.Report `json:"copies"`
	Failed []failedBackup   `json:"failed,omitempty"`

	interrupted error // before the groups had their turn
}

type failedBackup struct {
	Group  string `json:"group"`
	Reason string `json:"reason"`
}

func (r backupReport) text(p *page) {
	for _, c := range r.Copies {
		p.printf("%s: entry %d, %d MiB, of which %d MiB are new; from %s\n  %s\n", c.Group, c.Index,
			c.Bytes>>20, c.AddedBytes>>20, c.Node, c.Name)
		switch {
		case c.RecoveryKey != "":
			p.printf("  sealed to recovery key %s\n", c.RecoveryKey)
		case c.Group != link.FederationGroup:
			p.printf("  in clear, but for the repository's key\n")
		}
		if c.Stale {
			p.printf("  the group may have acknowledged more than the node had\n")
		}
		if c.FromLeader {
			p.printf("  the node led its group: no other had a copy to give\n")
		}
	}
	for _, f := range r.Failed {
		p.printf("%s: no copy: %s\n", f.Group, f.Reason)
	}
}

// Failure makes a command fail that left a group without its copy.
func (r backupReport) Failure() error {
	if r.interrupted != nil {
		return r.interrupted
	}
	if n := len(r.Failed); n > 0 {
		return fmt.Errorf("%d of %d groups have no new copy", n, n+len(r.Copies))
	}
	return nil
}

// all takes a copy of each group. One that fails does not keep the others from theirs.
func (b *backingUp) all(c *invocation, groups []string) (r backupReport) {
	for _, group := range groups {
		made, err := b.one(c, group)
		if r.interrupted = c.ctx.Err(); r.interrupted != nil {
			return r
		}
		if err != nil {
			r.Failed = append(r.Failed, failedBackup{group, err.Error()})
			continue
		}
		r.Copies = append(r.Copies, made)
	}
	return r
}

func (b *backingUp) one(c *invocation, group string) (*backup.Report, error) {
	var prefer wire.NodeID
	if e, err := b.r.Find(c.ctx, group, time.Time{}); err == nil {
		last, err := b.r.Manifest(c.ctx, e.Name)
		if err != nil {
			return nil, fmt.Errorf("the last copy: %w", err)
		}
		prefer = last.Node
	}
	from, err := c.op.Copy(c.ctx, wire.OpenBackup{Group: group, Rate: uint64(b.rate),
		Stale: b.stale, Unsealed: b.unsealed}, prefer)
	if err != nil {
		return nil, err
	}
	defer from.Close()
	return b.r.Backup(c.ctx, from, backup.Options{Rate: b.rate, Progress: c.progress(group)})
}

// madeRepository is what `backup init` says.
type madeRepository struct {
	Target  string `json:"target"`
	Made    bool   `json:"made"`
	NewKey  bool   `json:"new_key"`
	KeyFile string `json:"key_file"`
	DryRun  bool   `json:"dry_run,omitempty"`
}

func (m madeRepository) text(p *page) {
	if m.DryRun {
		p.printf("%s would be made a repository, unless it is one; a new key in %s: %t\n", m.Target,
			m.KeyFile, m.NewKey)
		return
	}
	p.printf("%s is a repository of %s\n", m.Target, either(m.Made, "copies now", "this key already"))
	if m.NewKey {
		p.printf("its key is in %s: keep it elsewhere, too\n", m.KeyFile)
	}
}

func newBackupInitCommand() *cobra.Command {
	var repo repositoryFlags
	return command{
		use:   "init",
		short: "Create a repository, and its key unless the key file exists",
		long: `Make a repository of copies in an empty directory or prefix, and its key unless the key
file is there. Keep the key where the repository is not, and more than once: without it no copy can
be read. A repository that is there under this key is left as it is.`,
		dry:   "say what would be made, and make nothing",
		flags: repo.register,
		do: func(c *invocation) (report, error) {
			target, err := repo.openTarget()
			if err != nil {
				return nil, err
			}
			key, err := backup.ReadKeyFile(repo.keyFile)
			r := madeRepository{Target: target.String(), KeyFile: repo.keyFile, DryRun: c.dry,
				NewKey: errors.Is(err, fs.ErrNotExist)}
			if r.NewKey {
				if c.dry {
					return r, nil
				}
				key, err = backup.NewKeyFile(repo.keyFile)
			}
			if err != nil || c.dry {
				return r, err
			}
			r.Made, err = backup.Init(c.ctx, target, key)
			return r, err
		},
	}.build()
}

// listedCopies are what `backup list` says.
type listedCopies struct {
	Copies []backup.Entry `json:"copies"`
}

func (l listedCopies) text(p *page) { printEntries(p, l.Copies...) }

func newBackupListCommand() *cobra.Command {
	var copies copiesFlags
	return command{
		use:   "list [--region R | --federation]",
		short: "List the copies in a repository",
		flags: copies.register,
		do: func(c *invocation) (report, error) {
			_, list, err := copies.list(c.ctx)
			return listedCopies{list}, err
		},
	}.build()
}

func printEntries(p *page, list ...backup.Entry) {
	for _, e := range list {
		p.printf("%s  %s  entry %d, incarnation %d\n", e.Time.Format(time.RFC3339), e.Group, e.Index,
			e.Incarnation)
	}
}

// progress tells now and then how far something is. What it returns may be called concurrently.
func (c *invocation) progress(what string) func(done, total uint64) {
	var mu sync.Mutex
	last := time.Now() // guarded by mu
	return func(done, total uint64) {
		mu.Lock()
		defer mu.Unlock()
		if time.Since(last) >= progressPeriod {
			last = time.Now()
			c.tell("%s: %d of %d MiB\n", what, done>>20, total>>20)
		}
	}
}
