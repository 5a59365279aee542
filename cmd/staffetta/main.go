// Command staffetta is the product in one binary: the relay node, the gateway, a local federation,
// and the tools of institutions and operators. What measures it and puts it through faults is
// staffetta-lab.
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
		Use:   "staffetta",
		Short: "A federated relay that carries public institutions' messages to citizens",
		Long: `Staffetta carries messages of public institutions to citizens by fiscal code,
through regional relay nodes that replicate them with Raft.

Start here:

  staffetta local     a whole federation on this machine, with a first message sent`,
	}, admin.Contexts)
	root.AddCommand(newLocalCommand(), server.NewNodeCommand(nil), server.NewGatewayCommand(nil),
		newSendCommand(), admin.NewCommand(), newTestProviderCommand())
	return root
}
