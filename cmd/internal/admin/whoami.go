package admin

import (
	"github.com/spf13/cobra"
	"github.com/staffetta/staffetta/wire"
)

// whoami is what `whoami` says.
type whoami struct {
	Identity string   `json:"identity"`
	Grants   []string `json:"grants"`
	// Unlimited: the certificate says nothing of grants, and allows everything for now.
	Unlimited bool        `json:"unlimited"`
	Node      wire.NodeID `json:"answered_by"`
}

func (w whoami) text(p *page) {
	p.printf("%s\n", w.Identity)
	for _, g := range w.Grants {
		p.printf("  %s\n", g)
	}
	switch {
	case w.Unlimited:
		p.printf("  everything, until the federation comes to version %d of the logs, and nothing "+
			"from then on:\n  the certificate has no grants\n", wire.VersionGrants)
	case len(w.Grants) == 0:
		p.printf("  nothing: the certificate has no grants\n")
	}
}

func newWhoamiCommand() *cobra.Command {
	return command{
		use:   "whoami",
		short: "Show your identity and your rights in the federation",
		long: `Show your identity and your rights in the federation: the rights that your
certificate grants, less what its authority may not give. "cert issue --help" says what they are.
The --dry-run of a command says whether you might run it.`,
		ask: func(c *invocation) (report, error) {
			w, err := c.op.Whoami(c.ctx)
			if err != nil {
				return nil, err
			}
			return whoami{w.Identity, w.Grants, w.Unlimited, w.Node}, nil
		},
	}.build()
}
