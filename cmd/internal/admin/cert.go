package admin

import (
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"time"

	"github.com/spf13/cobra"
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

const (
	day = 24 * time.Hour
	// daysMax is the longest life of a certificate that is no authority's, in days.
	daysMax = int(ca.LifeMax / day)
)

func newCertCommand() *cobra.Command {
	return group("cert",
		"Request, sign and install certificates, for a federation that uses an external authority",
		newCertRequestCommand(), newCertSignCommand(), newCertInstallCommand(),
		newCertIssueCommand(), newCertRenewCommand(), newCertServeCommand())
}

func (i *issued) text(p *page) {
	valid := ""
	if i.Expires != "" { // not for a request
		valid = ", valid until " + i.Expires
	}
	if !i.Done {
		p.printf("nothing written: %s%s\n", i.Identity, valid)
		return
	}
	p.printf("%s\n", i.Identity)
	if i.Expires != "" {
		p.printf("  valid from %s until %s\n  fingerprint %s\n", i.ValidFrom, i.Expires, i.Fingerprint)
	}
	for _, f := range i.Files {
		p.printf("  %s\n", f)
	}
}

// readPEM reads a certificate, PEM.
func readPEM(certPEM []byte) (*x509.Certificate, error) {
	block, _ := pem.Decode(certPEM)
	if block == nil || block.Type != "CERTIFICATE" {
		return nil, errors.New("no PEM certificate")
	}
	return x509.ParseCertificate(block.Bytes)
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

// describe tells of a certificate, PEM.
func describe(certPEM []byte, files ...string) (*issued, error) {
	cert, err := readPEM(certPEM)
	if err != nil {
		return nil, err
	}
	name := cert.Subject.String()
	if len(cert.URIs) == 1 {
		name = cert.URIs[0].String()
	}
	return &issued{Identity: name, Fingerprint: wire.FingerprintOf(cert.Raw).String(),
		ValidFrom: cert.NotBefore.UTC().Format(time.RFC3339),
		Expires:   cert.NotAfter.UTC().Format(time.RFC3339), Files: files, Done: true}, nil
}

// file is what is written to a path, and the mode that it has.
type file struct {
	path string
	mode os.FileMode
	text []byte
}

// write writes files, in this order, unless a command is only asked what it would do.
func write(dry bool, files ...file) error {
	for _, f := range files {
		if dry {
			break
		}
		if err := ca.ReplaceFile(f.path, f.text, f.mode); err != nil {
			return err
		}
	}
	return nil
}

// issuerFlags name the authority that issues, and for how long.
type issuerFlags struct {
	caCert, caKey string
	days          int
	begin         string
}

func (f *issuerFlags) register(s *flagSet) {
	f.registerAuthority(s, "", fmt.Sprintf("days that the certificate is valid, 1-%d, and not "+
		"longer than the authority", daysMax))
	s.StringVar(&f.begin, "valid-from", "", "now, or a time such as 2026-11-01T00:00:00Z; "+
		"without it five minutes ago, for peers whose clock is behind; who was just revoked needs now")
	s.required("ca-cert", "ca-key")
}

func (f *issuerFlags) registerAuthority(s *flagSet, besides, days string) {
	s.StringVar(&f.caCert, "ca-cert", "", "file with the authority's certificate (PEM)"+besides)
	s.StringVar(&f.caKey, "ca-key", "", "file with the authority's key (PEM, PKCS #8)")
	s.IntVar(&f.days, "days", certDaysDefault, days)
}

// life is how long a certificate is to be valid.
func (f *issuerFlags) life() time.Duration { return time.Duration(f.days) * day }

func (f *issuerFlags) authority() (*ca.CA, error) {
	if err := checkDays(f.days, daysMax); err != nil {
		return nil, err
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

func checkDays(days, most int) error {
	if days < 1 || days > most {
		return fmt.Errorf("--days %d is not 1-%d", days, most)
	}
	return nil
}

func newCertIssueCommand() *cobra.Command {
	var (
		f                           issuerFlags
		identity, certFile, keyFile string
		grants                      []string
	)
	return command{
		use:   "issue --identity spiffe://… --ca-cert F --ca-key F --cert F --key F",
		short: "Create a key and a certificate for a node, gateway or operator",
		long: `Make a key (ECDSA P-256) and a certificate for a node, gateway or operator, and write
both to files that do not exist yet.

What an operator may do stands in its certificate: rights in regions, or in all of them (*).
  observer:R   looks
  operator:R   keeps things working: slots, moves, restores; in * also services and upgrades
  member:R     says who belongs to it: nodes, gateways, certificates; in * also authorities
  data:R       reads what is a citizen's: copies, explanations`,
		example: `  staffetta admin cert issue --identity spiffe://italia/operator/ada \
    --grant operator:lazio --grant member:lazio \
    --ca-cert ca.pem --ca-key ca.key --cert ada.pem --key ada.key`,
		dry: dryWrite,
		flags: func(s *flagSet) {
			f.register(s)
			s.need(&identity, "identity", identityHelp)
			s.need(&certFile, "cert", "file to write the certificate to")
			s.need(&keyFile, "key", "file to write its key to")
			s.StringSliceVar(&grants, "grant", nil, "what an operator may do, RIGHT:REGION or RIGHT:*, "+
				"with observer, operator, member or data; may be repeated")
		},
		do: func(c *invocation) (report, error) {
			return f.issue(c.dry, identity, certFile, keyFile, grants)
		},
	}.build()
}

// identityHelp is the help of --identity.
const identityHelp = "whose: spiffe://FEDERATION/region/REGION/node/NAME, " +
	"…/region/REGION/gateway/NAME or …/operator/NAME"

func (f *issuerFlags) issue(dry bool, identity, certFile, keyFile string, granted []string) (
	*issued, error) {
	id, grants, authority, err := f.toIssue(identity, granted)
	if err != nil {
		return nil, err
	}
	if err := absent(": `cert renew` replaces a certificate", certFile, keyFile); err != nil {
		return nil, err
	}
	certPEM, keyPEM, err := f.make(authority, id, grants)
	if err != nil {
		return nil, err
	}
	return placePair(dry, certFile, certPEM, keyFile, keyPEM)
}

// placePair writes a certificate and its key, both new. The key first: a certificate without one
// cannot be used.
func placePair(dry bool, certFile string, cert []byte, keyFile string, key []byte) (*issued,
	error) {
	done, err := describe(cert, certFile, keyFile)
	if err != nil {
		return nil, err
	}
	done.Done = !dry
	return done, write(dry, file{keyFile, 0o600, key}, file{certFile, 0o644, cert})
}

// toIssue reads for whom a certificate is to be, and by which authority.
func (f *issuerFlags) toIssue(identity string, granted []string) (id link.Identity,
	grants link.Grants, authority *ca.CA, err error) {
	if id, grants, err = parseIdentity(identity, granted); err == nil {
		authority, err = f.authority()
	}
	return id, grants, authority, err
}

// absent refuses files that are there.
func absent(instead string, files ...string) error {
	for _, f := range files {
		if _, err := os.Lstat(f); !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("%s exists already%s", f, instead)
		}
	}
	return nil
}

// parseIdentity reads --identity and --grant: for whom a certificate is, and what it is to allow.
// Only operators have grants, and every one of them has: without any it could do nothing.
func parseIdentity(text string, granted []string) (id link.Identity, grants link.Grants,
	err error) {
	if id, err = link.ReadIdentity(text); err != nil {
		return id, nil, fmt.Errorf("--identity: %w", err)
	}
	if (id.Role == link.RoleOperator) != (len(granted) > 0) {
		return id, nil, errors.New("--grant: an operator needs at least one, such as " +
			"operator:lazio, and nobody else has any")
	}
	for _, text := range granted {
		g, err := link.ParseGrant(text)
		if err != nil {
			return id, nil, fmt.Errorf("--grant: %w", err)
		}
		grants = append(grants, g)
	}
	return id, grants, nil
}

func (f *issuerFlags) make(authority *ca.CA, id link.Identity, grants link.Grants) (
	certPEM, keyPEM []byte, err error) {
	from, err := f.from()
	if err != nil {
		return nil, nil, err
	}
	return authority.IssueFrom(id.URI(), from, f.life(), grants.Units()...)
}

// renewFlags are what `cert renew` is given.
type renewFlags struct {
	issuerFlags
	certFile, keyFile, caFile string
	within                    int
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
	var f renewFlags
	return command{
		use:   "renew --cert F --key F --ca-cert F --ca-key F",
		short: "Replace a certificate and its key by new ones for the same identity",
		long: `Replace a certificate and its key by new ones for the same identity. The files are
replaced by renaming, so that a running process never reads half of one; it takes the new ones up
within ten seconds, without a restart or a dropped request. With --within it does nothing until
few days are left, and can be run every day.`,
		example: `  staffetta admin cert renew --cert node.pem --key node.key --ca ca.pem \
    --ca-cert new-ca.pem --ca-key new-ca.key --within 30`,
		dry: dryWrite,
		flags: func(s *flagSet) {
			f.register(s)
			s.need(&f.certFile, "cert", "file with the certificate (PEM)")
			s.need(&f.keyFile, "key", "file with its key")
			s.StringVar(&f.caFile, "ca", "", "file of authorities of the same process, to which the "+
				"issuing one is added if it is missing there")
			s.IntVar(&f.within, "within", 0,
				"renew only when so many days or fewer are left; 0: always")
		},
		do: func(c *invocation) (report, error) { return f.renew(c.dry) },
	}.build()
}

func (f *renewFlags) renew(dry bool) (*issued, error) {
	if f.within < 0 {
		return nil, fmt.Errorf("--within %d is negative", f.within)
	}
	authority, err := f.authority()
	if err != nil {
		return nil, err
	}
	old, err := ca.ReadFile(f.certFile)
	if err != nil {
		return nil, fmt.Errorf("--cert: %w", err)
	}
	if _, err := os.Stat(f.keyFile); err != nil {
		return nil, fmt.Errorf("--key: %w", err)
	}
	have, err := readPEM(old)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", f.certFile, err)
	}
	done, err := describe(old, f.certFile, f.keyFile)
	if err != nil {
		return nil, err
	}
	id, err := link.ReadIdentity(done.Identity)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", f.certFile, err)
	}
	done.Done = false
	if f.within > 0 && time.Until(have.NotAfter) > time.Duration(f.within)*day {
		return done, nil
	}
	roots, err := withAuthority(f.caFile, authority)
	if err != nil {
		return nil, err
	}
	grants, err := link.GrantsOf(have) // its successor has the same
	if err != nil {
		return nil, fmt.Errorf("%s: %w", f.certFile, err)
	}
	certPEM, keyPEM, err := f.make(authority, id, grants)
	if err != nil || dry {
		return done, err
	}
	// In this order every state between is one that a process can tell: it goes on with what it
	// has until all three belong together.
	if roots != nil {
		if err := write(false, file{f.caFile, 0o644, roots}); err != nil {
			return nil, err
		}
	}
	return placePair(false, f.certFile, certPEM, f.keyFile, keyPEM)
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
	added := authority.Authorities()[0]
	if slices.ContainsFunc(roots, added.Equal) {
		return nil, nil
	}
	return append(authoritiesPEM(roots), authority.CertPEM()...), nil
}

// authoritiesPEM is the file of some authorities.
func authoritiesPEM(roots []*x509.Certificate) (text []byte) {
	for _, root := range roots {
		text = append(text, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: root.Raw})...)
	}
	return text
}

func newCACreateCommand() *cobra.Command {
	var (
		federation, certFile, keyFile string
		days                          int
	)
	return command{
		use:   "create --federation NAME --ca-cert F --ca-key F",
		short: "Create a new authority: a key and a self-signed certificate",
		dry:   dryWrite,
		flags: func(f *flagSet) {
			f.need(&federation, "federation", "the federation's name")
			f.need(&certFile, "ca-cert", "file to write the certificate to")
			f.need(&keyFile, "ca-key", "file to write the key to, which opens the "+
				"federation to whoever has it: keep it off the machines that run it")
			f.IntVar(&days, "days", caDaysDefault,
				fmt.Sprintf("days of validity, 1-%d", caDaysMax))
		},
		do: func(c *invocation) (report, error) {
			return createCA(c.dry, federation, certFile, keyFile, days)
		},
	}.build()
}

func createCA(dry bool, federation, certFile, keyFile string, days int) (*issued, error) {
	if !wire.RegionID(federation).Valid() {
		return nil, fmt.Errorf("--federation %q is not 1-%d of [a-z0-9-], a letter first", federation,
			wire.NameBytesMax)
	}
	if err := checkDays(days, caDaysMax); err != nil {
		return nil, err
	}
	if err := absent("", certFile, keyFile); err != nil {
		return nil, err
	}
	authority, err := ca.New(federation, time.Duration(days)*day)
	if err != nil {
		return nil, err
	}
	return placePair(dry, certFile, authority.CertPEM(), keyFile, authority.KeyPEM())
}
