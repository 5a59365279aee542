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
	cmd := group("admin", "Operate a federation, with an operator's certificate",
		newApprovalsCommand(), newApproveCommand(), newAuditCommand(), newBackupCommand(),
		newCACommand(), newCertCommand(), newContextCommand(), newDiskCommand(), newDoctorCommand(),
		newExplainCommand(), newGatewayAdminCommand(), newInitCommand(), newInstitutionCommand(),
		newMapCommand(), newMoveCommand(), newNodeAdminCommand(), newRegionCommand(),
		newRegionKeyCommand(), newRemoteCommand(), newRestoreCommand(), newRevokeCommand(),
		newServiceCommand(), newServiceKeyCommand(), newSessionCommand(), newSlotsCommand(),
		newSpoolCommand(), newStatusCommand(),
		newUpgradeCommand(), newVotersCommand(), newWhoamiCommand())
	completeHelp(cmd)
	return cmd
}

// operatorFlags say who the operator is and where the federation is.
type operatorFlags struct {
	namedContext // as flags say it, and by --context, whose name it has, what none of them says
	// founding is the founding file of who looks after a federation that has no map yet.
	founding string
}

func (f *operatorFlags) register(cmd *cobra.Command) {
	registerFederation(cmd, &f.namedContext)
	cmd.Flags().StringVar(&f.name, "context", "", "the context that says what none of these "+
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
