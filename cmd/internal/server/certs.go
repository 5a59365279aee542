package server

import (
	"github.com/spf13/cobra"
	"github.com/staffetta/staffetta/internal/ca"
	"github.com/staffetta/staffetta/internal/renewal"
	"github.com/staffetta/staffetta/wire/link"
)

// certFlags name a process's certificate.
type certFlags struct{ cert, key, ca string }

// registerRenew adds the flag of processes whose certificate is renewed while they run.
func registerRenew(cmd *cobra.Command, renew *bool) {
	cmd.Flags().BoolVar(renew, "renew", true, "have the certificate renewed by the region's renewer "+
		"(admin cert serve) when a third of its life is left; =false where something else writes "+
		"its files")
}

// renewed are the files that a process renews itself; none unless it is to.
func (f *certFlags) renewed(renew bool) renewal.Files {
	if !renew {
		return renewal.Files{}
	}
	return renewal.Files{Cert: f.cert, Key: f.key}
}

func (f *certFlags) register(cmd *cobra.Command) {
	f.registerOptional(cmd)
	for _, name := range []string{"cert", "key", "ca"} {
		cmd.MarkFlagRequired(name)
	}
}

// registerOptional is register for a process that may have its certificate from elsewhere.
func (f *certFlags) registerOptional(cmd *cobra.Command) {
	cmd.Flags().StringVar(&f.cert, "cert", "", "file with this process's certificate (PEM); "+
		"its URI says who it is")
	cmd.Flags().StringVar(&f.key, "key", "", "file with the certificate's key (PEM)")
	cmd.Flags().StringVar(&f.ca, "ca", "", "file with the federation's authorities (PEM)")
}

// load reads the files, or says what is wrong with them. A new certificate in their place is
// taken up without a restart. An empty federation stands for the certificate's.
func (f *certFlags) load(federation string) (*link.Credentials, error) {
	if err := (ca.Pair{Cert: f.cert, Key: f.key}).Recover(); err != nil {
		return nil, err
	}
	return link.LoadCertificate(f.cert, f.key, f.ca, federation)
}
