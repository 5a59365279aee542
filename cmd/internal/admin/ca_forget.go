package admin

import (
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/spf13/cobra"
	"github.com/staffetta/staffetta/internal/ca"
	"github.com/staffetta/staffetta/wire"
	"github.com/staffetta/staffetta/wire/link"
)

func newCAForgetCommand() *cobra.Command {
	var caFile, certFile string
	return command{
		use:   "forget FINGERPRINT --ca FILE --cert FILE",
		short: "Take an authority out of a process's own file, on its machine",
		long: `Take an authority out of a process's own file, which is replaced by a rename; the process
believes it no more within a second, unless the federation's list has it. It is refused when the
process's own certificate could not be verified with those that would be left.`,
		example: `  staffetta admin ca forget 29b3e261be33d548 --ca ca.crt --cert lazio-1.crt`,
		args:    cobra.ExactArgs(1),
		dry:     dryDo,
		flags: func(f *flagSet) {
			f.need(&caFile, "ca", "file with the authorities that the process believes")
			f.need(&certFile, "cert", "file with the process's certificate")
		},
		do: func(c *invocation) (report, error) {
			return forgetCA(c.dry, c.args[0], caFile, certFile)
		},
	}.build()
}

func forgetCA(dry bool, digits, caFile, certFile string) (*trustChange, error) {
	roots, err := link.ReadAuthorities(caFile)
	if err != nil {
		return nil, err
	}
	all := &wire.Map{}
	for _, root := range roots {
		all.Trust.Authorities = append(all.Trust.Authorities, root.Raw)
	}
	f, listed, err := findAuthority(all, nil, digits)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", caFile, err)
	}
	done := &trustChange{Action: "forget", Subjects: []string{f.String() + " in " + caFile},
		Done: !dry}
	if !listed { // all its digits were given, and the file does not name it
		return done, nil
	}
	left := slices.DeleteFunc(roots,
		func(root *x509.Certificate) bool { return wire.FingerprintOf(root.Raw) == f })
	if err := checkIssued(certFile, left); err != nil {
		return nil, fmt.Errorf("%s would not be believed without it, renew it first: %w", certFile, err)
	}
	return done, write(dry, file{caFile, 0o644, authoritiesPEM(left)})
}

// checkIssued says why a certificate does not come from one of the authorities.
func checkIssued(certFile string, roots []*x509.Certificate) error {
	text, err := ca.ReadFile(certFile)
	if err != nil {
		return err
	}
	believed, chain := x509.NewCertPool(), x509.NewCertPool()
	for _, root := range roots {
		believed.AddCert(root)
	}
	var leaf *x509.Certificate
	for block, rest := pem.Decode(text); block != nil; block, rest = pem.Decode(rest) {
		cert, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return fmt.Errorf("%s: %w", certFile, err)
		}
		if leaf == nil {
			leaf = cert
		}
		chain.AddCert(cert)
	}
	if leaf == nil {
		return fmt.Errorf("%s: no PEM certificate", certFile)
	}
	_, err = leaf.Verify(x509.VerifyOptions{Roots: believed, Intermediates: chain,
		CurrentTime: time.Now(), KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageAny}})
	if unknown := (x509.UnknownAuthorityError{}); errors.As(err, &unknown) {
		return fmt.Errorf("its issuer %s is not among those left", leaf.Issuer)
	}
	return err
}
