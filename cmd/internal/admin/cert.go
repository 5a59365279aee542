package admin

import (
	"bytes"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"time"

	"github.com/spf13/cobra"
	"github.com/staffetta/staffetta/cmd/internal/cli"
	"github.com/staffetta/staffetta/internal/ca"
	"github.com/staffetta/staffetta/wire"
	"github.com/staffetta/staffetta/wire/link"
)

// The bounds of what the small authority gives out, in days.
const (
	certDaysDefault = 90
	caDaysDefault   = 3650
	caDaysMax       = 20 * 365
)

const day = 24 * time.Hour

func newCertCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "cert",
		Short: "Request, sign and install certificates, for a federation without an authority of its own",
	}
	cmd.AddCommand(newCertRequestCommand(), newCertSignCommand(), newCertInstallCommand(),
		newCertIssueCommand(), newCertRenewCommand(), newCertServeCommand())
	return cmd
}

// issued is what a command that writes a certificate says.
type issued struct {
	Identity    string   `json:"identity"`
	Fingerprint string   `json:"fingerprint,omitempty"` // and the two times: not of a request
	ValidFrom   string   `json:"valid_from,omitempty"`
	Expires     string   `json:"expires,omitempty"`
	Files       []string `json:"files"`
	// Done: false when nothing was due, or it was only asked what would be done.
	Done bool `json:"done"`
}

func (i issued) text(out io.Writer) error {
	valid := ""
	if i.Expires != "" { // not for a request
		valid = ", valid until " + i.Expires
	}
	if !i.Done {
		_, err := fmt.Fprintf(out, "nothing written: %s%s\n", i.Identity, valid)
		return err
	}
	if valid != "" {
		valid = fmt.Sprintf("  valid from %s until %s\n  fingerprint %s\n", i.ValidFrom, i.Expires,
			i.Fingerprint)
	}
	_, err := fmt.Fprintf(out, "%s\n%s", i.Identity, valid)
	for _, f := range i.Files {
		if err == nil {
			_, err = fmt.Fprintf(out, "  %s\n", f)
		}
	}
	return err
}

// describe tells of a certificate, PEM.
func describe(certPEM []byte, files ...string) (issued, error) {
	block, _ := pem.Decode(certPEM)
	if block == nil || block.Type != "CERTIFICATE" {
		return issued{}, errors.New("no PEM certificate")
	}
	cert, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		return issued{}, err
	}
	name := cert.Subject.String()
	if len(cert.URIs) == 1 {
		name = cert.URIs[0].String()
	}
	return issued{Identity: name, Fingerprint: wire.FingerprintOf(cert.Raw).String(),
		ValidFrom: cert.NotBefore.UTC().Format(time.RFC3339),
		Expires:   cert.NotAfter.UTC().Format(time.RFC3339), Files: files, Done: true}, nil
}

// issuerFlags name the authority that issues, and for how long.
type issuerFlags struct {
	caCert, caKey string
	days          int
	begin         string
	asJSON        bool
	dryRun        bool
}

func (f *issuerFlags) register(cmd *cobra.Command) {
	flags := cmd.Flags()
	flags.StringVar(&f.caCert, "ca-cert", "", "file with the authority's certificate (PEM)")
	flags.StringVar(&f.caKey, "ca-key", "", "file with the authority's key (PEM, PKCS #8)")
	flags.IntVar(&f.days, "days", certDaysDefault, fmt.Sprintf("days that the certificate is valid, "+
		"1-%d, and not longer than the authority", int(ca.LifeMax/day)))
	flags.StringVar(&f.begin, "valid-from", "", "now, or a time such as 2026-11-01T00:00:00Z; "+
		"without it five minutes ago, for peers whose clock is behind; who was just revoked needs now")
	flags.BoolVar(&f.asJSON, "json", false, "print JSON")
	flags.BoolVar(&f.dryRun, "dry-run", false, "check everything, and write nothing")
	for _, name := range []string{"ca-cert", "ca-key"} {
		cmd.MarkFlagRequired(name)
	}
}

func (f *issuerFlags) authority() (*ca.CA, error) {
	if f.days < 1 || f.days > int(ca.LifeMax/day) {
		return nil, fmt.Errorf("--days %d is not 1-%d", f.days, int(ca.LifeMax/day))
	}
	cert, err := ca.ReadFile(f.caCert)
	if err != nil {
		return nil, fmt.Errorf("--ca-cert: %w", err)
	}
	key, err := ca.ReadFile(f.caKey)
	if err != nil {
		return nil, fmt.Errorf("--ca-key: %w", err)
	}
	return ca.Load(cert, key)
}

func newCertIssueCommand() *cobra.Command {
	var (
		f                           issuerFlags
		identity, certFile, keyFile string
		grants                      []string
	)
	cmd := &cobra.Command{
		Use:   "issue --identity spiffe://… --ca-cert F --ca-key F --cert F --key F",
		Short: "Make a key and a certificate for a node, gateway or operator",
		Long: `Make a key (ECDSA P-256) and a certificate for a node, gateway or operator, and write
both to files that do not exist yet.

What an operator may do stands in its certificate: rights in regions, or in all of them (*).
  observer:R   looks
  operator:R   keeps things working: slots, moves, restores; in * also services and upgrades
  member:R     says who belongs to it: nodes, gateways, certificates; in * also authorities
  data:R       reads what is a citizen's: copies, explanations`,
		Example: `  staffetta admin cert issue --identity spiffe://italia/operator/ada \
    --grant operator:lazio --grant member:lazio \
    --ca-cert ca.pem --ca-key ca.key --cert ada.pem --key ada.key`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			done, err := f.issue(identity, certFile, keyFile, grants)
			if err != nil {
				return fmt.Errorf("cert issue: %w", err)
			}
			return cli.PrintReport(cmd.OutOrStdout(), f.asJSON, done, done.text)
		},
	}
	f.register(cmd)
	flags := cmd.Flags()
	flags.StringVar(&identity, "identity", "", "whose: spiffe://FEDERATION/region/REGION/node/NAME, "+
		"…/region/REGION/gateway/NAME or …/operator/NAME")
	flags.StringVar(&certFile, "cert", "", "file to write the certificate to")
	flags.StringVar(&keyFile, "key", "", "file to write its key to")
	flags.StringSliceVar(&grants, "grant", nil, "what an operator may do, RIGHT:REGION or RIGHT:*, "+
		"with observer, operator, member or data; may be repeated")
	for _, name := range []string{"identity", "cert", "key"} {
		cmd.MarkFlagRequired(name)
	}
	return cmd
}

func (f *issuerFlags) issue(identity, certFile, keyFile string, granted []string) (
	*issued, error) {
	id, err := link.ReadIdentity(identity)
	if err != nil {
		return nil, fmt.Errorf("--identity: %w", err)
	}
	grants, err := parseGrants(id, granted)
	if err != nil {
		return nil, err
	}
	authority, err := f.authority()
	if err != nil {
		return nil, err
	}
	for _, file := range []string{certFile, keyFile} {
		if _, err := os.Lstat(file); !errors.Is(err, fs.ErrNotExist) {
			return nil, fmt.Errorf("%s exists already: `cert renew` replaces a certificate", file)
		}
	}
	certPEM, keyPEM, err := f.make(authority, id, grants)
	if err != nil {
		return nil, err
	}
	done, err := describe(certPEM, certFile, keyFile)
	if done.Done = !f.dryRun; err != nil || f.dryRun {
		return &done, err
	}
	// The key first: a certificate without one cannot be used.
	if err := ca.ReplaceFile(keyFile, keyPEM, 0o600); err != nil {
		return nil, err
	}
	return &done, ca.ReplaceFile(certFile, certPEM, 0o644)
}

// parseGrants reads what an operator's certificate is to allow. Only operators have grants, and
// every one of them has: without any it could do nothing.
func parseGrants(id link.Identity, texts []string) (link.Grants, error) {
	if (id.Role == link.RoleOperator) != (len(texts) > 0) {
		return nil, errors.New("--grant: an operator needs at least one, such as operator:lazio, " +
			"and nobody else has any")
	}
	var grants link.Grants
	for _, text := range texts {
		g, err := link.ParseGrant(text)
		if err != nil {
			return nil, fmt.Errorf("--grant: %w", err)
		}
		grants = append(grants, g)
	}
	return grants, nil
}

func (f *issuerFlags) make(authority *ca.CA, id link.Identity, grants link.Grants) (
	certPEM, keyPEM []byte, err error) {
	from, err := f.from()
	if err != nil {
		return nil, nil, err
	}
	return authority.IssueFrom(id.URI(), from, time.Duration(f.days)*day,
		grants.Units()...)
}

// from is the time from which a certificate is to be valid.
func (f *issuerFlags) from() (time.Time, error) {
	switch f.begin {
	case "":
		return time.Now().Add(-ca.Skew), nil
	case "now":
		// The second after this one: certificates count in seconds, and what begins in the one of
		// a revocation is revoked.
		return time.Now().Truncate(time.Second).Add(time.Second), nil
	}
	from, err := time.Parse(time.RFC3339, f.begin)
	if err != nil {
		return time.Time{}, fmt.Errorf("--valid-from %q is neither now nor a time such as "+
			"2026-11-01T00:00:00Z", f.begin)
	}
	return from, nil
}

func newCertRenewCommand() *cobra.Command {
	var (
		f                         issuerFlags
		certFile, keyFile, caFile string
		within                    int
	)
	cmd := &cobra.Command{
		Use:   "renew --cert F --key F --ca-cert F --ca-key F",
		Short: "Replace a certificate and its key by new ones for the same identity",
		Long: `Replace a certificate and its key by new ones for the same identity. The files are
replaced by renaming, so that a running process never reads half of one; it takes the new ones up
within ten seconds, without a restart or a dropped request. With --within it does nothing until
few days are left, and can be run every day.`,
		Example: `  staffetta admin cert renew --cert node.pem --key node.key --ca ca.pem \
    --ca-cert new-ca.pem --ca-key new-ca.key --within 30`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			done, err := f.renew(certFile, keyFile, caFile, within)
			if err != nil {
				return fmt.Errorf("cert renew: %w", err)
			}
			return cli.PrintReport(cmd.OutOrStdout(), f.asJSON, done, done.text)
		},
	}
	f.register(cmd)
	flags := cmd.Flags()
	flags.StringVar(&certFile, "cert", "", "file with the certificate (PEM)")
	flags.StringVar(&keyFile, "key", "", "file with its key")
	flags.StringVar(&caFile, "ca", "", "file of authorities of the same process, to which the "+
		"issuing one is added if it is missing there")
	flags.IntVar(&within, "within", 0, "renew only when so many days or fewer are left; 0: always")
	for _, name := range []string{"cert", "key"} {
		cmd.MarkFlagRequired(name)
	}
	return cmd
}

func (f *issuerFlags) renew(certFile, keyFile, caFile string, within int) (*issued, error) {
	if within < 0 {
		return nil, fmt.Errorf("--within %d is negative", within)
	}
	authority, err := f.authority()
	if err != nil {
		return nil, err
	}
	old, err := ca.ReadFile(certFile)
	if err != nil {
		return nil, fmt.Errorf("--cert: %w", err)
	}
	if _, err := os.Stat(keyFile); err != nil {
		return nil, fmt.Errorf("--key: %w", err)
	}
	have, err := describe(old, certFile, keyFile)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", certFile, err)
	}
	id, err := link.ReadIdentity(have.Identity)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", certFile, err)
	}
	end, err := time.Parse(time.RFC3339, have.Expires)
	if err != nil {
		return nil, err
	}
	have.Done = false
	if within > 0 && time.Until(end) > time.Duration(within)*day {
		return &have, nil
	}
	roots, err := withAuthority(caFile, authority)
	if err != nil {
		return nil, err
	}
	grants, err := grantsIn(old)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", certFile, err)
	}
	certPEM, keyPEM, err := f.make(authority, id, grants)
	if err != nil || f.dryRun {
		return &have, err
	}
	// In this order every state between is one that a process can tell: it goes on with what it
	// has until all three belong together.
	if roots != nil {
		if err := ca.ReplaceFile(caFile, roots, 0o644); err != nil {
			return nil, err
		}
	}
	if err := ca.ReplaceFile(keyFile, keyPEM, 0o600); err != nil {
		return nil, err
	}
	if err := ca.ReplaceFile(certFile, certPEM, 0o644); err != nil {
		return nil, err
	}
	done, err := describe(certPEM, certFile, keyFile)
	return &done, err
}

// grantsIn are those of a certificate, PEM: its successor has the same.
func grantsIn(certPEM []byte) (link.Grants, error) {
	block, _ := pem.Decode(certPEM)
	if block == nil {
		return nil, errors.New("no PEM certificate")
	}
	cert, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		return nil, err
	}
	return link.GrantsOf(cert)
}

// withAuthority is a file of authorities with one more; nil when it is there already.
func withAuthority(file string, authority *ca.CA) ([]byte, error) {
	if file == "" {
		return nil, nil
	}
	roots, err := link.ReadAuthorities(file)
	if err != nil {
		return nil, fmt.Errorf("--ca: %w", err)
	}
	added := authority.Roots()[0]
	var out bytes.Buffer
	for _, root := range roots {
		if root.Equal(added) {
			return nil, nil
		}
		pem.Encode(&out, &pem.Block{Type: "CERTIFICATE", Bytes: root.Raw}) // memory does not fail
	}
	out.Write(authority.CertPEM())
	return out.Bytes(), nil
}

func newCACreateCommand() *cobra.Command {
	var (
		federation, certFile, keyFile string
		days                          int
		asJSON, dryRun                bool
	)
	cmd := &cobra.Command{
		Use:   "create --federation NAME --ca-cert F --ca-key F",
		Short: "Make a new authority: a key, and a certificate that it signs itself",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			done, err := createCA(federation, certFile, keyFile, days, dryRun)
			if err != nil {
				return fmt.Errorf("ca create: %w", err)
			}
			return cli.PrintReport(cmd.OutOrStdout(), asJSON, done, done.text)
		},
	}
	flags := cmd.Flags()
	flags.StringVar(&federation, "federation", "", "the federation's name")
	flags.StringVar(&certFile, "ca-cert", "", "file to write the certificate to")
	flags.StringVar(&keyFile, "ca-key", "", "file to write the key to, which opens the federation "+
		"to whoever has it: keep it off the machines that run it")
	flags.IntVar(&days, "days", caDaysDefault, fmt.Sprintf("days that it is valid, 1-%d", caDaysMax))
	flags.BoolVar(&asJSON, "json", false, "print JSON")
	flags.BoolVar(&dryRun, "dry-run", false, "check everything, and write nothing")
	for _, name := range []string{"federation", "ca-cert", "ca-key"} {
		cmd.MarkFlagRequired(name)
	}
	return cmd
}

func createCA(federation, certFile, keyFile string, days int, dryRun bool) (*issued, error) {
	if !wire.RegionID(federation).Valid() {
		return nil, fmt.Errorf("--federation %q is not 1-%d of [a-z0-9-], a letter first", federation,
			wire.NameBytesMax)
	}
	if days < 1 || days > caDaysMax {
		return nil, fmt.Errorf("--days %d is not 1-%d", days, caDaysMax)
	}
	for _, file := range []string{certFile, keyFile} {
		if _, err := os.Lstat(file); !errors.Is(err, fs.ErrNotExist) {
			return nil, fmt.Errorf("%s exists already", file)
		}
	}
	authority, err := ca.New(federation, time.Duration(days)*day)
	if err != nil {
		return nil, err
	}
	done, err := describe(authority.CertPEM(), certFile, keyFile)
	if done.Done = !dryRun; err != nil || dryRun {
		return &done, err
	}
	if err := ca.ReplaceFile(keyFile, authority.KeyPEM(), 0o600); err != nil {
		return nil, err
	}
	return &done, ca.ReplaceFile(certFile, authority.CertPEM(), 0o644)
}
