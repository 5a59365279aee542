package admin

import (
	"context"
	"fmt"
	"io"

	"github.com/spf13/cobra"
	"github.com/staffetta/staffetta/cmd/internal/cli"
	"github.com/staffetta/staffetta/internal/operator"
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

func (w whoami) text(out io.Writer) error {
	fmt.Fprintln(out, w.Identity)
	for _, g := range w.Grants {
		fmt.Fprintf(out, "  %s\n", g)
	}
	var err error
	switch {
	case w.Unlimited:
		_, err = fmt.Fprintf(out, "  everything, until the federation comes to version %d of the "+
			"logs, and nothing from then on:\n  the certificate has no grants\n", wire.VersionGrants)
	case len(w.Grants) == 0:
		_, err = fmt.Fprintln(out, "  nothing: the certificate has no grants")
	}
	return err
}

func newWhoamiCommand() *cobra.Command {
	var flags viewFlags
	cmd := &cobra.Command{
		Use:   "whoami",
		Short: "Say who you are to the federation, and what you may do there",
		Long: `Say who you are to the federation, and what you may do there: the rights that your
certificate grants, less what its authority may not give. "cert issue --help" says what they are.
The --dry-run of a command says whether you might run it.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return flags.with(cmd, adminWait, func(ctx context.Context, op *operator.Client) error {
				w, err := op.Whoami(ctx)
				if err != nil {
					return fmt.Errorf("whoami: %w", err)
				}
				r := whoami{w.Identity, w.Grants, w.Unlimited, w.Node}
				return cli.PrintReport(cmd.OutOrStdout(), flags.asJSON, r, r.text)
			})
		},
	}
	flags.register(cmd)
	return cmd
}
