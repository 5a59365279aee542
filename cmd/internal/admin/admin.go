package admin

import (
	"time"

	"github.com/spf13/cobra"
	"github.com/staffetta/staffetta/cmd/internal/cli"
	"github.com/staffetta/staffetta/internal/founding"
	"github.com/staffetta/staffetta/internal/operator"
	"github.com/staffetta/staffetta/testcluster/process"
	"github.com/staffetta/staffetta/wire/link"
)

// adminWait bounds an operator's command: an election of the federation's leader, and more.
const adminWait = 30 * time.Second

// NewCommand is the command admin.
func NewCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "admin",
		Short: "An operator's commands, over the link under an operator's certificate",
	}
	cmd.AddCommand(newServiceKeyCommand())
	cmd.AddCommand(newInitCommand(), newMapCommand(), newRegionCommand(), newNodeAdminCommand(),
		newGatewayAdminCommand(), newVotersCommand())
	cmd.AddCommand(newSlotsCommand(), newWhoamiCommand(), newApproveCommand(),
		newApprovalsCommand())
	cmd.AddCommand(newInstitutionCommand(), newServiceCommand(), newAuditCommand(),
		newStatusCommand(), newDoctorCommand(), newExplainCommand())
	cmd.AddCommand(newCACommand(), newCertCommand(), newRevokeCommand())
	cmd.AddCommand(newBackupCommand(), newRestoreCommand())
	cmd.AddCommand(newRegionKeyCommand(), newMoveCommand(), newSpoolCommand())
	cmd.AddCommand(newUpgradeCommand(), newDiskCommand())
	cmd.AddCommand(newContextCommand())
	completeHelp(cmd)
	return cmd
}

// operatorFlags say who the operator is and where the federation is.
type operatorFlags struct {
	dir           string
	cert, key, ca string
	nodes         []string
	// founding is the founding file of who looks after a federation that has no map yet.
	founding string
	context  string // of which the others were taken already
}

func (f *operatorFlags) register(cmd *cobra.Command) {
	cmd.Flags().StringVar(&f.dir, "dir", "",
		"directory of a local federation, instead of the four flags below")
	cmd.Flags().StringVar(&f.cert, "cert", "", "file with the operator's certificate (PEM)")
	cmd.Flags().StringVar(&f.key, "key", "", "file with the certificate's key (PEM)")
	cmd.Flags().StringVar(&f.ca, "ca", "", "file with the federation's authorities (PEM)")
	cmd.Flags().StringSliceVar(&f.nodes, "node", nil, "address of a relay node, host:port; "+
		"may be repeated")
	cmd.Flags().StringVar(&f.context, "context", "", "the context that says what none of these "+
		"flags does (default: the current one, see admin context)")
	for _, name := range []string{"dir", "cert", "key", "ca", "node", "context"} {
		cli.ShareFlag(cmd, name, operatorScope)
	}
	for _, name := range []string{"cert", "key", "ca", "context"} {
		cmd.MarkFlagsMutuallyExclusive("dir", name)
	}
	cmd.RegisterFlagCompletionFunc("context", completeContexts)
}

// registerFounding is for commands that are of use before the federation has a map.
func (f *operatorFlags) registerFounding(cmd *cobra.Command) {
	cmd.Flags().StringVar(&f.founding, "founding", "", "the founding file: its map is used while the "+
		"federation has none, and its nodes are asked besides those of --node")
}

func (f *operatorFlags) client() (*operator.Client, error) {
	if f.dir != "" {
		cfg, err := process.Operator(f.dir)
		if err != nil {
			return nil, err
		}
		if len(f.nodes) > 0 {
			cfg.Nodes = f.nodes
		}
		return operator.New(cfg)
	}
	cfg := operator.Config{Nodes: f.nodes}
	if f.founding != "" {
		var err error
		if cfg.Founding, err = founding.Read(f.founding); err != nil {
			return nil, err
		}
		for _, n := range cfg.Founding.Nodes {
			cfg.Nodes = append(cfg.Nodes, n.Addr)
		}
	}
	if f.cert == "" || f.key == "" || f.ca == "" || len(cfg.Nodes) == 0 {
		return nil, errNoFederation
	}
	credentials, err := link.LoadCertificate(f.cert, f.key, f.ca, "")
	if err != nil {
		return nil, err
	}
	cfg.Credentials = credentials
	return operator.New(cfg)
}
