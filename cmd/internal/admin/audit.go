package admin

import (
	"context"
	"fmt"
	"time"

	"github.com/spf13/cobra"
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
		since, region string
		from          wire.Time
	)
	return command{
		use:   "audit [--since DURATION|TIME]",
		short: "Show what operators did, and what they were refused",
		long: `Show what operators did, and what they were refused, oldest first: who, what, to whom, and
what became of it. The line is in the same entry of the federation's log as the change. A call that
its certificate does not allow, or that is refused before it is logged, has no line. The last
` + fmt.Sprint(wire.AuditLinesMax) + ` lines are kept.

With --region it shows instead what operators read of a region's citizens: copies, explanations, and
the audit itself. These lines are in the region's own log.`,
		example: `  staffetta admin audit --dir DIR --since 24h
  staffetta admin audit --dir DIR --since 2026-11-01T00:00:00Z --json`,
		flags: func(f *flagSet) {
			f.StringVar(&region, "region", "", "what was read of this region's citizens")
			f.StringVar(&since, "since", "", "only what is younger: a duration such as 24h, or a "+
				"time such as 2026-11-01T00:00:00Z")
		},
		check: func(*invocation) (err error) {
			from, err = parseSince(since, time.Now())
			return err
		},
		ask: func(c *invocation) (report, error) {
			return readAudit(c, wire.RegionID(region), from)
		},
	}.build()
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

func readAudit(c *invocation, region wire.RegionID, since wire.Time) (report, error) {
	ask := c.op.Audit
	if region != "" {
		ask = func(ctx context.Context, q wire.ListAudit) (*wire.AuditPage, error) {
			return c.op.Reads(ctx, region, q)
		}
	}
	r := auditReport{Lines: []auditLine{}}
	for q := (wire.ListAudit{Since: since}); ; {
		page, err := ask(c.ctx, q)
		if err != nil {
			return nil, err
		}
		if q.After == 0 {
			r.Dropped = page.Dropped
			c.warnStale(page.Fresh)
		}
		for i := range page.Lines {
			r.Lines = append(r.Lines, lineOf(&page.Lines[i]))
		}
		if q.After = page.Next; q.After == 0 {
			return r, nil
		}
	}
}

func lineOf(l *wire.AuditLine) auditLine {
	line := auditLine{Number: l.Number, Index: l.Index, Time: l.Time.String(), Operator: l.Operator,
		Action: l.Action, Subject: l.Subject, Outcome: "applied", Approval: l.Approval,
		AskedBy: l.Asked}
	switch {
	case l.Refused != nil:
		line.Outcome, line.Reason = "refused", l.Refused.Error()
	case l.Unchanged:
		line.Outcome = "was so already"
	case l.Approval != "" && l.Asked == "":
		line.Outcome = "waits as " + l.Approval
	}
	return line
}

func (r auditReport) text(p *page) {
	if len(r.Lines) == 0 {
		p.printf("nothing\n")
	}
	for _, l := range r.Lines {
		outcome := l.Outcome
		if l.Reason != "" {
			outcome += ": " + l.Reason
		}
		if l.AskedBy != "" {
			outcome += ", asked for by " + l.AskedBy
		}
		p.row(l.Time, l.Operator, l.Action, l.Subject, outcome)
	}
}
