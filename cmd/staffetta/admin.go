package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"
	"github.com/staffetta/staffetta/internal/operator"
	"github.com/staffetta/staffetta/testcluster/process"
	"github.com/staffetta/staffetta/wire"
	"github.com/staffetta/staffetta/wire/link"
)

// adminWait bounds an operator's command: an election of the federation's leader, and more.
const adminWait = 30 * time.Second

func newAdminCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "admin",
		Short: "An operator's commands, over the link under an operator's certificate",
	}
	key := &cobra.Command{Use: "key", Short: "Revoke and rotate the keys of services"}
	key.AddCommand(newKeyCommand("revoke", "Revoke a key: within a second of this command's end "+
		"every gateway whose node\nreaches the federation's leader refuses it", revokeKey),
		newKeyCommand("rotate", "Replace a key and print the new one, which is shown only here; "+
			"the old one is\nrevoked by it", rotateKey))
	cmd.AddCommand(key)
	cmd.AddCommand(newInitCommand(), newMapCommand(), newRegionCommand(), newNodeAdminCommand(),
		newGatewayAdminCommand(), newVotersCommand())
	cmd.AddCommand(newSlotsCommand(), newWhoamiCommand())
	cmd.AddCommand(newInstitutionCommand(), newServiceCommand(), newAuditCommand(),
		newStatusCommand(), newDoctorCommand(), newExplainCommand())
	cmd.AddCommand(newCACommand(), newCertCommand(), newRevokeCommand())
	cmd.AddCommand(newBackupCommand(), newRestoreCommand())
	cmd.AddCommand(newRegionKeyCommand(), newMoveCommand(), newSpoolCommand())
	cmd.AddCommand(newUpgradeCommand(), newDiskCommand())
	cmd.AddCommand(newContextCommand())
	return cmd
}

// operatorFlags say who the operator is and where the federation is.
type operatorFlags struct {
	dir           string
	cert, key, ca string
	nodes         []string
	context       string // of which the others were taken already
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
		shareFlag(cmd, name, operatorScope)
	}
	for _, name := range []string{"cert", "key", "ca", "context"} {
		cmd.MarkFlagsMutuallyExclusive("dir", name)
	}
	cmd.RegisterFlagCompletionFunc("context", completeContexts)
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
	if f.cert == "" || f.key == "" || f.ca == "" || len(f.nodes) == 0 {
		return nil, errNoFederation
	}
	credentials, err := link.LoadCertificate(f.cert, f.key, f.ca, "")
	if err != nil {
		return nil, err
	}
	return operator.New(operator.Config{Credentials: credentials, Nodes: f.nodes})
}

type keyAction func(ctx context.Context, op *operator.Client, service wire.ServiceID,
	name wire.KeyName) (key string, err error)

func newKeyCommand(verb, short string, act keyAction) *cobra.Command {
	var (
		flags         operatorFlags
		service, name string
		asJSON        bool
	)
	cmd := &cobra.Command{
		Use:   verb + " --service ID --name primary|secondary",
		Short: short,
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			names := map[string]wire.KeyName{"primary": wire.PrimaryKey,
				"secondary": wire.SecondaryKey}
			which, ok := names[name]
			if !ok {
				return fmt.Errorf("--name %q is not primary or secondary", name)
			}
			if !wire.ServiceID(service).Valid() {
				return fmt.Errorf("--service %q is not a service id", service)
			}
			op, err := flags.client()
			if err != nil {
				return err
			}
			defer op.Close()
			ctx, cancel := context.WithTimeout(cmd.Context(), adminWait)
			defer cancel()
			key, err := act(ctx, op, wire.ServiceID(service), which)
			if err != nil {
				return fmt.Errorf("%s the %s key of %s: %w", verb, name, service, err)
			}
			if flags.dir != "" {
				if err := process.ReplaceKey(flags.dir, service, which, key); err != nil {
					fmt.Fprintf(cmd.ErrOrStderr(), "done, but its files name the old key: %v\n", err)
				}
			}
			return printKey(cmd.OutOrStdout(), asJSON, verb, service, name, key)
		},
	}
	flags.register(cmd)
	cmd.Flags().StringVar(&service, "service", "", "the service's id")
	cmd.Flags().StringVar(&name, "name", "", "which key: primary or secondary")
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	cmd.MarkFlagRequired("service")
	cmd.MarkFlagRequired("name")
	return cmd
}

func printKey(out io.Writer, asJSON bool, verb, service, name, key string) error {
	if asJSON {
		return json.NewEncoder(out).Encode(struct {
			Done    string `json:"done"`
			Service string `json:"service_id"`
			Name    string `json:"name"`
			Key     string `json:"key,omitempty"`
		}{verb, service, name, key})
	}
	if key != "" {
		_, err := fmt.Fprintln(out, key)
		return err
	}
	_, err := fmt.Fprintf(out, "the %s key of %s is revoked\n", name, service)
	return err
}

func revokeKey(ctx context.Context, op *operator.Client, service wire.ServiceID,
	name wire.KeyName) (string, error) {
	return "", op.RevokeKey(ctx, service, name)
}

func rotateKey(ctx context.Context, op *operator.Client, service wire.ServiceID,
	name wire.KeyName) (string, error) {
	key := operator.NewKey()
	return key, op.RotateKey(ctx, service, name, key)
}
