package admin

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/staffetta/staffetta/cmd/internal/cli"
	"github.com/staffetta/staffetta/internal/operator"
	"github.com/staffetta/staffetta/wire"
)

// doctorWait bounds an examination: a federation of a hundred nodes of which many are away.
const doctorWait = 5 * time.Minute

// doctorReport is what `doctor --json` says.
type doctorReport struct {
	Well     bool               `json:"well"` // nothing is wrong; there may be warnings
	Findings []operator.Finding `json:"findings"`
	*operator.Examination
}

// errFindings ends a doctor that found something wrong.
var errFindings = errors.New("something is wrong; see the findings")

func newDoctorCommand() *cobra.Command {
	var (
		flags viewFlags
		only  string
	)
	cmd := &cobra.Command{
		Use:   "doctor [--only NODE]",
		Short: "Find out what is wrong with nodes and with the ways between them",
		Long: `Find out what is wrong with nodes and with the ways between them, and say what to mend.

Every node looks at its own machine (disk, fsync, UDP buffers, open files, certificate) and reaches
for every other node with a fresh handshake: address, UDP both ways, certificate, clock, round trip.
A node that this machine does not reach is asked by way of another, so one node in reach is enough.
With --founding it examines a federation that is being founded, too, and one none of whose nodes
answers.

The exit code is 1 when something is wrong, and 0 when there are only warnings.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return flags.with(cmd, doctorWait, func(ctx context.Context, op *operator.Client) error {
				e, err := op.Examine(ctx, wire.NodeID(only), func(step string) {
					fmt.Fprintln(cmd.ErrOrStderr(), step)
				})
				if err != nil {
					return fmt.Errorf("doctor: %w", err)
				}
				report := newDoctorReport(e)
				err = cli.PrintReport(cmd.OutOrStdout(), flags.asJSON, report, report.text)
				if err == nil && !report.Well {
					err = errFindings
				}
				return err
			})
		},
	}
	flags.register(cmd)
	flags.registerFounding(cmd)
	cmd.Flags().StringVar(&only, "only", "", "only this node, and the ways to and from it")
	return cmd
}

func newDoctorReport(e *operator.Examination) doctorReport {
	r := doctorReport{Well: true, Findings: []operator.Finding{}, Examination: e}
	for _, f := range e.Findings() {
		r.Findings = append(r.Findings, f)
		r.Well = r.Well && f.Severity != operator.Wrong
	}
	return r
}

func (r doctorReport) text(out io.Writer) error {
	var b strings.Builder
	for _, f := range r.Findings {
		where := "federation"
		switch {
		case f.Peer != "":
			where = string(f.Node) + " → " + string(f.Peer)
		case f.Node != "":
			where = string(f.Node)
		}
		fmt.Fprintf(&b, "%s  %s: %s\n    mend: %s\n", f.Severity, where, f.What, f.Mend)
	}
	pairs, well := 0, 0
	for i := range r.Reports {
		for j := range r.Reports[i].Peers {
			if pairs++; r.Reports[i].Peers[j].Problem == "" {
				well++
			}
		}
	}
	answer := 0
	for i := range r.Nodes {
		if r.Nodes[i].Status != nil {
			answer++
		}
	}
	fmt.Fprintf(&b, "%d of %d nodes answer; %d of %d ways between them work\n", answer,
		len(r.Nodes), well, pairs)
	_, err := io.WriteString(out, b.String())
	return err
}
