package admin

import (
	"context"
	"fmt"
	"io"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"
	"github.com/staffetta/staffetta/cmd/internal/cli"
	"github.com/staffetta/staffetta/internal/operator"
	"github.com/staffetta/staffetta/wire"
)

// auditLine is a line as it is printed.
type auditLine struct {
	Number   uint64 `json:"number"`
	Index    uint64 `json:"log_index"`
	Time     string `json:"time"`
	Operator string `json:"operator"`
	Action   string `json:"action"`
	Subject  string `json:"subject,omitempty"`
	Outcome  string `json:"outcome"` // applied, refused, or waiting
	Reason   string `json:"reason,omitempty"`
	// Approval is the pending request that the line is about. AskedBy asked for it, and Operator
	// approved it; without AskedBy, Operator asked.
	Approval string `json:"approval,omitempty"`
	AskedBy  string `json:"asked_by,omitempty"`
}

// auditReport is what `audit` says.
type auditReport struct {
	// Dropped is how many older lines are gone.
	Dropped uint64      `json:"dropped"`
	Lines   []auditLine `json:"lines"`
}

func newAuditCommand() *cobra.Command {
	var (
		flags         viewFlags
		since, region string
	)
	cmd := &cobra.Command{
		Use:   "audit [--since DURATION|TIME]",
		Short: "Show what operators did, and what they were refused",
		Long: `Show what operators did, and what they were refused, oldest first: who, what, to whom, and
what became of it. The line is in the same entry of the federation's log as the change. A call that
its certificate does not allow, or that is refused before it is logged, has no line. The last
` + fmt.Sprint(wire.AuditLinesMax) + ` lines are kept.

With --region it shows instead what operators read of a region's citizens: copies, explanations, and
the audit itself. These lines are in the region's own log.`,
		Example: `  staffetta admin audit --dir DIR --since 24h
  staffetta admin audit --dir DIR --since 2026-11-01T00:00:00Z --json`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			from, err := parseSince(since, time.Now())
			if err != nil {
				return err
			}
			return flags.with(cmd, adminWait, func(ctx context.Context, op *operator.Client) error {
				report, err := readAudit(ctx, op, wire.RegionID(region), from,
					cmd.ErrOrStderr())
				if err != nil {
					return fmt.Errorf("audit: %w", err)
				}
				return cli.PrintReport(cmd.OutOrStdout(), flags.asJSON, report, report.text)
			})
		},
	}
	flags.register(cmd)
	cmd.Flags().StringVar(&region, "region", "", "what was read of this region's citizens")
	cmd.Flags().StringVar(&since, "since", "", "only what is younger: a duration such as 24h, or a "+
		"time such as 2026-11-01T00:00:00Z")
	return cmd
}

// parseSince reads a duration before now, or a time; nothing stands for everything.
func parseSince(s string, now time.Time) (wire.Time, error) {
	if s == "" {
		return 0, nil
	}
	if d, err := time.ParseDuration(s); err == nil && d >= 0 {
		return wire.TimeOf(now.Add(-d)), nil
	}
	t, err := time.Parse(time.RFC3339, s)
	if err != nil {
		return 0, fmt.Errorf("--since %q is neither a duration such as 24h nor a time such as "+
			"2026-11-01T00:00:00Z", s)
	}
	return wire.TimeOf(t), nil
}

func readAudit(ctx context.Context, op *operator.Client, region wire.RegionID, since wire.Time,
	errs io.Writer) (auditReport, error) {
	report := auditReport{Lines: []auditLine{}}
	for q := (wire.ListAudit{Since: since}); ; {
		ask := op.Audit
		if region != "" {
			ask = func(ctx context.Context, q wire.ListAudit) (*wire.AuditPage, error) {
				return op.Reads(ctx, region, q)
			}
		}
		page, err := ask(ctx, q)
		if err != nil {
			return report, err
		}
		if q.After == 0 {
			report.Dropped = page.Dropped
			warnStale(errs, page.Fresh)
		}
		for _, l := range page.Lines {
			line := auditLine{Number: l.Number, Index: l.Index, Time: l.Time.String(),
				Operator: l.Operator, Action: l.Action, Subject: l.Subject, Outcome: "applied",
				Approval: l.Approval, AskedBy: l.Asked}
			if l.Approval != "" && l.Asked == "" {
				line.Outcome = "waits as " + l.Approval
			}
			if l.Unchanged {
				line.Outcome = "was so already"
			}
			if l.Refused != nil {
				line.Outcome, line.Reason = "refused", l.Refused.Error()
			}
			report.Lines = append(report.Lines, line)
		}
		if q.After = page.Next; q.After == 0 {
			return report, nil
		}
	}
}

func (r auditReport) text(out io.Writer) error {
	if len(r.Lines) == 0 {
		_, err := fmt.Fprintln(out, "nothing")
		return err
	}
	w := tabwriter.NewWriter(out, 0, 8, 2, ' ', 0)
	for _, l := range r.Lines {
		outcome := l.Outcome
		if l.Reason != "" {
			outcome += ": " + l.Reason
		}
		if l.AskedBy != "" {
			outcome += ", asked for by " + l.AskedBy
		}
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\n", l.Time, l.Operator, l.Action, l.Subject, outcome)
	}
	return w.Flush()
}
