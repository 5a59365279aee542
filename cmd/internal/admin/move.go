package admin

import (
	"cmp"
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"
	"github.com/staffetta/staffetta/cmd/internal/cli"
	"github.com/staffetta/staffetta/internal/operator"
	"github.com/staffetta/staffetta/wire"
)

// moveLook is how often --wait asks how a move stands.
const moveLook = time.Second

// moveFlags say whose move it is.
type moveFlags struct {
	viewFlags
	recipient, codeFile string
}

func (f *moveFlags) register(cmd *cobra.Command) {
	f.viewFlags.register(cmd)
	cmd.Flags().StringVar(&f.codeFile, "recipient-file", "", "file with the citizen's fiscal code; "+
		"- for standard input")
	cmd.Flags().StringVar(&f.recipient, "recipient", "", "the citizen's keyed hash, 32 "+
		"hexadecimal digits")
}

// about calls do with the citizen that the flags name.
func (f *moveFlags) about(cmd *cobra.Command, wait time.Duration,
	do func(context.Context, *operator.Client, wire.Recipient) error) error {
	if (f.recipient == "") == (f.codeFile == "") {
		return errors.New("give --recipient-file or --recipient: whose move is it?")
	}
	return f.with(cmd, wait, func(ctx context.Context, op *operator.Client) error {
		r, err := readRecipient(ctx, op, cmd.InOrStdin(), f.recipient, f.codeFile)
		if err != nil {
			return err
		}
		return do(ctx, op, r)
	})
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

func (r moveReport) text(out io.Writer) error {
	var err error
	switch {
	case r.DryRun:
		_, err = fmt.Fprintf(out, "would move from region %s to region %s\n", r.Region, r.To)
	case r.State == wire.MoveNone.String():
		_, err = fmt.Fprintf(out, "in region %s, at epoch %d\n", r.Region, r.Epoch)
	default:
		what := map[string]string{wire.MoveIntended.String(): "still served by " + string(r.Region),
			wire.MoveFenced.String(): "being handed over"}[r.State]
		if r.Aborting {
			what += "; the end of the move was asked for"
		}
		_, err = fmt.Fprintf(out, "moving from region %s to region %s, for epoch %d, since %s: %s\n",
			r.Region, r.To, r.Epoch, r.Since, what)
	}
	return err
}

func newMoveCommand() *cobra.Command {
	var (
		flags               moveFlags
		to                  string
		abort, dryRun, wait bool
	)
	cmd := &cobra.Command{
		Use:   "move --to REGION | --abort",
		Short: "Move a citizen to another region, or abort the move",
		Long: `Move a citizen to another region: profile, preferences, session and messages, with the
verdicts and idempotency keys of everything that was sent. While the new region cannot be reached
the citizen stays in the old one, where everything works. The move itself takes a moment, in which
messages wait. The old region erases its copy after a time, see --keep-moved of its nodes.

--abort ends a move that has not arrived. Once the old region hands over, the new one has to be
reached for that: its log decides whether the move or its end came first.

The fiscal code is read from a file, or from standard input with "-", and does not leave this
process: it is hashed here. The same order again changes nothing.`,
		Example: `  staffetta admin move --dir DIR --recipient-file code.txt --to sicilia --wait
  staffetta admin move status --dir DIR --recipient-file code.txt
  staffetta admin move --dir DIR --recipient-file code.txt --abort`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if (to == "") == !abort {
				return errors.New("give --to REGION, or --abort")
			}
			if to != "" && !wire.RegionID(to).Valid() {
				return fmt.Errorf("--to %q is not the name of a region", to)
			}
			bound := adminWait
			if wait {
				bound = 24 * time.Hour
			}
			return flags.about(cmd, bound, func(ctx context.Context, op *operator.Client,
				r wire.Recipient) error {
				m, err := orderMove(ctx, op, r, wire.RegionID(to), dryRun)
				if err == nil && wait && !dryRun {
					from := m.Region
					m, err = awaitMove(ctx, cmd.ErrOrStderr(), op, r, m)
					err = errors.Join(err, ended(m, from, wire.RegionID(to)))
				}
				if err != nil {
					return fmt.Errorf("move: %w", err)
				}
				report := reportMove(r, m)
				report.DryRun = dryRun && m.State == wire.MoveNone && to != "" && m.To != ""
				return cli.PrintReport(cmd.OutOrStdout(), flags.asJSON, report, report.text)
			})
		},
	}
	flags.register(cmd)
	cmd.Flags().StringVar(&to, "to", "", "the region to move to")
	cmd.Flags().BoolVar(&abort, "abort", false, "end the move that is under way")
	cmd.Flags().BoolVar(&dryRun, "dry-run", false, "say what would happen, and change nothing")
	cmd.Flags().BoolVar(&wait, "wait", false, "return when the move, or its end, is done")
	cmd.AddCommand(newMoveStatusCommand())
	return cmd
}

// orderMove orders a move, or the end of one when to is empty.
func orderMove(ctx context.Context, op *operator.Client, r wire.Recipient, to wire.RegionID,
	dryRun bool) (*wire.Move, error) {
	switch {
	case dryRun:
		return planMove(ctx, op, r, to)
	case to == "":
		return op.AbortMove(ctx, r)
	}
	return op.OrderMove(ctx, r, to)
}

// planMove says what an order would do.
func planMove(ctx context.Context, op *operator.Client, r wire.Recipient, to wire.RegionID) (
	*wire.Move, error) {
	m, err := op.Move(ctx, r)
	if err != nil {
		return nil, err
	}
	known, err := op.Map(ctx)
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
	_, err = op.OrderMove(operator.Rehearse(ctx), r, cmp.Or(to, m.To))
	return m, err
}

// awaitMove tells each change of a move's state until it is over.
func awaitMove(ctx context.Context, progress io.Writer, op *operator.Client, r wire.Recipient,
	m *wire.Move) (*wire.Move, error) {
	for last := ""; m.State != wire.MoveNone; {
		if now := m.State.String(); now != last {
			last = now
			if err := reportMove(r, m).text(progress); err != nil {
				return m, err
			}
		}
		select {
		case <-time.After(moveLook):
		case <-ctx.Done():
			return m, fmt.Errorf("the move goes on; see `staffetta admin move status`: %w", ctx.Err())
		}
		looking, cancel := context.WithTimeout(ctx, adminWait)
		next, err := op.Move(looking, r)
		cancel()
		if err == nil {
			m = next
		} else if !wire.Retriable(err) {
			return m, err
		}
	}
	return m, nil
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
	var flags moveFlags
	cmd := &cobra.Command{
		Use:   "status",
		Short: "Say in which region a citizen is, and how a move stands",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return flags.about(cmd, adminWait, func(ctx context.Context, op *operator.Client,
				r wire.Recipient) error {
				m, err := op.Move(ctx, r)
				if err != nil {
					return fmt.Errorf("move status: %w", err)
				}
				report := reportMove(r, m)
				return cli.PrintReport(cmd.OutOrStdout(), flags.asJSON, report, report.text)
			})
		},
	}
	flags.register(cmd)
	return cmd
}
