package admin

import (
	"crypto/x509"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"time"

	"github.com/spf13/cobra"
	"github.com/staffetta/staffetta/internal/ca"
	"github.com/staffetta/staffetta/wire/link"
)

func newCertRequestCommand() *cobra.Command {
	var (
		pair          ca.Pair
		identity, out string
	)
	return command{
		use:   "request --cert F --key F --out F [--identity spiffe://…]",
		short: "Create a key on the machine that will use it, and a certificate request",
		long: `Make a key (ECDSA P-256) on the machine that will use it, and a request (PKCS #10, PEM)
for its certificate. The request is no secret: have it signed where the authority's key is, by
"cert sign" or any other authority, and bring the certificate back for "cert install". Until then
the new key waits beside --key, in a file of that name with .next behind it, and what runs goes on
with what it has. The same command again makes a request of the same key.

The identity is the one of the certificate in --cert, when that is there.`,
		example: `  staffetta admin cert request --identity spiffe://italia/operator/ada \
    --cert ada.crt --key ada.key --out ada.csr
  staffetta admin cert request --cert lazio-1.crt --key lazio-1.key --out lazio-1.csr`,
		dry: dryWrite,
		flags: func(f *flagSet) {
			f.need(&pair.Cert, "cert", "file of the certificate, as it is or will be")
			f.need(&pair.Key, "key", "file of its key, as it is or will be")
			f.need(&out, "out", "file to write the request to")
			f.StringVar(&identity, "identity", "", identityHelp)
		},
		do: func(c *invocation) (report, error) { return requestCert(c.dry, pair, identity, out) },
	}.build()
}

func requestCert(dry bool, pair ca.Pair, identity, out string) (*issued, error) {
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
	done := &issued{Identity: id.String(), Files: []string{out}, Done: !dry}
	if dry {
		return done, nil
	}
	request, err := pair.Request(id.URI())
	if err != nil {
		return nil, err
	}
	return done, write(false, file{out, 0o644, ca.RequestPEM(request)})
}

func newCertSignCommand() *cobra.Command {
	var (
		f                       issuerFlags
		request, identity, cert string
		grants                  []string
	)
	return command{
		use:   "sign --request F --identity spiffe://… --ca-cert F --ca-key F --cert F",
		short: "Sign a request for a certificate, where the authority's key is",
		long: `Sign a request for a certificate, where the authority's key is. --identity is what you
want to certify: a request for any other is refused. The certificate is no secret, either.`,
		example: `  staffetta admin cert sign --request ada.csr --identity spiffe://italia/operator/ada \
    --ca-cert ca.crt --ca-key ca.key --cert ada.crt`,
		dry: dryWrite,
		flags: func(s *flagSet) {
			f.register(s)
			s.need(&request, "request", "file with the request")
			s.need(&identity, "identity", "for whom it must be")
			s.StringSliceVar(&grants, "grant", nil, "what an operator's certificate allows, such as "+
				"operator:lazio; may be repeated")
			s.StringVar(&cert, "cert", "",
				"file to write the certificate to; an existing one is replaced")
			s.required("cert")
		},
		do: func(c *invocation) (report, error) {
			return f.sign(c.dry, request, identity, cert, grants)
		},
	}.build()
}

func (f *issuerFlags) sign(dry bool, requestFile, identity, certFile string, granted []string) (
	*issued, error) {
	id, grants, authority, err := f.toIssue(identity, granted)
	if err != nil {
		return nil, err
	}
	text, err := ca.ReadFile(requestFile)
	if err != nil {
		return nil, fmt.Errorf("--request: %w", err)
	}
	from, err := f.from()
	if err != nil {
		return nil, err
	}
	cert, err := signRequest(authority, text, id, from, f.life(), grants.Units()...)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", requestFile, err)
	}
	done, err := describe(cert, certFile)
	if err != nil {
		return nil, err
	}
	done.Done = !dry
	return done, write(dry, file{certFile, 0o644, cert})
}

// signRequest makes the certificate that a request asks for. Both are PEM.
func signRequest(authority *ca.CA, request []byte, id link.Identity, from time.Time,
	life time.Duration, units ...string) ([]byte, error) {
	der, err := ca.ParseRequestPEM(request)
	if err != nil {
		return nil, err
	}
	if der, err = authority.SignFrom(der, id.URI(), from, life, units...); err != nil {
		return nil, err
	}
	return ca.CertificatePEM(der)
}

// installFlags say what takes whose place.
type installFlags struct {
	pair                  ca.Pair
	caFile                string
	signed, withAuthority string
}

func newCertInstallCommand() *cobra.Command {
	var f installFlags
	return command{
		use:   "install --signed F --cert F --key F --ca F",
		short: "Install a signed certificate and its waiting key, on the machine that uses them",
		long: `Put a certificate, which was signed for a request of "cert request", and the key that waits
for it in place of those in use. A running process takes them up within ten seconds, without a
restart or a dropped request. It is refused when the authorities in --ca would not believe the
certificate; --with-ca adds those of a file to them, which the federation's list should have
first.`,
		example: `  staffetta admin cert install --signed lazio-1.new.crt --cert lazio-1.crt \
    --key lazio-1.key --ca ca.crt`,
		dry: dryWrite,
		flags: func(s *flagSet) {
			s.need(&f.signed, "signed", "file with the new certificate (PEM)")
			s.need(&f.pair.Cert, "cert", "file of the certificate in use")
			s.need(&f.pair.Key, "key", "file of its key")
			s.need(&f.caFile, "ca", "file with the authorities that the process believes")
			s.StringVar(&f.withAuthority, "with-ca", "", "file with authorities to add to those in --ca")
		},
		do: func(c *invocation) (report, error) { return f.install(c.dry) },
	}.build()
}

func (f *installFlags) install(dry bool) (*issued, error) {
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
	roots, added, err := f.authorities()
	if err != nil {
		return nil, err
	}
	if err := checkIssued(f.signed, roots); err != nil {
		return nil, fmt.Errorf("%s would not be believed: %w; --with-ca adds an authority", f.signed, err)
	}
	if done.Done = !dry; dry {
		return done, nil
	}
	if added {
		if err := write(false, file{f.caFile, 0o644, authoritiesPEM(roots)}); err != nil {
			return nil, err
		}
		done.Files = append(done.Files, f.caFile)
	}
	return done, f.pair.Install(cert)
}

// authorities are those of --ca and --with-ca, and whether some of them are new to --ca.
func (f *installFlags) authorities() (roots []*x509.Certificate, added bool, err error) {
	if roots, err = link.ReadAuthorities(f.caFile); err != nil {
		return nil, false, fmt.Errorf("--ca: %w", err)
	}
	if f.withAuthority == "" {
		return roots, false, nil
	}
	more, err := link.ReadAuthorities(f.withAuthority)
	if err != nil {
		return nil, false, fmt.Errorf("--with-ca: %w", err)
	}
	for _, root := range more {
		if !slices.ContainsFunc(roots, root.Equal) {
			roots, added = append(roots, root), true
		}
	}
	return roots, added, nil
}
