package admin

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/staffetta/staffetta/cmd/internal/cli"
	"github.com/staffetta/staffetta/internal/ca"
	"github.com/staffetta/staffetta/internal/operator"
	"github.com/staffetta/staffetta/internal/renewal"
	"github.com/staffetta/staffetta/wire"
	"github.com/staffetta/staffetta/wire/link"
	"golang.org/x/sync/errgroup"
)

// serveFlags say whose certificates are renewed, and how long this goes on.
type serveFlags struct {
	signerFlags
	log     cli.LogFlags
	regions []string
}

func newCertServeCommand() *cobra.Command {
	var f serveFlags
	cmd := &cobra.Command{
		Use:   "serve --region R",
		Short: "Renew the certificates of a region's nodes and gateways, unattended, while it runs",
		Long: `Renew the certificates of a region's nodes and gateways as they ask for it, until it is
stopped. Run it where the authority's key is, under an operator's certificate with the right
"member" for the region, which it renews, too.

A node or gateway asks when a third of its certificate's life is left, with a new key and on the
strength of its old certificate. What is signed is for the identity that asks, which must be on the
map, not revoked, and of this region. --dry-run checks that all of this can be done.`,
		Example: `  staffetta admin cert serve --region lazio --ca-cert ca.crt --ca-key ca.key`,
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := f.run(cmd); err != nil {
				return fmt.Errorf("cert serve: %w", err)
			}
			return nil
		},
	}
	f.signerFlags.register(cmd)
	f.log.Register(cmd)
	cmd.Flags().StringSliceVar(&f.regions, "region", nil, "whose certificates; may be repeated")
	cmd.MarkFlagRequired("region")
	return cmd
}

func (f *serveFlags) run(cmd *cobra.Command) error {
	logger, err := f.log.Logger(cmd)
	if err != nil {
		return err
	}
	authority, err := f.authority()
	if err != nil {
		return err
	}
	files := renewal.Files{Cert: f.cert, Key: f.key}
	if f.dir == "" && !f.dryRun {
		if err := files.Recover(); err != nil {
			return err
		}
	}
	op, err := f.client()
	if err != nil {
		return err
	}
	defer op.Close()
	if err := f.check(cmd.Context(), op, authority); err != nil {
		return err
	}
	if f.dryRun {
		r := serves{Regions: f.regions, DryRun: true}
		return cli.PrintReport(cmd.OutOrStdout(), f.asJSON, r, r.text)
	}
	logger.Info("renewer started", "regions", f.regions)
	defer logger.Info("renewer stopped")
	g, ctx := errgroup.WithContext(cmd.Context())
	renewer := func(region string) *renewal.Renewer {
		return &renewal.Renewer{Region: wire.RegionID(region), Authority: authority, Desk: op,
			Life: time.Duration(f.days) * day, Logger: logger}
	}
	for _, region := range f.regions {
		g.Go(func() error { return renewer(region).Run(ctx) })
	}
	if f.dir == "" { // a local federation's operator has a certificate for as long as it lasts
		g.Go(func() error { return f.keepOwn(ctx, renewer(""), files) })
	}
	return g.Wait()
}

// keepOwn keeps the certificate good under which the renewer itself calls.
func (f *serveFlags) keepOwn(ctx context.Context, r *renewal.Renewer, files renewal.Files) error {
	own, err := link.LoadCertificate(f.cert, f.key, f.ca, "")
	if err != nil {
		return err
	}
	return r.KeepOwn(ctx, files, own.Certificate)
}

// check refuses what could only refuse later: an authority that nobody believes or that does not
// speak for a region, a region that there is not, and a renewer without the right.
func (f *serveFlags) check(ctx context.Context, op *operator.Client, authority *ca.CA) error {
	ctx, cancel := context.WithTimeout(ctx, adminWait)
	defer cancel()
	m, err := op.Map(ctx)
	if err != nil {
		return err
	}
	known, err := f.authorities(m)
	if err != nil {
		return err
	}
	if err := believed(authority, known); err != nil {
		return err
	}
	print := wire.FingerprintOf(authority.Roots()[0].Raw)
	for _, name := range f.regions {
		region := wire.RegionID(name)
		if _, ok := m.RegionByID(region); !ok {
			return fmt.Errorf("--region: no region %s on the map", name)
		}
		for _, b := range m.Trust.Bounds {
			if b.Root == print && !slices.Contains(b.Regions, region) {
				return fmt.Errorf("--ca-cert: this authority speaks for %v, not for %s", b.Regions, name)
			}
		}
		err := op.MayRenew(ctx, region)
		if errors.Is(err, wire.Forbidden) || err != nil && f.dryRun { // a leader may yet be elected
			return fmt.Errorf("--region %s: %w", name, err)
		}
	}
	return nil
}

// serves is what the command says when it was only asked whether it could.
type serves struct {
	Regions []string `json:"regions"`
	DryRun  bool     `json:"dry_run"`
}

func (s serves) text(out io.Writer) error {
	_, err := fmt.Fprintf(out, "could renew the certificates of %s\n", strings.Join(s.Regions, ", "))
	return err
}
