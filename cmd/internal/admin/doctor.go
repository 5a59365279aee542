package admin

import (
	"errors"
	"time"

	"github.com/spf13/cobra"
	"github.com/staffetta/staffetta/internal/operator"
	"github.com/staffetta/staffetta/wire"
)

// doctorWait bounds an examination: a federation of a hundred nodes of which many are away.
const doctorWait = 5 * time.Minute

// doctorReport is what `doctor` says.
type doctorReport struct {
	Well     bool               `json:"well"` // nothing is wrong; there may be warnings
	Findings []operator.Finding `json:"findings"`
	*operator.Examination
}

// errFindings ends a doctor that found something wrong.
var errFindings = errors.New("something is wrong; see the findings")

func newDoctorCommand() *cobra.Command {
	var only string
	return command{
		use:   "doctor [--only NODE]",
		short: "Diagnose nodes and the connections between them",
		long: `Diagnose nodes and the connections between them, and say what to mend.

Every node looks at its own machine (disk, fsync, UDP buffers, open files, certificate) and reaches
for every other node with a fresh handshake: address, UDP both ways, certificate, clock, round trip.
A node that this machine does not reach is asked by way of another, so one node in reach is enough.
With --founding it examines a federation that is being founded, too, and one none of whose nodes
answers.

The exit code is 1 when something is wrong, and 0 when there are only warnings.`,
		flags: func(f *flagSet) {
			f.who.registerFounding(f.cmd)
			f.StringVar(&only, "only", "", "only this node, and the connections to and from it")
		},
		bound: within(doctorWait),
		ask: func(c *invocation) (report, error) {
			e, err := c.op.Examine(c.ctx, wire.NodeID(only), func(step string) { c.tell("%s\n", step) })
			if err != nil {
				return nil, err
			}
			return newDoctorReport(e), nil
		},
	}.build()
}

// Failure ends a doctor that found something wrong.
func (r doctorReport) Failure() error {
	if r.Well {
		return nil
	}
	return errFindings
}

func newDoctorReport(e *operator.Examination) doctorReport {
	r := doctorReport{Well: true, Findings: []operator.Finding{}, Examination: e}
	for _, f := range e.Findings() {
		r.Findings = append(r.Findings, f)
		r.Well = r.Well && f.Severity != operator.Wrong
	}
	return r
}

func (r doctorReport) text(p *page) {
	for _, f := range r.Findings {
		where := "federation"
		switch {
		case f.Peer != "":
			where = string(f.Node) + " → " + string(f.Peer)
		case f.Node != "":
			where = string(f.Node)
		}
		p.printf("%s  %s: %s\n    mend: %s\n", f.Severity, where, f.What, f.Mend)
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
	p.printf("%d of %d nodes answer; %d of %d ways between them work\n", answer, len(r.Nodes), well,
		pairs)
}
