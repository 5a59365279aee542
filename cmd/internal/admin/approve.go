package admin

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strconv"
	"text/tabwriter"

	"github.com/spf13/cobra"
	"github.com/staffetta/staffetta/cmd/internal/cli"
	"github.com/staffetta/staffetta/internal/operator"
	"github.com/staffetta/staffetta/wire"
)

// pendingLine is a request that waits, as it is printed.
type pendingLine struct {
	ID       string `json:"id"`
	Operator string `json:"operator"`
	Action   string `json:"action"`
	Subject  string `json:"subject"`
	Asked    string `json:"asked"`
	Expires  string `json:"expires"`
}

// pendingReport is what `approve --list` says.
type pendingReport struct {
	Operators uint32        `json:"operators_needed"`
	Waiting   []pendingLine `json:"waiting"`
}

func (r pendingReport) text(out io.Writer) error {
	if len(r.Waiting) == 0 {
		_, err := fmt.Fprintln(out, "nothing waits")
		return err
	}
	w := tabwriter.NewWriter(out, 0, 8, 2, ' ', 0)
	fmt.Fprintln(w, "id\tasked by\twhat\tof\tuntil")
	for _, p := range r.Waiting {
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\n", p.ID, p.Operator, p.Action, p.Subject, p.Expires)
	}
	return w.Flush()
}

func newApproveCommand() *cobra.Command {
	var (
		flags          changeFlags
		list, withdraw bool
	)
	cmd := &cobra.Command{
		Use:   "approve ID | --list",
		Short: "Carry out what another operator asked for and what takes two",
		Long: `Carry out what another operator asked for. Where the federation is set so (see
"approvals set"), what hurts a region waits for a second operator, for ` +
			wire.ApprovalWait.String() + `: the slots of a lost
region taken by force or written off, a fence, a report that a restore goes on without, an
authority added or removed, an identity revoked, another recovery key in place of one. A spool
discard, once approved, is given again by who asked, within that time. The second one needs the
same right as the first, and a certificate of another name. What is looked at when such a command
is given is looked at again.

--list shows what waits. --withdraw, by who asked or might approve, has it wait no more.`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if list == (len(args) == 1) || list && (withdraw || flags.dryRun) {
				return errors.New("approve: give an ID, or --list alone")
			}
			return flags.with(cmd, adminWait, func(ctx context.Context, op *operator.Client) error {
				if list {
					return listPending(ctx, cmd, op, flags.asJSON)
				}
				done := trustChange{Action: "approve", Done: !flags.dryRun}
				do := op.Approve
				if withdraw {
					done.Action, do = "withdraw", op.Withdraw
				}
				what, err := whatWaits(ctx, op, args[0])
				if err != nil {
					return fmt.Errorf("%s: %w", done.Action, err)
				}
				done.Subjects = []string{what}
				if !withdraw {
					done.Note = "who asked may give the command again, and is told what came of it"
				}
				if flags.dryRun {
					ctx = operator.Rehearse(ctx)
				}
				if err := do(ctx, args[0]); err != nil {
					return fmt.Errorf("%s %s: %w", done.Action, args[0], err)
				}
				return cli.PrintReport(cmd.OutOrStdout(), flags.asJSON, done, done.text)
			})
		},
	}
	flags.register(cmd)
	cmd.Flags().BoolVar(&list, "list", false, "show what waits")
	cmd.Flags().BoolVar(&withdraw, "withdraw", false, "have it wait no more")
	return cmd
}

// whatWaits says in words what a request asks for: an approval is no more than its ID otherwise.
func whatWaits(ctx context.Context, op *operator.Client, id string) (string, error) {
	pending, err := op.Pending(ctx)
	if err != nil {
		return "", err
	}
	for _, p := range pending.List {
		if p.ID == id {
			return fmt.Sprintf("%s: %s, %s, asked by %s", id, p.Action, p.Subject, p.Operator), nil
		}
	}
	return id, nil // approved before, or unknown: the answer to the call says which
}

func listPending(ctx context.Context, cmd *cobra.Command, op *operator.Client, asJSON bool) error {
	pending, err := op.Pending(ctx)
	if err != nil {
		return fmt.Errorf("approve: %w", err)
	}
	warnStale(cmd.ErrOrStderr(), pending.Fresh)
	r := pendingReport{Operators: pending.Approvals, Waiting: []pendingLine{}}
	for _, p := range pending.List {
		r.Waiting = append(r.Waiting, pendingLine{ID: p.ID, Operator: p.Operator, Action: p.Action,
			Subject: p.Subject, Asked: p.Asked.String(), Expires: p.Expires.String()})
	}
	return cli.PrintReport(cmd.OutOrStdout(), asJSON, r, r.text)
}

// approvalsReport is what `approvals` says.
type approvalsReport struct {
	Operators uint32 `json:"operators_needed"`
}

func newApprovalsCommand() *cobra.Command {
	var flags changeFlags
	set := &cobra.Command{
		Use:   "set 1|2",
		Short: "Set how many operators it takes to do what hurts a region",
		Long: `Set how many operators it takes to do what hurts a region, see "approve". From 2 to 1 takes
two itself. Have three operators before you say 2: of two, neither could revoke the other's stolen
certificate.`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			n, err := strconv.ParseUint(args[0], 10, 32)
			if err != nil || n < 1 || n > wire.ApprovalsMax {
				return fmt.Errorf("approvals set: %q is not 1 or 2", args[0])
			}
			return flags.with(cmd, adminWait, func(ctx context.Context, op *operator.Client) error {
				pending, err := op.Pending(ctx)
				if err != nil {
					return fmt.Errorf("approvals set: %w", err)
				}
				a := wire.Approvals{Operators: uint32(n)}
				done := trustChange{Action: "what hurts a region takes", Done: !flags.dryRun,
					Subjects: []string{a.AuditSubject()}}
				if pending.Approvals == a.Operators {
					done.Done, done.Note = false, "it takes as many already"
				}
				if flags.dryRun {
					ctx = operator.Rehearse(ctx)
				}
				if err := op.SetApprovals(ctx, a.Operators); err != nil {
					return fmt.Errorf("approvals set: %w", err)
				}
				return cli.PrintReport(cmd.OutOrStdout(), flags.asJSON, done, done.text)
			})
		},
	}
	flags.register(set)
	var shown viewFlags
	cmd := &cobra.Command{
		Use:   "approvals",
		Short: "Show how many operators it takes to do what hurts a region",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return shown.with(cmd, adminWait, func(ctx context.Context, op *operator.Client) error {
				pending, err := op.Pending(ctx)
				if err != nil {
					return fmt.Errorf("approvals: %w", err)
				}
				warnStale(cmd.ErrOrStderr(), pending.Fresh)
				a := wire.Approvals{Operators: pending.Approvals}
				return cli.PrintReport(cmd.OutOrStdout(), shown.asJSON, approvalsReport{a.Operators},
					func(out io.Writer) error {
						_, err := fmt.Fprintln(out, a.AuditSubject())
						return err
					})
			})
		},
	}
	shown.register(cmd)
	cmd.AddCommand(set)
	return cmd
}
