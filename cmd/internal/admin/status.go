package admin

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/spf13/cobra"
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

// statusReport is what `status` says.
type statusReport struct {
	Federation string              `json:"federation"`
	Time       wire.Time           `json:"time_ms"`
	Map        uint64              `json:"map_version"`
	Active     uint32              `json:"active_version"`
	Nodes      []operator.NodeView `json:"nodes"`

	seen *wire.Map
	how  operator.Look
}

func (r statusReport) text(p *page) { operator.WriteStatus(p, r.seen, r.Nodes, r.how) }

func newStatusCommand() *cobra.Command {
	var watch bool
	return command{
		use:   "status [--watch]",
		short: "Show regions, groups, leaders, lag, spools, disks, versions and certificates",
		long: `Show the federation as its nodes see it: every node of the map is asked, at once, for three
seconds at most. One that the operator does not reach is asked by way of another; one that nobody
reaches is shown as unreachable.

LAG is in entries of the log: of the slowest member in the table of groups. VOTERS are those that
the leader hears. CERTIFICATE is the time left. VERSION is the program's, and in brackets the newest
version of the log's content that it knows.`,
		flags: func(f *flagSet) {
			f.who.registerFounding(f.cmd)
			f.BoolVar(&watch, "watch", false, "look again every two seconds; with --json, one "+
				"report after the other")
		},
		bound: within(unbounded),
		ask: func(c *invocation) (report, error) {
			if watch {
				return nil, c.watchStatus()
			}
			return c.status(look(c.out))
		},
	}.build()
}

func (c *invocation) status(how operator.Look) (report, error) {
	ctx, cancel := context.WithTimeout(c.ctx, statusWait)
	defer cancel()
	m, views, err := c.op.Statuses(ctx)
	if err != nil {
		return nil, err
	}
	return statusReport{Federation: m.Federation, Time: how.Now, Map: m.Version,
		Active: m.ActiveVersion, Nodes: views, seen: m, how: how}, nil
}

// watchStatus looks until the command is interrupted. A look that fails is shown and followed by
// the next: a federation that is away may come back.
func (c *invocation) watchStatus() error {
	tick := time.NewTicker(watchPeriod)
	defer tick.Stop()
	for {
		how := look(c.out)
		var shown bytes.Buffer
		if how.Columns > 0 && !c.asJSON { // from the top, and what is below of before goes
			shown.WriteString("\x1b[H\x1b[2J")
		}
		r, err := c.status(how)
		if err == nil {
			err = c.print(&shown, r)
		}
		if c.ctx.Err() != nil {
			return nil
		}
		if err != nil {
			fmt.Fprintf(&shown, "%s: status: %v\n", how.Now, err)
		}
		if _, err := c.out.Write(shown.Bytes()); err != nil {
			return err
		}
		select {
		case <-tick.C:
		case <-c.ctx.Done():
			return nil
		}
	}
}

// look is how to draw on out: in colours only on a terminal, and not for who asks for none.
func look(out io.Writer) operator.Look {
	width := terminal(out)
	return operator.Look{Columns: width, Now: wire.TimeOf(time.Now()),
		Colour: width > 0 && os.Getenv("NO_COLOR") == ""}
}
