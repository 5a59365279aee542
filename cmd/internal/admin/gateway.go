package admin

import (
	"fmt"
	"slices"

	"github.com/spf13/cobra"
	"github.com/staffetta/staffetta/internal/founding"
	"github.com/staffetta/staffetta/wire"
)

func newGatewayAdminCommand() *cobra.Command {
	return group("gateway", "Add, remove and list gateways",
		newGatewayAddCommand(), newGatewayRemoveCommand(), newGatewayListCommand())
}

func newGatewayAddCommand() *cobra.Command {
	var region string
	return command{
		use:   "add GATEWAY --region REGION",
		short: "Put a gateway on the map; 'admin cert issue' makes its certificate",
		args:  cobra.ExactArgs(1),
		flags: func(f *flagSet) {
			f.need(&region, "region", "its home region")
		},
		change: func(c *invocation) (*wire.MemberChange, error) {
			return &wire.MemberChange{PutGateway: &wire.Gateway{ID: wire.GatewayID(c.args[0]),
				Region: wire.RegionID(region)}}, nil
		},
	}.build()
}

func newGatewayRemoveCommand() *cobra.Command {
	return command{
		use:   "remove GATEWAY",
		short: "Take a gateway off the map; 'admin revoke' ends the use of its certificate",
		long: `Take a gateway off the map. Nodes answer it nothing from the moment at which they hear of
it. Its certificate stays valid, for a gateway of the same name that is added again, unless 'admin
revoke' makes it worthless.`,
		args: cobra.ExactArgs(1),
		change: func(c *invocation) (*wire.MemberChange, error) {
			id := wire.GatewayID(c.args[0])
			m, err := c.op.Map(c.ctx)
			if err == nil && !slices.ContainsFunc(m.Gateways,
				func(g wire.Gateway) bool { return g.ID == id }) {
				err = fmt.Errorf("no gateway %q on the map: 'admin gateway list' shows all", id)
			}
			return &wire.MemberChange{RemoveGateway: id}, err
		},
	}.build()
}

// gatewayLines are what `gateway list` says.
type gatewayLines []gatewayLine

func linesOfGateways(m *wire.Map) gatewayLines {
	lines := make(gatewayLines, len(m.Gateways))
	for i, g := range m.Gateways {
		lines[i] = gatewayLine(g)
	}
	return lines
}

func (l gatewayLines) text(p *page) {
	p.row("gateway", "region")
	for _, g := range l {
		p.row(g.ID, g.Region)
	}
}

// gatewayLine is a gateway of `gateway list` and `map`.
type gatewayLine struct {
	ID     wire.GatewayID `json:"id"`
	Region wire.RegionID  `json:"region"`
}

func newGatewayListCommand() *cobra.Command {
	return command{
		use:   "list",
		short: "List the gateways",
		ask: withMap(func(c *invocation, m *wire.Map) (report, error) {
			return linesOfGateways(m), nil
		}),
	}.build()
}

// mapReport is what `map` says.
type mapReport struct {
	Federation    string       `json:"federation"`
	Version       uint64       `json:"version"`
	ActiveVersion uint32       `json:"active_version"`
	Approvals     uint32       `json:"approvals"` // operators that it takes to do what hurts
	Regions       regionLines  `json:"regions"`
	Nodes         nodeLines    `json:"nodes"`
	Gateways      gatewayLines `json:"gateways"`
}

func (r mapReport) text(p *page) {
	needed := wire.Approvals{Operators: r.Approvals}
	p.printf("federation %s, map version %d; what hurts a region takes %s\n\n", r.Federation,
		r.Version, needed.AuditSubject())
	r.Regions.text(p)
	p.printf("\n")
	r.Nodes.text(p)
	p.printf("\n")
	r.Gateways.text(p)
}

func newMapCommand() *cobra.Command {
	var asFounding bool
	return command{
		use:   "map",
		short: "Show the federation's map: regions, nodes and gateways",
		flags: func(f *flagSet) {
			f.BoolVar(&asFounding, "founding", false,
				"as a founding file, for nodes that are restored and joined after the founding")
		},
		ask: withMap(func(c *invocation, m *wire.Map) (report, error) {
			if asFounding {
				_, err := c.out.Write(founding.Of(m).JSON())
				return nil, err
			}
			return mapReport{Federation: m.Federation, Version: m.Version,
				ActiveVersion: m.ActiveVersion, Approvals: m.OperatorsNeeded(),
				Regions: linesOfRegions(m), Nodes: linesOfNodes(m), Gateways: linesOfGateways(m)}, nil
		}),
	}.build()
}
