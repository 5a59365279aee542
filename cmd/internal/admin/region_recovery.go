package admin

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"

	"github.com/spf13/cobra"
	"github.com/staffetta/staffetta/cmd/internal/cli"
	"github.com/staffetta/staffetta/internal/backup"
	"github.com/staffetta/staffetta/internal/operator"
	"github.com/staffetta/staffetta/wire"
)

// recoveryFlags name the files of recovery keys that open copies.
type recoveryFlags struct{ files []string }

func (f *recoveryFlags) register(cmd *cobra.Command) {
	cmd.Flags().StringArrayVar(&f.files, "recovery-key", nil, "file with the private half of the "+
		"recovery key that a region's copies are sealed to; one for each region")
}

func (f *recoveryFlags) keys() (backup.RecoveryKeys, error) {
	return backup.ReadRecoveryKeyFiles(f.files)
}

// recoveryReport is what `region recovery-key` says.
type recoveryReport struct {
	Region wire.RegionID `json:"region,omitempty"`
	Key    string        `json:"key"`    // its fingerprint; empty: it would have to be made
	Before string        `json:"before"` // that of the region's key of before
	Set    bool          `json:"set"`    // it is on the map now and was not, or would be
	Made   bool          `json:"made"`
	Out    string        `json:"out,omitempty"`
	DryRun bool          `json:"dry_run,omitempty"`
}

func (r *recoveryReport) text(out io.Writer) error {
	if r.Made {
		fmt.Fprintf(out, "recovery key %s is made: %s is for the custodian, who keeps it off every "+
			"machine of the federation, and more than once; %s may be seen by anybody\n", r.Key, r.Out,
			backup.PublicFile(r.Out))
	}
	verb := map[bool]string{false: "are", true: "would be"}[r.DryRun]
	var err error
	switch {
	case r.Key == "":
		_, err = fmt.Fprintf(out, "nothing done: a recovery key would be made in %s\n", r.Out)
		if r.Region != "" && err == nil {
			_, err = fmt.Fprintf(out, "copies of region %s would be sealed to it from then on\n",
				r.Region)
		}
	case r.Region == "":
	case r.Set:
		_, err = fmt.Fprintf(out, "copies of region %s %s sealed to recovery key %s from now on\n",
			r.Region, verb, r.Key)
	default:
		_, err = fmt.Fprintf(out, "nothing to do: copies of region %s are sealed to recovery key %s\n",
			r.Region, r.Key)
	}
	return err
}

// recoveryKey is what `region recovery-key` is given.
type recoveryKey struct {
	changeFlags
	region, out, public string
}

func newRecoveryKeyCommand() *cobra.Command {
	var f recoveryKey
	cmd := &cobra.Command{
		Use:   "recovery-key [--region R] --out FILE | --region R --public FILE",
		Short: "Make a recovery key, and have a region's copies sealed to it",
		Long: `Make a recovery key, and have a region's copies sealed to it. Nodes seal copies before
they give them, so that who takes and keeps copies does not read them: that takes the key's private
half, in FILE. Without it no copy that is taken from now on can be restored. The public half goes
into FILE.pub. A FILE that is there is used as it is, so that the command may be repeated.

The custodian makes the key alone with --out and without --region, on a machine of their own, and
gives the public half to an operator, who sets it with --public. Where two operators are needed, it
takes two to set another key in place of one. Copies that are there open with their own key as
before; the next copy shares nothing with them.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if f.public != "" && f.region == "" {
				return errors.New("--public needs --region: whose copies are sealed to the key?")
			}
			report := &recoveryReport{Region: wire.RegionID(f.region), Out: f.out, DryRun: f.dryRun}
			public, err := f.half(report)
			if err != nil {
				return fmt.Errorf("region recovery-key: %w", err)
			}
			if f.region != "" {
				err = f.with(cmd, adminWait, func(ctx context.Context, op *operator.Client) error {
					return f.set(ctx, op, public, report)
				})
			}
			if err != nil && report.Made { // what was made is there
				report.Region = ""
				report.text(cmd.ErrOrStderr())
			}
			if err != nil {
				return fmt.Errorf("region recovery-key: %w", err)
			}
			return cli.PrintReport(cmd.OutOrStdout(), f.asJSON, report, report.text)
		},
	}
	f.register(cmd)
	cmd.Flags().StringVar(&f.region, "region", "", "the region whose copies are sealed to it")
	cmd.Flags().StringVar(&f.out, "out", "", "file for the private half; the public one goes "+
		"beside it")
	cmd.Flags().StringVar(&f.public, "public", "", "file with the public half of a key that the "+
		"custodian has made")
	cmd.MarkFlagsOneRequired("out", "public")
	cmd.MarkFlagsMutuallyExclusive("out", "public")
	return cmd
}

// half is the public half of the key that is named, made when --out names no file yet.
func (f *recoveryKey) half(report *recoveryReport) ([]byte, error) {
	if f.public != "" {
		public, err := backup.ReadRecoveryPublicFile(f.public)
		report.Key = wire.RecoveryIDOf(public).String()
		return public, err
	}
	key, err := backup.ReadRecoveryKeyFile(f.out)
	unmade := f.dryRun && errors.Is(err, fs.ErrNotExist)
	if errors.Is(err, fs.ErrNotExist) {
		if f.dryRun { // some key, that is in no file
			key, err = wire.NewRecoveryKey()
		} else {
			key, err = backup.NewRecoveryKeyFile(f.out)
			report.Made = err == nil
		}
	}
	if err != nil {
		return nil, err
	}
	if !unmade { // of a key that is in no file there is nothing to say
		report.Key = key.ID().String()
	}
	return key.Public(), nil
}

func (f *recoveryKey) set(ctx context.Context, op *operator.Client, public []byte,
	report *recoveryReport) error {
	m, err := op.Map(ctx)
	if err != nil {
		return err
	}
	r, ok := m.RegionByID(report.Region)
	if !ok {
		return fmt.Errorf("no region %q on the map", report.Region)
	}
	if len(r.Recovery) > 0 {
		report.Before = wire.RecoveryIDOf(r.Recovery).String()
	}
	report.Set = report.Before != report.Key
	if f.dryRun {
		ctx = operator.Rehearse(ctx)
	}
	return op.SetRecoveryKey(ctx, report.Region, public)
}
