package admin

import (
	"context"
	"fmt"
	"io"
	"slices"
	"text/tabwriter"

	"github.com/spf13/cobra"
	"github.com/staffetta/staffetta/cmd/internal/cli"
	"github.com/staffetta/staffetta/internal/founding"
	"github.com/staffetta/staffetta/internal/operator"
	"github.com/staffetta/staffetta/wire"
)

func newGatewayAdminCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "gateway",
		Short: "Add, remove and list gateways",
	}
	cmd.AddCommand(newGatewayAddCommand(), newGatewayRemoveCommand(), newGatewayListCommand())
	return cmd
}

func newGatewayAddCommand() *cobra.Command {
	var (
		f      memberFlags
		region string
	)
	cmd := &cobra.Command{
		Use:   "add GATEWAY --region REGION",
		Short: "Put a gateway on the map; 'admin cert issue' makes its certificate",
		Args:  cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return f.change(cmd, &wire.MemberChange{PutGateway: &wire.Gateway{
				ID: wire.GatewayID(args[0]), Region: wire.RegionID(region)}}, nil)
		},
	}
	f.register(cmd, true, 0)
	cmd.Flags().StringVar(&region, "region", "", "its home region")
	cmd.MarkFlagRequired("region")
	return cmd
}

func newGatewayRemoveCommand() *cobra.Command {
	var f memberFlags
	cmd := &cobra.Command{
		Use:   "remove GATEWAY",
		Short: "Take a gateway off the map; 'admin revoke' ends the use of its certificate",
		Long: `Take a gateway off the map. Nodes answer it nothing from the moment at which they hear of
it. Its certificate stays valid, for a gateway of the same name that is added again, unless 'admin
revoke' makes it worthless.`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			id := wire.GatewayID(args[0])
			err := f.run(cmd, func(ctx context.Context, op *operator.Client) error {
				m, err := op.Map(ctx)
				if err == nil && !slices.ContainsFunc(m.Gateways,
					func(g wire.Gateway) bool { return g.ID == id }) {
					err = fmt.Errorf("no gateway %q on the map: 'admin gateway list' shows all", id)
				}
				return err
			})
			if err != nil {
				return err
			}
			return f.change(cmd, &wire.MemberChange{RemoveGateway: id}, nil)
		},
	}
	f.register(cmd, true, 0)
	return cmd
}

// gatewayLine is a gateway of `gateway list` and `map`.
type gatewayLine struct {
	ID     wire.GatewayID `json:"id"`
	Region wire.RegionID  `json:"region"`
}

func writeGateways(out io.Writer, m *wire.Map) error {
	w := tabwriter.NewWriter(out, 0, 8, 2, ' ', 0)
	fmt.Fprintln(w, "gateway\tregion")
	for _, g := range m.Gateways {
		fmt.Fprintf(w, "%s\t%s\n", g.ID, g.Region)
	}
	return w.Flush()
}

func gatewayLines(m *wire.Map) []gatewayLine {
	lines := make([]gatewayLine, len(m.Gateways))
	for i, g := range m.Gateways {
		lines[i] = gatewayLine(g)
	}
	return lines
}

func newGatewayListCommand() *cobra.Command {
	var f memberFlags
	cmd := &cobra.Command{
		Use:   "list",
		Short: "List the gateways",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return f.run(cmd, func(ctx context.Context, op *operator.Client) error {
				m, err := op.Map(ctx)
				if err != nil {
					return err
				}
				return cli.PrintReport(cmd.OutOrStdout(), f.asJSON, gatewayLines(m),
					func(out io.Writer) error { return writeGateways(out, m) })
			})
		},
	}
	f.register(cmd, false, 0)
	return cmd
}

// mapReport is what `map` says.
type mapReport struct {
	Federation    string        `json:"federation"`
	Version       uint64        `json:"version"`
	ActiveVersion uint32        `json:"active_version"`
	Approvals     uint32        `json:"approvals"` // operators that it takes to do what hurts
	Regions       []regionLine  `json:"regions"`
	Nodes         []nodeLine    `json:"nodes"`
	Gateways      []gatewayLine `json:"gateways"`
}

func newMapCommand() *cobra.Command {
	var f memberFlags
	var asFounding bool
	cmd := &cobra.Command{
		Use:   "map",
		Short: "Show the federation's map: regions, nodes and gateways",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return f.run(cmd, func(ctx context.Context, op *operator.Client) error {
				m, err := op.Map(ctx)
				if err != nil {
					return err
				}
				if asFounding {
					_, err := cmd.OutOrStdout().Write(founding.Of(m).JSON())
					return err
				}
				nodes := nodeLines(m)
				needed := wire.Approvals{Operators: m.OperatorsNeeded()}
				r := mapReport{Federation: m.Federation, Version: m.Version, Nodes: nodes,
					ActiveVersion: m.ActiveVersion, Approvals: needed.Operators, Regions: regionLines(m),
					Gateways: gatewayLines(m)}
				return cli.PrintReport(cmd.OutOrStdout(), f.asJSON, r, func(out io.Writer) error {
					fmt.Fprintf(out, "federation %s, map version %d; what hurts a region takes %s\n\n",
						m.Federation, m.Version, needed.AuditSubject())
					if err := writeRegions(out, r.Regions); err != nil {
						return err
					}
					fmt.Fprintln(out)
					if err := writeNodes(out, nodes); err != nil {
						return err
					}
					fmt.Fprintln(out)
					return writeGateways(out, m)
				})
			})
		},
	}
	cmd.Flags().BoolVar(&asFounding, "founding", false,
		"as a founding file, for nodes that are restored and joined after the founding")
	f.register(cmd, false, 0)
	return cmd
}
