package admin

import (
	"cmp"
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/staffetta/staffetta/wire"
)

// moveFlags say whose move it is.
type moveFlags struct {
	recipientFlags
	to          string
	abort, wait bool
}

func (f *moveFlags) register(s *flagSet) { f.recipientFlags.register(s, "citizen") }

func (f *moveFlags) check(*invocation) error {
	if (f.hash == "") == (f.codeFile == "") {
		return errors.New("give --recipient-file or --recipient: whose move is it?")
	}
	return nil
}

// moveReport is what the commands print.
type moveReport struct {
	Recipient string        `json:"recipient"` // the keyed hash
	Region    wire.RegionID `json:"region"`    // that has the citizen's data
	State     string        `json:"state"`     // settled, intended, moving
	To        wire.RegionID `json:"to,omitempty"`
	Epoch     wire.Epoch    `json:"epoch"`
	Aborting  bool          `json:"aborting,omitempty"`
	Since     string        `json:"since,omitempty"`
	DryRun    bool          `json:"dry_run,omitempty"`
}

func reportMove(r wire.Recipient, m *wire.Move) moveReport {
	report := moveReport{Recipient: hex.EncodeToString(r[:]), Region: m.Region,
		State: m.State.String(), To: m.To, Epoch: m.Epoch, Aborting: m.Aborting}
	if m.State != wire.MoveNone {
		report.Since = m.Since.String()
	}
	return report
}

func (r moveReport) text(p *page) {
	switch {
	case r.DryRun:
		p.printf("would move from region %s to region %s\n", r.Region, r.To)
	case r.State == wire.MoveNone.String():
		p.printf("in region %s, at epoch %d\n", r.Region, r.Epoch)
	default:
		what := map[string]string{wire.MoveIntended.String(): "still served by " + string(r.Region),
			wire.MoveFenced.String(): "being handed over"}[r.State]
		if r.Aborting {
			what += "; the end of the move was asked for"
		}
		p.printf("moving from region %s to region %s, for epoch %d, since %s: %s\n", r.Region, r.To,
			r.Epoch, r.Since, what)
	}
}

func newMoveCommand() *cobra.Command {
	var f moveFlags
	return command{
		use:   "move --to REGION | --abort",
		short: "Move a citizen to another region, or abort the move",
		long: `Move a citizen to another region: profile, preferences, session and messages, with the
verdicts and idempotency keys of everything that was sent. While the new region cannot be reached
the citizen stays in the old one, where everything works. The move itself takes a moment, in which
messages wait. The old region erases its copy after a time, see --keep-moved of its nodes.

--abort ends a move that has not arrived. Once the old region hands over, the new one has to be
reached for that: its log decides whether the move or its end came first.

The fiscal code is read from a file, or from standard input with "-", and does not leave this
process: it is hashed here. The same order again changes nothing.`,
		example: `  staffetta admin move --dir DIR --recipient-file code.txt --to sicilia --wait
  staffetta admin move status --dir DIR --recipient-file code.txt
  staffetta admin move --dir DIR --recipient-file code.txt --abort`,
		dry: "say what would happen, and change nothing",
		flags: func(s *flagSet) {
			f.register(s)
			s.StringVar(&f.to, "to", "", "the region to move to")
			s.BoolVar(&f.abort, "abort", false, "abort the move that is in flight")
			s.BoolVar(&f.wait, "wait", false, "return when the move, or its end, is done")
		},
		check: func(c *invocation) error {
			if (f.to == "") == !f.abort {
				return errors.New("give --to REGION, or --abort")
			}
			if f.to != "" && !wire.RegionID(f.to).Valid() {
				return fmt.Errorf("--to %q is not the name of a region", f.to)
			}
			return f.check(c)
		},
		bound: func() time.Duration {
			if f.wait {
				return day
			}
			return adminWait
		},
		ask:   f.move,
		below: []*cobra.Command{newMoveStatusCommand()},
	}.build()
}

func (f *moveFlags) move(c *invocation) (report, error) {
	r, err := f.recipient(c)
	if err != nil {
		return nil, err
	}
	to := wire.RegionID(f.to)
	m, err := orderMove(c, r, to)
	if err == nil && f.wait && !c.dry {
		from := m.Region
		m, err = awaitMove(c, r, m)
		err = errors.Join(err, ended(m, from, to))
	}
	if err != nil {
		return nil, err
	}
	told := reportMove(r, m)
	told.DryRun = c.dry && m.State == wire.MoveNone && to != "" && m.To != ""
	return told, nil
}

// orderMove orders a move, or the end of one when to is empty.
func orderMove(c *invocation, r wire.Recipient, to wire.RegionID) (*wire.Move, error) {
	switch {
	case c.dry:
		return planMove(c, r, to)
	case to == "":
		return c.op.AbortMove(c.ctx, r)
	}
	return c.op.OrderMove(c.ctx, r, to)
}

// planMove says what an order would do.
func planMove(c *invocation, r wire.Recipient, to wire.RegionID) (*wire.Move, error) {
	m, err := c.op.Move(c.ctx, r)
	if err != nil {
		return nil, err
	}
	known, err := c.op.Map(c.ctx)
	if err != nil {
		return nil, err
	}
	target, ok := known.RegionByID(to)
	switch {
	case to == "" && m.State == wire.MoveNone:
		return nil, wire.Errorf(wire.Conflict, "no move is under way: the citizen is in region %s",
			m.Region)
	case to == "":
		m.Aborting = true
	case !ok:
		return nil, wire.Errorf(wire.NotFound, "no region %q on the map", to)
	case target.Closing:
		return nil, wire.Errorf(wire.Conflict, "region %s is closing", to)
	case m.State != wire.MoveNone && m.To != to:
		return nil, wire.Errorf(wire.Conflict, "a move to region %s is under way", m.To)
	case m.State == wire.MoveNone && m.Region != to:
		m.To = to
	}
	_, err = c.op.OrderMove(c.ctx, r, cmp.Or(to, m.To))
	return m, err
}

// awaitMove tells each change of a move's state until it is over.
func awaitMove(c *invocation, r wire.Recipient, m *wire.Move) (*wire.Move, error) {
	err := await(c, func() (string, bool, error) {
		ctx, cancel := context.WithTimeout(c.ctx, adminWait)
		defer cancel()
		next, err := c.op.Move(ctx, r)
		if err != nil {
			return "", false, err
		}
		if m = next; m.State == wire.MoveNone {
			return "", true, nil
		}
		return strings.TrimSpace(textOf(reportMove(r, m))), false, nil
	})
	return m, err
}

// ended says how a move that is over ended otherwise than it was ordered; to is empty for an order
// to abort it.
func ended(m *wire.Move, from, to wire.RegionID) error {
	switch {
	case m.State != wire.MoveNone:
		return nil // it goes on, and was told of
	case to == "" && m.Region != from:
		return fmt.Errorf("it was not aborted: the citizen arrived in region %s before", m.Region)
	case to != "" && m.Region != to:
		return fmt.Errorf("it was aborted: the citizen is in region %s", m.Region)
	}
	return nil
}

func newMoveStatusCommand() *cobra.Command {
	var f moveFlags
	return command{
		use:   "status",
		short: "Show a citizen's region and the progress of a move",
		flags: f.register,
		check: f.check,
		ask: func(c *invocation) (report, error) {
			r, err := f.recipient(c)
			if err != nil {
				return nil, err
			}
			m, err := c.op.Move(c.ctx, r)
			if err != nil {
				return nil, err
			}
			return reportMove(r, m), nil
		},
	}.build()
}
