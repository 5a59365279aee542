package admin

import (
	"errors"
	"fmt"
	"strconv"

	"github.com/spf13/cobra"
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

func (r pendingReport) text(p *page) {
	if len(r.Waiting) == 0 {
		p.printf("nothing waits\n")
		return
	}
	p.row("id", "asked by", "what", "of", "until")
	for _, w := range r.Waiting {
		p.row(w.ID, w.Operator, w.Action, w.Subject, w.Expires)
	}
}

func newApproveCommand() *cobra.Command {
	var list, withdraw bool
	return command{
		use:   "approve ID | --list",
		short: "Approve a request of another operator, and carry it out",
		long: `Carry out what another operator asked for. Where the federation is set so (see
"approvals set"), what hurts a region waits for a second operator, for ` +
			wire.ApprovalWait.String() + `: the slots of a lost
region taken by force or written off, a fence, a report that a restore goes on without, an
authority added or removed, an identity revoked, another recovery key in place of one. A spool
discard, once approved, is given again by who asked, within that time. The second one needs the
same right as the first, and a certificate of another name. What is looked at when such a command
is given is looked at again.

--list shows what waits. --withdraw, by who asked or might approve, has it wait no more.`,
		args: cobra.MaximumNArgs(1),
		dry:  dryDo,
		flags: func(f *flagSet) {
			f.BoolVar(&list, "list", false, "show what waits")
			f.BoolVar(&withdraw, "withdraw", false, "have it wait no more")
		},
		check: func(c *invocation) error {
			if list == (len(c.args) == 1) || list && (withdraw || c.dry) {
				return errors.New("give an ID, or --list alone")
			}
			return nil
		},
		ask: func(c *invocation) (report, error) {
			pending, err := c.op.Pending(c.ctx)
			switch {
			case err != nil:
				return nil, err
			case list:
				c.warnStale(pending.Fresh)
				return reportPending(pending), nil
			case withdraw:
				return trustChange{Action: "withdraw", Done: !c.dry,
					Subjects: []string{whatWaits(pending, c.args[0])}}, c.op.Withdraw(c.ctx, c.args[0])
			}
			return trustChange{Action: "approve", Done: !c.dry,
				Subjects: []string{whatWaits(pending, c.args[0])},
				Note:     "who asked may give the command again, and is told what came of it",
			}, c.op.Approve(c.ctx, c.args[0])
		},
	}.build()
}

// whatWaits says in words what a request asks for: an approval is no more than its ID otherwise.
func whatWaits(pending *wire.PendingList, id string) string {
	for _, p := range pending.List {
		if p.ID == id {
			return fmt.Sprintf("%s: %s, %s, asked by %s", id, p.Action, p.Subject, p.Operator)
		}
	}
	return id // approved before, or unknown: the answer to the call says which
}

func reportPending(pending *wire.PendingList) pendingReport {
	r := pendingReport{Operators: pending.Approvals, Waiting: []pendingLine{}}
	for _, p := range pending.List {
		r.Waiting = append(r.Waiting, pendingLine{ID: p.ID, Operator: p.Operator, Action: p.Action,
			Subject: p.Subject, Asked: p.Asked.String(), Expires: p.Expires.String()})
	}
	return r
}

func (r approvalsReport) text(p *page) {
	a := wire.Approvals{Operators: r.Operators}
	p.printf("%s\n", a.AuditSubject())
}

// approvalsReport is what `approvals` says.
type approvalsReport struct {
	Operators uint32 `json:"operators_needed"`
}

func newApprovalsCommand() *cobra.Command {
	return command{
		use:   "approvals",
		short: "Show how many operators must approve what can harm a region",
		ask: func(c *invocation) (report, error) {
			pending, err := c.op.Pending(c.ctx)
			if err != nil {
				return nil, err
			}
			c.warnStale(pending.Fresh)
			return approvalsReport{pending.Approvals}, nil
		},
		below: []*cobra.Command{newApprovalsSetCommand()},
	}.build()
}

func newApprovalsSetCommand() *cobra.Command {
	var a wire.Approvals
	return command{
		use:   "set 1|2",
		short: "Set how many operators must approve what can harm a region",
		long: `Set how many operators must approve what can harm a region, see "approve".
From 2 to 1 takes
two itself. Have three operators before you say 2: of two, neither could revoke the other's stolen
certificate.`,
		args: cobra.ExactArgs(1),
		dry:  dryDo,
		check: func(c *invocation) error {
			n, err := strconv.ParseUint(c.args[0], 10, 32)
			if err != nil || n < 1 || n > wire.ApprovalsMax {
				return fmt.Errorf("%q is not 1 or 2", c.args[0])
			}
			a.Operators = uint32(n)
			return nil
		},
		ask: func(c *invocation) (report, error) {
			pending, err := c.op.Pending(c.ctx)
			if err != nil {
				return nil, err
			}
			done := trustChange{Action: "what hurts a region takes", Done: !c.dry,
				Subjects: []string{a.AuditSubject()}}
			if pending.Approvals == a.Operators {
				done.Done, done.Nothing = false, true
			}
			return done, c.op.SetApprovals(c.ctx, a.Operators)
		},
	}.build()
}
