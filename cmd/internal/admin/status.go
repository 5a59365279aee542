package admin

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/spf13/cobra"
	"github.com/staffetta/staffetta/cmd/internal/cli"
	"github.com/staffetta/staffetta/internal/operator"
	"github.com/staffetta/staffetta/wire"
)

const (
	// statusWait bounds one look: three seconds for the map, for the nodes, and for those that are
	// asked by way of others.
	statusWait = 10 * time.Second
	// watchPeriod separates the looks of --watch.
	watchPeriod = 2 * time.Second
)

// statusReport is what `status --json` says.
type statusReport struct {
	Federation string              `json:"federation"`
	Time       wire.Time           `json:"time_ms"`
	Map        uint64              `json:"map_version"`
	Active     uint32              `json:"active_version"`
	Nodes      []operator.NodeView `json:"nodes"`
}

func newStatusCommand() *cobra.Command {
	var (
		flags viewFlags
		watch bool
	)
	cmd := &cobra.Command{
		Use:   "status [--watch]",
		Short: "Show regions, groups, leaders, lag, spools, disks, versions and certificates",
		Long: `Show the federation as its nodes see it: every node of the map is asked, at once, for three
seconds at most. One that the operator does not reach is asked by way of another; one that nobody
reaches is shown as unreachable.

LAG is in entries of the log: of the slowest member in the table of groups. VOTERS are those that
the leader hears. CERTIFICATE is the time left. VERSION is the program's, and in brackets the newest
version of the log's content that it knows.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			op, err := flags.client()
			if err != nil {
				return err
			}
			defer op.Close()
			if watch {
				return watchStatus(cmd, op, flags.asJSON)
			}
			return showStatus(cmd.Context(), cmd.OutOrStdout(), op, flags.asJSON,
				look(cmd.OutOrStdout()))
		},
	}
	flags.register(cmd)
	flags.registerFounding(cmd)
	cmd.Flags().BoolVar(&watch, "watch", false, "look again every two seconds; with --json, one "+
		"report after the other")
	return cmd
}

// look is how to draw on out: in colours only on a terminal, and not for who asks for none.
func look(out io.Writer) operator.Look {
	width := terminal(out)
	return operator.Look{Columns: width, Now: wire.TimeOf(time.Now()),
		Colour: width > 0 && os.Getenv("NO_COLOR") == ""}
}

func showStatus(ctx context.Context, out io.Writer, op *operator.Client, asJSON bool,
	how operator.Look) error {
	ctx, cancel := context.WithTimeout(ctx, statusWait)
	defer cancel()
	m, views, err := op.Statuses(ctx)
	if err != nil {
		return fmt.Errorf("status: %w", err)
	}
	report := statusReport{Federation: m.Federation, Time: how.Now, Map: m.Version,
		Active: m.ActiveVersion, Nodes: views}
	return cli.PrintReport(out, asJSON, report, func(out io.Writer) error {
		return operator.WriteStatus(out, m, views, how)
	})
}

// watchStatus looks until the command is interrupted. A look that fails is shown and followed by
// the next: a federation that is away may come back.
func watchStatus(cmd *cobra.Command, op *operator.Client, asJSON bool) error {
	tick := time.NewTicker(watchPeriod)
	defer tick.Stop()
	ctx, out := cmd.Context(), cmd.OutOrStdout()
	for {
		how := look(out)
		var page bytes.Buffer
		if err := showStatus(ctx, &page, op, asJSON, how); err != nil {
			if ctx.Err() != nil {
				return nil
			}
			fmt.Fprintf(&page, "%s: %v\n", how.Now, err)
		}
		if how.Columns > 0 && !asJSON { // from the top, and what is below of before goes
			page = *bytes.NewBuffer(append([]byte("\x1b[H\x1b[2J"), page.Bytes()...))
		}
		if _, err := out.Write(page.Bytes()); err != nil {
			return err
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return nil
		}
	}
}
