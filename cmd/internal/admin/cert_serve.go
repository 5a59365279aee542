package admin

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"github.com/staffetta/staffetta/cmd/internal/cli"
	"github.com/staffetta/staffetta/internal/ca"
	"github.com/staffetta/staffetta/internal/renewal"
	"github.com/staffetta/staffetta/wire"
	"github.com/staffetta/staffetta/wire/link"
	"golang.org/x/sync/errgroup"
)

// serveFlags say whose certificates are renewed, and by whom.
type serveFlags struct {
	signerFlags
	log     cli.LogFlags
	regions []string

	// Set by prepare.
	logger *slog.Logger
	issuer *ca.CA
	own    renewal.Files // of the certificate under which the renewer itself calls
}

func newCertServeCommand() *cobra.Command {
	var f serveFlags
	return command{
		use:   "serve --region R",
		short: "Renew the certificates of a region's nodes and gateways, unattended, while it runs",
		long: `Renew the certificates of a region's nodes and gateways as they ask for it, until it is
stopped. Run it where the authority's key is, under an operator's certificate with the right
"member" for the region, which it renews, too.

A node or gateway asks when a third of its certificate's life is left, with a new key and on the
strength of its old certificate. What is signed is for the identity that asks, which must be on the
map, not revoked, and of this region. --dry-run checks that all of this can be done.`,
		example: `  staffetta admin cert serve --region lazio --ca-cert ca.crt --ca-key ca.key`,
		dry:     dryChange,
		flags: func(s *flagSet) {
			f.signerFlags.register(s)
			f.log.Register(s.cmd)
			s.StringSliceVar(&f.regions, "region", nil,
				"region whose certificates are renewed; may be repeated")
			s.required("region")
		},
		check: func(c *invocation) error { return f.prepare(c) },
		bound: within(unbounded),
		ask: func(c *invocation) (report, error) {
			if err := f.checkServing(c); err != nil {
				return nil, err
			}
			if c.dry {
				return serves{Regions: f.regions, DryRun: true}, nil
			}
			return nil, f.serve(c)
		},
	}.build()
}

// prepare reads what the renewer needs, and completes what an interrupted one left.
func (f *serveFlags) prepare(c *invocation) (err error) {
	if f.logger, err = f.log.Logger(c.errs); err != nil {
		return err
	}
	if f.issuer, err = f.authority(); err != nil {
		return err
	}
	f.own = renewal.Files{Cert: c.who.cert, Key: c.who.key}
	if c.who.dir == "" && !c.dry {
		return f.own.Recover()
	}
	return nil
}

// serve renews until the command is interrupted.
func (f *serveFlags) serve(c *invocation) error {
	f.logger.Info("renewer started", "regions", f.regions)
	defer f.logger.Info("renewer stopped")
	g, ctx := errgroup.WithContext(c.ctx)
	renewer := func(region string) *renewal.Renewer {
		return &renewal.Renewer{Region: wire.RegionID(region), Authority: f.issuer, Desk: c.op,
			Life: f.life(), Logger: f.logger}
	}
	for _, region := range f.regions {
		g.Go(func() error { return renewer(region).Run(ctx) })
	}
	if c.who.dir == "" { // a local federation's operator has a certificate for as long as it lasts
		g.Go(func() error {
			own, err := link.LoadCertificate(c.who.cert, c.who.key, c.who.ca, "")
			if err != nil {
				return err
			}
			return renewer("").KeepOwn(ctx, f.own, own.Certificate)
		})
	}
	return g.Wait()
}

// checkServing refuses what could only refuse later: an authority that nobody believes or that does
// not speak for a region, a region that there is not, and a renewer without the right.
func (f *serveFlags) checkServing(c *invocation) error {
	ctx, cancel := context.WithTimeout(c.ctx, adminWait)
	defer cancel()
	m, err := c.op.Map(ctx)
	if err != nil {
		return err
	}
	if _, err := f.believedWith(m, f.issuer); err != nil {
		return err
	}
	print := wire.FingerprintOf(f.issuer.Authorities()[0].Raw)
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
		err := c.op.CheckRenewal(ctx, region)
		if errors.Is(err, wire.Forbidden) || err != nil && c.dry { // a leader may yet be elected
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

func (s serves) text(p *page) {
	p.printf("could renew the certificates of %s\n", strings.Join(s.Regions, ", "))
}
