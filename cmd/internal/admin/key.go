package admin

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"strings"

	"github.com/spf13/cobra"
	"github.com/staffetta/staffetta/cmd/internal/cli"
	"github.com/staffetta/staffetta/internal/ca"
	"github.com/staffetta/staffetta/internal/operator"
	"github.com/staffetta/staffetta/testcluster/process"
	"github.com/staffetta/staffetta/wire"
)

func newServiceKeyCommand() *cobra.Command {
	cmd := &cobra.Command{Use: "key", Short: "Revoke and rotate the keys of services"}
	cmd.AddCommand(newKeyRevokeCommand(), newKeyRotateCommand())
	return cmd
}

// serviceKeyFlags say which key of which service.
type serviceKeyFlags struct {
	changeFlags
	service, name string
	out           string // of rotate
}

func (f *serviceKeyFlags) register(cmd *cobra.Command) {
	f.changeFlags.register(cmd)
	cmd.Flags().StringVar(&f.service, "service", "", "the service's id")
	cmd.Flags().StringVar(&f.name, "name", "", "which key: primary or secondary")
	cmd.MarkFlagRequired("service")
	cmd.MarkFlagRequired("name")
}

// changedKey is what both commands say.
type changedKey struct {
	Done    string `json:"done"` // revoke or rotate; empty for a dry run
	Service string `json:"service_id"`
	Name    string `json:"name"`
	Key     string `json:"key,omitempty"`
	Out     string `json:"out,omitempty"`
	verb    string
}

func (c changedKey) text(out io.Writer) error {
	what := map[string]string{"revoke": "is revoked", "rotate": "is the one in " + c.Out}
	switch {
	case c.Done == "":
		_, err := fmt.Fprintf(out, "nothing done: would %s the %s key of %s\n", c.verb, c.Name, c.Service)
		return err
	case c.Key != "":
		_, err := fmt.Fprintln(out, c.Key)
		return err
	}
	_, err := fmt.Fprintf(out, "the %s key of %s %s\n", c.Name, c.Service, what[c.verb])
	return err
}

func newKeyRevokeCommand() *cobra.Command {
	var f serviceKeyFlags
	cmd := &cobra.Command{
		Use: "revoke --service ID --name primary|secondary",
		Short: "Revoke a key: within a second of this command's end every gateway whose node\n" +
			"reaches the federation's leader refuses it",
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return f.run(cmd, "revoke") },
	}
	f.register(cmd)
	return cmd
}

func newKeyRotateCommand() *cobra.Command {
	var f serviceKeyFlags
	cmd := &cobra.Command{
		Use: "rotate --service ID --name primary|secondary [--out FILE]",
		Short: "Replace a key by a new one, which is shown only here; the old one is\n" +
			"revoked by it",
		Long: `Replace a key by a new one, which is shown only here; the old one is revoked by it.

With --out the new key is written to a file before the federation hears of it, and the same
command again puts the same key: interrupted or repeated, it does no harm. Without it the key is
printed, and each run makes another one, which revokes the last one's.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return f.run(cmd, "rotate") },
	}
	f.register(cmd)
	cmd.Flags().StringVar(&f.out, "out", "", "file to write the new key to, or that has it already")
	return cmd
}

func (f *serviceKeyFlags) run(cmd *cobra.Command, verb string) error {
	which, ok := map[string]wire.KeyName{"primary": wire.PrimaryKey,
		"secondary": wire.SecondaryKey}[f.name]
	if !ok {
		return fmt.Errorf("--name %q is not primary or secondary", f.name)
	}
	service := wire.ServiceID(f.service)
	if !service.Valid() {
		return fmt.Errorf("--service %q is not a service id", f.service)
	}
	return f.with(cmd, adminWait, func(ctx context.Context, op *operator.Client) error {
		r := changedKey{Service: f.service, Name: f.name, Out: f.out, verb: verb}
		if f.dryRun {
			_, err := op.Service(ctx, service)
			if err == nil {
				err = op.RevokeKey(operator.Rehearse(ctx), service, which)
			}
			if err != nil {
				return fmt.Errorf("%s the %s key of %s: %w", verb, f.name, f.service, err)
			}
			return cli.PrintReport(cmd.OutOrStdout(), f.asJSON, r, r.text)
		}
		key, err := f.change(ctx, op, verb, service, which)
		if err != nil {
			return fmt.Errorf("%s the %s key of %s: %w", verb, f.name, f.service, err)
		}
		if f.dir != "" {
			if err := process.ReplaceKey(f.dir, f.service, which, key); err != nil {
				fmt.Fprintf(cmd.ErrOrStderr(), "done, but its files name the old key: %v\n", err)
			}
		}
		if r.Done = verb; f.out == "" {
			r.Key = key
		}
		return cli.PrintReport(cmd.OutOrStdout(), f.asJSON, r, r.text)
	})
}

func (f *serviceKeyFlags) change(ctx context.Context, op *operator.Client, verb string,
	service wire.ServiceID, which wire.KeyName) (key string, err error) {
	if verb == "revoke" {
		return "", op.RevokeKey(ctx, service, which)
	}
	if key, err = newKeyIn(f.out); err != nil {
		return "", fmt.Errorf("--out: %w", err)
	}
	return key, op.RotateKey(ctx, service, which, key)
}

// newKeyIn makes a key, or takes the one that the file has; without a file it is kept nowhere.
func newKeyIn(file string) (string, error) {
	key := operator.NewKey()
	if file == "" {
		return key, nil
	}
	switch text, err := ca.ReadFile(file); {
	case errors.Is(err, fs.ErrNotExist):
		return key, ca.ReplaceFile(file, []byte(key+"\n"), 0o600)
	case err != nil:
		return "", err
	case len(strings.TrimSpace(string(text))) != len(key):
		return "", fmt.Errorf("%s is there, and holds no key", file)
	default:
		return strings.TrimSpace(string(text)), nil
	}
}
