package admin

import (
	"bytes"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"time"

	"github.com/spf13/cobra"
	"github.com/staffetta/staffetta/cmd/internal/cli"
	"github.com/staffetta/staffetta/internal/ca"
	"github.com/staffetta/staffetta/wire/link"
)

func newCertRequestCommand() *cobra.Command {
	var (
		pair          ca.Pair
		identity, out string
		asJSON        bool
		dryRun        bool
	)
	cmd := &cobra.Command{
		Use:   "request --cert F --key F --out F [--identity spiffe://…]",
		Short: "Make a key on the machine that will use it, and a request for its certificate",
		Long: `Make a key (ECDSA P-256) on the machine that will use it, and a request (PKCS #10, PEM)
for its certificate. The request is no secret: have it signed where the authority's key is, by
"cert sign" or any other authority, and bring the certificate back for "cert install". Until then
the new key waits beside --key, in a file of that name with .next behind it, and what runs goes on
with what it has. The same command again makes a request of the same key.

The identity is the one of the certificate in --cert, when that is there.`,
		Example: `  staffetta admin cert request --identity spiffe://italia/operator/ada \
    --cert ada.crt --key ada.key --out ada.csr
  staffetta admin cert request --cert lazio-1.crt --key lazio-1.key --out lazio-1.csr`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			done, err := requestCert(pair, identity, out, dryRun)
			if err != nil {
				return fmt.Errorf("cert request: %w", err)
			}
			return cli.PrintReport(cmd.OutOrStdout(), asJSON, done, done.text)
		},
	}
	flags := cmd.Flags()
	flags.StringVar(&pair.Cert, "cert", "", "file of the certificate, as it is or will be")
	flags.StringVar(&pair.Key, "key", "", "file of its key, as it is or will be")
	flags.StringVar(&out, "out", "", "file to write the request to")
	flags.StringVar(&identity, "identity", "", "whose: spiffe://FEDERATION/region/REGION/node/NAME, "+
		"…/region/REGION/gateway/NAME or …/operator/NAME")
	flags.BoolVar(&asJSON, "json", false, "print JSON")
	flags.BoolVar(&dryRun, "dry-run", false, "check everything, and write nothing")
	for _, name := range []string{"cert", "key", "out"} {
		cmd.MarkFlagRequired(name)
	}
	return cmd
}

func requestCert(pair ca.Pair, identity, out string, dryRun bool) (*issued, error) {
	text, err := ca.ReadFile(pair.Cert)
	switch {
	case errors.Is(err, fs.ErrNotExist) && identity == "":
		return nil, fmt.Errorf("%s is not there: give --identity", pair.Cert)
	case err != nil && !errors.Is(err, fs.ErrNotExist):
		return nil, fmt.Errorf("--cert: %w", err)
	case err == nil:
		have, err := describe(text)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", pair.Cert, err)
		}
		if identity != "" && identity != have.Identity {
			return nil, fmt.Errorf("%s is of %s, not of %s", pair.Cert, have.Identity, identity)
		}
		identity = have.Identity
	}
	id, err := link.ReadIdentity(identity)
	if err != nil {
		return nil, err
	}
	done := &issued{Identity: id.String(), Files: []string{out}, Done: !dryRun}
	if dryRun {
		return done, nil
	}
	request, err := pair.Request(id.URI())
	if err != nil {
		return nil, err
	}
	return done, ca.ReplaceFile(out, ca.RequestPEM(request), 0o644)
}

func newCertSignCommand() *cobra.Command {
	var (
		f                       issuerFlags
		request, identity, cert string
		grants                  []string
	)
	cmd := &cobra.Command{
		Use:   "sign --request F --identity spiffe://… --ca-cert F --ca-key F --cert F",
		Short: "Sign a request for a certificate, where the authority's key is",
		Long: `Sign a request for a certificate, where the authority's key is. --identity is what you
want to certify: a request for any other is refused. The certificate is no secret, either.`,
		Example: `  staffetta admin cert sign --request ada.csr --identity spiffe://italia/operator/ada \
    --ca-cert ca.crt --ca-key ca.key --cert ada.crt`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			done, err := f.sign(request, identity, cert, grants)
			if err != nil {
				return fmt.Errorf("cert sign: %w", err)
			}
			return cli.PrintReport(cmd.OutOrStdout(), f.asJSON, done, done.text)
		},
	}
	f.register(cmd)
	flags := cmd.Flags()
	flags.StringVar(&request, "request", "", "file with the request")
	flags.StringVar(&identity, "identity", "", "for whom it must be")
	flags.StringSliceVar(&grants, "grant", nil, "what an operator's certificate allows, such as "+
		"operator:lazio; may be repeated")
	flags.StringVar(&cert, "cert", "",
		"file to write the certificate to; one that is there is replaced")
	for _, name := range []string{"request", "identity", "cert"} {
		cmd.MarkFlagRequired(name)
	}
	return cmd
}

func (f *issuerFlags) sign(requestFile, identity, certFile string, allowed []string) (*issued,
	error) {
	id, err := link.ReadIdentity(identity)
	if err != nil {
		return nil, fmt.Errorf("--identity: %w", err)
	}
	grants, err := parseGrants(id, allowed)
	if err != nil {
		return nil, err
	}
	authority, err := f.authority()
	if err != nil {
		return nil, err
	}
	text, err := ca.ReadFile(requestFile)
	if err != nil {
		return nil, fmt.Errorf("--request: %w", err)
	}
	request, err := ca.ParseRequestPEM(text)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", requestFile, err)
	}
	cert, err := f.certify(authority, request, id, grants)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", requestFile, err)
	}
	done, err := describe(cert, certFile)
	if done.Done = !f.dryRun; err != nil || f.dryRun {
		return &done, err
	}
	return &done, ca.ReplaceFile(certFile, cert, 0o644)
}

// certify makes the certificate that a request asks for, PEM.
func (f *issuerFlags) certify(authority *ca.CA, request []byte, id link.Identity,
	grants link.Grants) ([]byte, error) {
	from, err := f.from()
	if err != nil {
		return nil, err
	}
	der, err := authority.SignFrom(request, id.URI(), from, time.Duration(f.days)*day,
		grants.Units()...)
	if err != nil {
		return nil, err
	}
	return ca.CertificatePEM(der)
}

// installFlags say what takes whose place.
type installFlags struct {
	pair             ca.Pair
	caFile           string
	signed, withRoot string
	asJSON, dryRun   bool
}

func newCertInstallCommand() *cobra.Command {
	var f installFlags
	cmd := &cobra.Command{
		Use:   "install --signed F --cert F --key F --ca F",
		Short: "Put a certificate and the key that waits for it in place, on its machine",
		Long: `Put a certificate, which was signed for a request of "cert request", and the key that waits
for it in place of those in use. A running process takes them up within ten seconds, without a
restart or a dropped request. It is refused when the authorities in --ca would not believe the
certificate; --with-ca adds those of a file to them, which the federation's list should have
first.`,
		Example: `  staffetta admin cert install --signed lazio-1.new.crt --cert lazio-1.crt \
    --key lazio-1.key --ca ca.crt`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			done, err := f.install()
			if err != nil {
				return fmt.Errorf("cert install: %w", err)
			}
			return cli.PrintReport(cmd.OutOrStdout(), f.asJSON, done, done.text)
		},
	}
	flags := cmd.Flags()
	flags.StringVar(&f.signed, "signed", "", "file with the new certificate (PEM)")
	flags.StringVar(&f.pair.Cert, "cert", "", "file of the certificate in use")
	flags.StringVar(&f.pair.Key, "key", "", "file of its key")
	flags.StringVar(&f.caFile, "ca", "", "file with the authorities that the process believes")
	flags.StringVar(&f.withRoot, "with-ca", "", "file with authorities to add to those in --ca")
	flags.BoolVar(&f.asJSON, "json", false, "print JSON")
	flags.BoolVar(&f.dryRun, "dry-run", false, "check everything, and write nothing")
	for _, name := range []string{"signed", "cert", "key", "ca"} {
		cmd.MarkFlagRequired(name)
	}
	return cmd
}

func (f *installFlags) install() (*issued, error) {
	cert, err := ca.ReadFile(f.signed)
	if err != nil {
		return nil, fmt.Errorf("--signed: %w", err)
	}
	done, err := describe(cert, f.pair.Cert, f.pair.Key)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", f.signed, err)
	}
	if old, err := ca.ReadFile(f.pair.Cert); err == nil {
		if have, err := describe(old); err == nil && have.Identity != done.Identity {
			return nil, fmt.Errorf("%s is of %s, and %s of %s", f.signed, done.Identity, f.pair.Cert,
				have.Identity)
		}
	}
	roots, text, err := f.authorities()
	if err != nil {
		return nil, err
	}
	if err := verifies(f.signed, roots); err != nil {
		return nil, fmt.Errorf("%s would not be believed: %w; --with-ca adds an authority", f.signed, err)
	}
	if done.Done = !f.dryRun; f.dryRun {
		return &done, nil
	}
	if text != nil {
		if err := ca.ReplaceFile(f.caFile, text, 0o644); err != nil {
			return nil, err
		}
		done.Files = append(done.Files, f.caFile)
	}
	return &done, f.pair.Install(cert)
}

// authorities are those of --ca and --with-ca, and the file that has them all; nil when that is
// there already.
func (f *installFlags) authorities() (*x509.CertPool, []byte, error) {
	roots, err := link.ReadAuthorities(f.caFile)
	if err != nil {
		return nil, nil, fmt.Errorf("--ca: %w", err)
	}
	have := len(roots)
	if f.withRoot != "" {
		more, err := link.ReadAuthorities(f.withRoot)
		if err != nil {
			return nil, nil, fmt.Errorf("--with-ca: %w", err)
		}
		for _, root := range more {
			if !containsCert(roots, root) {
				roots = append(roots, root)
			}
		}
	}
	pool := x509.NewCertPool()
	var text bytes.Buffer
	for _, root := range roots {
		pool.AddCert(root)
		pem.Encode(&text, &pem.Block{Type: "CERTIFICATE", Bytes: root.Raw}) // memory does not fail
	}
	if len(roots) == have {
		return pool, nil, nil
	}
	return pool, text.Bytes(), nil
}

func containsCert(list []*x509.Certificate, cert *x509.Certificate) bool {
	for _, c := range list {
		if c.Equal(cert) {
			return true
		}
	}
	return false
}
