package admin

import (
	"bytes"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"
	"github.com/staffetta/staffetta/cmd/internal/cli"
	"github.com/staffetta/staffetta/internal/ca"
	"github.com/staffetta/staffetta/wire"
	"github.com/staffetta/staffetta/wire/link"
)

func newCAForgetCommand() *cobra.Command {
	var (
		caFile, certFile string
		asJSON, dryRun   bool
	)
	cmd := &cobra.Command{
		Use:   "forget FINGERPRINT --ca FILE --cert FILE",
		Short: "Take an authority out of a process's own file, on its machine",
		Long: `Take an authority out of a process's own file, which is replaced by a rename; the process
believes it no more within a second, unless the federation's list has it. It is refused when the
process's own certificate could not be verified with those that would be left.`,
		Example: `  staffetta admin ca forget 29b3e261be33d548 --ca ca.crt --cert lazio-1.crt`,
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			done, err := forgetCA(args[0], caFile, certFile, dryRun)
			if err != nil {
				return fmt.Errorf("ca forget: %w", err)
			}
			return cli.PrintReport(cmd.OutOrStdout(), asJSON, done, done.text)
		},
	}
	cmd.Flags().StringVar(&caFile, "ca", "", "file with the authorities that the process believes")
	cmd.Flags().StringVar(&certFile, "cert", "", "file with the process's certificate")
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	cmd.Flags().BoolVar(&dryRun, "dry-run", false, "say what would be done, and do nothing")
	cmd.MarkFlagRequired("ca")
	cmd.MarkFlagRequired("cert")
	return cmd
}

func forgetCA(digits, caFile, certFile string, dryRun bool) (*trustChange, error) {
	roots, err := link.ReadAuthorities(caFile)
	if err != nil {
		return nil, err
	}
	all := &wire.Map{}
	for _, root := range roots {
		all.Trust.Roots = append(all.Trust.Roots, root.Raw)
	}
	f, listed, err := findRoot(all, nil, digits)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", caFile, err)
	}
	done := &trustChange{Action: "forget", Subjects: []string{f.String() + " in " + caFile},
		Done: !dryRun}
	if !listed { // all its digits were given, and the file does not name it
		return done, nil
	}
	var left bytes.Buffer
	pool := x509.NewCertPool()
	for _, root := range roots {
		if wire.FingerprintOf(root.Raw) != f {
			pem.Encode(&left, &pem.Block{Type: "CERTIFICATE", Bytes: root.Raw}) // memory does not fail
			pool.AddCert(root)
		}
	}
	if err := verifies(certFile, pool); err != nil {
		return nil, fmt.Errorf("%s would not be believed without it, renew it first: %w", certFile, err)
	}
	if dryRun {
		return done, nil
	}
	return done, ca.ReplaceFile(caFile, left.Bytes(), 0o644)
}

// verifies says why a certificate does not come from one of the authorities.
func verifies(certFile string, roots *x509.CertPool) error {
	text, err := ca.ReadFile(certFile)
	if err != nil {
		return err
	}
	chain := x509.NewCertPool()
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
	_, err = leaf.Verify(x509.VerifyOptions{Roots: roots, Intermediates: chain,
		CurrentTime: time.Now(), KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageAny}})
	if unknown := (x509.UnknownAuthorityError{}); errors.As(err, &unknown) {
		return fmt.Errorf("its issuer %s is not among those left", leaf.Issuer)
	}
	return err
}
