package admin

import (
	"errors"
	"fmt"

	"github.com/spf13/cobra"
	"github.com/staffetta/staffetta/internal/backup"
)

func newBackupVerifyCommand() *cobra.Command {
	var f verifyFlags
	return command{
		use:   "verify [--region R | --federation]",
		short: "Read copies back and check that a group can be restored from them",
		long: `Read the newest copy of each group back, or with --every all of them: every piece is held
against its hash, then the state is put together below --scratch, its identity, position and digest
are compared with what was noted when the copy was taken, and every row is read. The scratch
directory needs room for the largest state, and holds it in clear meanwhile, which takes the
recovery keys of the regions; --quick does without both.`,
		flags: func(s *flagSet) {
			f.recovery.register(s)
			f.copies.register(s)
			s.BoolVar(&f.every, "every", false, "every copy, not only the newest of each group")
			s.BoolVar(&f.quick, "quick", false, "hold pieces against their hashes only")
			s.StringVar(&f.scratch, "scratch", "", "directory to put states together in")
		},
		check: func(*invocation) error {
			if f.quick {
				f.scratch = ""
			} else if f.scratch == "" {
				return errors.New("give --scratch, a directory with room for a state, or --quick")
			}
			return nil
		},
		do: func(c *invocation) (report, error) { return f.verify(c) },
	}.build()
}

func (f *verifyFlags) verify(c *invocation) (r verifyReport, err error) {
	repo, list, err := f.copies.list(c.ctx)
	if err != nil {
		return r, err
	}
	keys, err := f.recovery.keys()
	if err != nil {
		return r, err
	}
	if !f.every {
		list = newest(list)
	}
	for _, e := range list {
		v, err := repo.Verify(c.ctx, e, f.scratch, backup.Options{Progress: c.progress(e.Group),
			Keys: keys})
		if err != nil {
			return r, err
		}
		r.Copies = append(r.Copies, v)
	}
	return r, nil
}

// newest are the last of each group, in order of the groups' first appearance.
func newest(list []backup.Entry) (last []backup.Entry) {
	at := map[string]int{}
	for _, e := range list {
		i, seen := at[e.Group]
		if !seen {
			i = len(last)
			at[e.Group], last = i, append(last, e)
		}
		last[i] = e
	}
	return last
}

// verifyReport is what `backup verify` says.
type verifyReport struct {
	Copies []*backup.Verification `json:"copies"`
}

func (r verifyReport) text(p *page) {
	for _, v := range r.Copies {
		printEntries(p, v.Entry)
		for _, problem := range v.Problems {
			p.printf("  %s\n", problem)
		}
		if len(v.Problems) > 0 {
			continue
		}
		p.printf("  whole: %d pieces, %d MiB", v.Pieces, v.Bytes>>20)
		if v.Rows > 0 {
			p.printf("; the state opens, %d rows", v.Rows)
		}
		p.printf("\n")
	}
}

// pruned is what `backup prune` says.
type pruned struct {
	*backup.Pruned
	dry bool
}

func (r pruned) text(p *page) {
	p.printf("%d copies stay; %d copies, and %d MiB in %d pieces, %s\n", len(r.Kept),
		len(r.Removed), r.Bytes>>20, r.Pieces, either(!r.dry, "removed", "would be removed"))
	printEntries(p, r.Removed...)
}

// Failure makes a command fail that found something wrong, or nothing to look at.
func (r verifyReport) Failure() error {
	bad := 0
	for _, v := range r.Copies {
		if len(v.Problems) > 0 {
			bad++
		}
	}
	switch {
	case len(r.Copies) == 0:
		return errors.New("there is no copy to verify")
	case bad > 0:
		return fmt.Errorf("%d of %d copies cannot be relied on", bad, len(r.Copies))
	}
	return nil
}

func newBackupPruneCommand() *cobra.Command {
	var (
		repo repositoryFlags
		keep backup.Retention
	)
	return command{
		use:   "prune --keep N [--keep-within 720h]",
		short: "Remove old copies and the pieces that no copy needs any more",
		long: `Remove the copies of each group but for the newest N and those younger than --keep-within,
then what no copy needs any more and is a day old. No backup may be under way.`,
		dry: "only say what would be removed",
		flags: func(f *flagSet) {
			repo.register(f)
			f.IntVar(&keep.Last, "keep", 0, "copies of each group to keep, at least 1")
			f.DurationVar(&keep.Within, "keep-within", 0,
				"keep all copies younger than this")
			f.required("keep")
		},
		do: func(c *invocation) (report, error) {
			r, err := repo.open(c.ctx)
			if err != nil {
				return nil, err
			}
			p, err := r.Prune(c.ctx, keep, c.dry)
			return pruned{p, c.dry}, err
		},
	}.build()
}

// verifyFlags are those of `backup verify`.
type verifyFlags struct {
	copies       copiesFlags
	recovery     recoveryFlags
	every, quick bool
	scratch      string
}
