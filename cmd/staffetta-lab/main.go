// Command staffetta-lab measures Staffetta and puts it through faults. The nodes and gateways that
// it starts are the product's, but for a clock that can be put wrong.
package main

import (
	"github.com/spf13/cobra"
	"github.com/staffetta/staffetta/cmd/internal/admin"
	"github.com/staffetta/staffetta/cmd/internal/cli"
	"github.com/staffetta/staffetta/cmd/internal/server"
)

func main() { cli.Main(newRootCommand) }

func newRootCommand() *cobra.Command {
	root := cli.NewRoot(&cobra.Command{
		Use:   "staffetta-lab",
		Short: "Measure a federation, and put one through faults",
		Long: `The laboratory of Staffetta: load, growth of states, and faults, each judged by what a
federation promises. Nothing here is needed to run a federation.

  staffetta-lab bench      drive a running federation, and measure
  staffetta-lab torture    put a federation through faults, and judge it`,
	}, nil)
	root.AddCommand(newBenchCommand(), newTortureCommand())
	for _, cmd := range []*cobra.Command{server.NewNodeCommand(new(clockFlags)),
		server.NewGatewayCommand(new(clockFlags)), admin.NewCommand()} {
		cmd.Hidden = true // what torture and bench start themselves
		root.AddCommand(cmd)
	}
	return root
}
