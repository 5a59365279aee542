package admin

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"
	"github.com/staffetta/staffetta/cmd/internal/cli"
	"github.com/staffetta/staffetta/internal/backup"
)

func newBackupVerifyCommand() *cobra.Command {
	var (
		repo         repositoryFlags
		groups       groupFlags
		asJSON       bool
		every, quick bool
		scratch      string
		recovery     recoveryFlags
	)
	cmd := &cobra.Command{
		Use:   "verify [--region R | --federation]",
		Short: "Read copies back and see whether a group can be restored from them",
		Long: `Read the newest copy of each group back, or with --every all of them: every piece is held
against its hash, then the state is put together below --scratch, its identity, position and digest
are compared with what was noted when the copy was taken, and every row is read. The scratch
directory needs room for the largest state, and holds it in clear meanwhile, which takes the
recovery keys of the regions; --quick does without both.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			group, err := groups.groupOrAll()
			if err != nil {
				return err
			}
			r, err := repo.open(cmd.Context())
			if err != nil {
				return err
			}
			if !quick && scratch == "" {
				return errors.New("give --scratch, a directory with room for a state, or --quick")
			}
			if quick {
				scratch = ""
			}
			keys, err := recovery.keys()
			if err != nil {
				return err
			}
			list, err := r.List(cmd.Context(), group)
			if err != nil {
				return err
			}
			if !every {
				list = newest(list)
			}
			report, err := verifyAll(cmd.Context(), r, list, scratch, keys, cmd.ErrOrStderr())
			if err != nil {
				return err
			}
			return cli.PrintReport(cmd.OutOrStdout(), asJSON, report, report.text)
		},
	}
	recovery.register(cmd)
	repo.register(cmd)
	groups.register(cmd)
	cmd.Flags().BoolVar(&every, "every", false, "every copy, not only the newest of each group")
	cmd.Flags().BoolVar(&quick, "quick", false, "hold pieces against their hashes only")
	cmd.Flags().StringVar(&scratch, "scratch", "", "directory to put states together in")
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return cmd
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

func verifyAll(ctx context.Context, r *backup.Repository, list []backup.Entry, scratch string,
	keys backup.RecoveryKeys, out io.Writer) (report verifyReport, err error) {
	for _, e := range list {
		p := &progress{out: out, what: e.Group, last: time.Now()}
		v, err := r.Verify(ctx, e, scratch, backup.Options{Progress: p.tell, Keys: keys})
		if err != nil {
			return report, err
		}
		report.Copies = append(report.Copies, v)
	}
	return report, nil
}

func (r verifyReport) text(out io.Writer) error {
	for _, v := range r.Copies {
		printEntries(out, []backup.Entry{v.Entry})
		for _, p := range v.Problems {
			fmt.Fprintf(out, "  %s\n", p)
		}
		if len(v.Problems) > 0 {
			continue
		}
		fmt.Fprintf(out, "  whole: %d pieces, %d MiB", v.Pieces, v.Bytes>>20)
		if v.Rows > 0 {
			fmt.Fprintf(out, "; the state opens, %d rows", v.Rows)
		}
		fmt.Fprintln(out)
	}
	return nil
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
		repo           repositoryFlags
		keep           backup.Retention
		asJSON, dryRun bool
	)
	cmd := &cobra.Command{
		Use:   "prune --keep N [--keep-within 720h]",
		Short: "Remove old copies, and what no copy needs any more",
		Long: `Remove the copies of each group but for the newest N and those younger than --keep-within,
then what no copy needs any more and is a day old. No backup may be under way.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			r, err := repo.open(cmd.Context())
			if err != nil {
				return err
			}
			p, err := r.Prune(cmd.Context(), keep, dryRun)
			if err != nil {
				return err
			}
			return cli.PrintReport(cmd.OutOrStdout(), asJSON, p, func(out io.Writer) error {
				verb := "removed"
				if dryRun {
					verb = "would be removed"
				}
				fmt.Fprintf(out, "%d copies stay; %d copies, and %d MiB in %d pieces, %s\n",
					len(p.Kept), len(p.Removed), p.Bytes>>20, p.Pieces, verb)
				return printEntries(out, p.Removed)
			})
		},
	}
	repo.register(cmd)
	cmd.Flags().IntVar(&keep.Last, "keep", 0, "copies of each group that stay, at least 1")
	cmd.Flags().DurationVar(&keep.Within, "keep-within", 0,
		"copies younger than this stay, however many")
	cmd.Flags().BoolVar(&dryRun, "dry-run", false, "only say what would be removed")
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	cmd.MarkFlagRequired("keep")
	return cmd
}
