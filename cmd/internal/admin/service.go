package admin

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"
	"github.com/staffetta/staffetta/cmd/internal/cli"
	"github.com/staffetta/staffetta/internal/fiscalcode"
	"github.com/staffetta/staffetta/internal/operator"
	"github.com/staffetta/staffetta/node/federation"
	"github.com/staffetta/staffetta/testcluster/process"
	"github.com/staffetta/staffetta/wire"
)

// serviceFile is a service as operators write it, in the contract's words. Its recipients come
// from a file of their own, and its keys from `key rotate`.
type serviceFile struct {
	ID                    string          `json:"service_id"`
	Institution           string          `json:"organization_fiscal_code"`
	Name                  string          `json:"service_name"`
	Department            string          `json:"department_name,omitempty"`
	RequireSecureChannels bool            `json:"require_secure_channels,omitempty"`
	CIDRs                 []string        `json:"authorized_cidrs,omitempty"`
	MaxPayment            uint64          `json:"max_allowed_payment_amount"`
	Metadata              serviceMetadata `json:"service_metadata"`
}

type serviceMetadata struct {
	Scope       string `json:"scope,omitempty"`
	Description string `json:"description,omitempty"`
	PrivacyURL  string `json:"privacy_url,omitempty"`
	WebURL      string `json:"web_url,omitempty"`
	TosURL      string `json:"tos_url,omitempty"`
	Email       string `json:"email,omitempty"`
	PEC         string `json:"pec,omitempty"`
	Phone       string `json:"phone,omitempty"`
	SupportURL  string `json:"support_url,omitempty"`
	Address     string `json:"address,omitempty"`
}

func (f *serviceFile) service() wire.Service {
	return wire.Service{ID: wire.ServiceID(f.ID), Institution: wire.InstitutionID(f.Institution),
		Name: f.Name, Department: f.Department, RequireSecureChannels: f.RequireSecureChannels,
		AuthorizedCIDRs: f.CIDRs, MaxAllowedPaymentAmount: f.MaxPayment,
		Metadata: wire.ServiceMetadata(f.Metadata)}
}

// serviceReport is a service as it is shown: what can be put again, and what else there is.
type serviceReport struct {
	serviceFile
	Version      uint64 `json:"version"`
	PrimaryKey   string `json:"primary_key"` // set or none
	SecondaryKey string `json:"secondary_key"`
	// Recipients is how many there are; 0: all citizens. List is them, when asked for.
	Recipients int               `json:"authorized_recipients"`
	List       []fiscalcode.Code `json:"authorized_recipients_list,omitempty"`
}

func reportService(s *wire.Service) serviceReport {
	key := func(h wire.KeyHash) string {
		if h == (wire.KeyHash{}) {
			return "none"
		}
		return "set"
	}
	return serviceReport{serviceFile: serviceFile{ID: string(s.ID),
		Institution: string(s.Institution), Name: s.Name, Department: s.Department,
		RequireSecureChannels: s.RequireSecureChannels, CIDRs: s.AuthorizedCIDRs,
		MaxPayment: s.MaxAllowedPaymentAmount, Metadata: serviceMetadata(s.Metadata)},
		Version: s.Version, PrimaryKey: key(s.Keys[wire.PrimaryKey]),
		SecondaryKey: key(s.Keys[wire.SecondaryKey]), Recipients: len(s.AuthorizedRecipients)}
}

func newServiceCommand() *cobra.Command {
	cmd := &cobra.Command{Use: "service", Short: "Put, list and show the services that send"}
	cmd.AddCommand(newServicePutCommand(), newServiceListCommand(), newServiceShowCommand())
	return cmd
}

// servicePut is `service put`.
type servicePut struct {
	putFlags
	recipients   string
	noRecipients bool
}

func newServicePutCommand() *cobra.Command {
	var f servicePut
	cmd := &cobra.Command{
		Use:   "put --file FILE [--recipients FILE]",
		Short: "Make a service, or replace it as a whole but for its keys",
		Long: `Make a service, or replace it as a whole but for its keys, from a JSON file in the
contract's words. A new service has no keys: "key rotate" makes them.

  {"service_id": "01KZZZZZZZSERV1CE000000001", "organization_fiscal_code": "80000000010",
   "service_name": "Avvisi", "department_name": "Servizi ai cittadini",
   "authorized_cidrs": ["203.0.113.0/24"], "max_allowed_payment_amount": 100000,
   "require_secure_channels": false, "service_metadata": {"scope": "LOCAL",
     "description": "Avvisi e scadenze.", "privacy_url": "https://comune.example/privacy",
     "web_url": "", "tos_url": "", "email": "urp@comune.example", "pec": "", "phone": "",
     "support_url": "", "address": ""}}

Authorized recipients, for a service that may write to some citizens only, are in a file of their
own, one fiscal code a line. They are hashed and sealed before anything is logged.`,
		Example: `  staffetta admin service put --dir DIR --file service.json --dry-run
  staffetta admin service put --dir DIR --file service.json --recipients pilot.txt`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return f.run(cmd) },
	}
	f.putFlags.register(cmd)
	cmd.Flags().StringVar(&f.recipients, "recipients", "", "file of authorized recipients, one "+
		"fiscal code a line; - for standard input")
	cmd.Flags().BoolVar(&f.noRecipients, "no-recipients", false,
		"the service, which has authorized recipients, may write to all")
	return cmd
}

func (f *servicePut) run(cmd *cobra.Command) error {
	var file serviceFile
	if err := f.read(cmd.InOrStdin(), &file); err != nil {
		return err
	}
	spec := wire.ServiceSpec{Service: file.service()}
	var err error
	if f.recipients != "" {
		if f.recipients == "-" && f.file == "-" {
			return errors.New("--file and --recipients cannot both be standard input")
		}
		if spec.Recipients, err = readRecipients(cmd.InOrStdin(), f.recipients); err != nil {
			return err
		}
	}
	// As the node that takes it would check it: the key of the hashes makes no difference.
	checked, err := federation.NewService(spec, wire.NewHasher(wire.DirectoryKey{}))
	if err != nil {
		return fmt.Errorf("service %q: %w", file.ID, err)
	}
	return f.with(cmd, adminWait, func(ctx context.Context, op *operator.Client) error {
		return f.put(ctx, cmd, op, spec, checked)
	})
}

func (f *servicePut) put(ctx context.Context, cmd *cobra.Command, op *operator.Client,
	spec wire.ServiceSpec, checked *wire.Service) error {
	if _, err := op.Institution(ctx, spec.Service.Institution); err != nil {
		return fmt.Errorf("service %q: its institution %s: %w; put that first", spec.Service.ID,
			spec.Service.Institution, err)
	}
	report := putReport{ID: string(spec.Service.ID), what: "service"}
	after := reportService(checked)
	before, err := op.Service(ctx, spec.Service.ID)
	switch {
	case errors.Is(err, wire.NotFound):
		report.Made = true
	case err != nil:
		return fmt.Errorf("service %q: %w", spec.Service.ID, err)
	default:
		old := reportService(&before.Service)
		if old.Recipients > 0 && f.recipients == "" && !f.noRecipients {
			return fmt.Errorf("service %q may write to %d recipients only: give their file with "+
				"--recipients, or --no-recipients to let it write to all", spec.Service.ID,
				old.Recipients)
		}
		report.Changed = differ(old.serviceFile, after.serviceFile)
		if f.recipients != "" || old.Recipients > 0 {
			report.Changed = append(report.Changed, fmt.Sprintf("authorized_recipients (%d now, "+
				"%d given)", old.Recipients, after.Recipients))
		}
	}
	if f.dryRun { // whom it may write to is not needed for that
		ctx, spec.Recipients = operator.Rehearse(ctx), nil
	}
	if err := op.PutService(ctx, spec); err != nil {
		return fmt.Errorf("put service %q: %w", spec.Service.ID, err)
	}
	report.Done = !f.dryRun
	return cli.PrintReport(cmd.OutOrStdout(), f.asJSON, report, report.text)
}

// recipientsBytesMax bounds the file: as many codes as a service may have, and comments.
const recipientsBytesMax = 1 << 20

// readRecipients reads fiscal codes, one a line; empty lines and what begins with # are left out.
// An error names the line, and never what stands there.
func readRecipients(stdin io.Reader, name string) ([]string, error) {
	in := stdin
	if name != "-" {
		f, err := os.Open(name)
		if err != nil {
			return nil, fmt.Errorf("--recipients: %w", err)
		}
		defer f.Close()
		in = f
	}
	var codes []string
	lines := bufio.NewScanner(io.LimitReader(in, recipientsBytesMax))
	for n := 1; lines.Scan(); n++ {
		line := strings.TrimSpace(lines.Text())
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		if _, err := fiscalcode.Parse(line); err != nil {
			return nil, fmt.Errorf("--recipients: line %d of %s is no fiscal code", n, name)
		}
		codes = append(codes, line)
	}
	if err := lines.Err(); err != nil {
		return nil, fmt.Errorf("--recipients: %s: %w", name, err)
	}
	if len(codes) == 0 {
		return nil, fmt.Errorf("--recipients: %s holds no fiscal code; to let the service write "+
			"to all give --no-recipients", name)
	}
	return codes, nil
}

func newServiceListCommand() *cobra.Command {
	var (
		flags       viewFlags
		institution string
	)
	cmd := &cobra.Command{
		Use:   "list [--institution CODE]",
		Short: "List the services",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if institution != "" && !wire.InstitutionID(institution).Valid() {
				return fmt.Errorf("--institution %q is not eleven digits", institution)
			}
			return flags.with(cmd, adminWait, func(ctx context.Context, op *operator.Client) error {
				list := []serviceReport{}
				q := wire.ListRegistry{Institution: wire.InstitutionID(institution)}
				for {
					page, err := op.Services(ctx, q)
					if err != nil {
						return fmt.Errorf("list services: %w", err)
					}
					if q.After == "" {
						warnStale(cmd.ErrOrStderr(), page.Fresh)
					}
					for i := range page.List {
						list = append(list, reportService(&page.List[i]))
					}
					if q.After = page.Next; q.After == "" {
						break
					}
				}
				return printServices(cmd.OutOrStdout(), flags.asJSON, list)
			})
		},
	}
	flags.register(cmd)
	cmd.Flags().StringVar(&institution, "institution", "", "only those of this institution")
	return cmd
}

// listedService is a service in a list, which knows nothing of recipients.
type listedService struct {
	serviceFile
	Version      uint64 `json:"version"`
	PrimaryKey   string `json:"primary_key"`
	SecondaryKey string `json:"secondary_key"`
}

func printServices(out io.Writer, asJSON bool, list []serviceReport) error {
	listed := []listedService{}
	for _, s := range list {
		listed = append(listed, listedService{s.serviceFile, s.Version, s.PrimaryKey,
			s.SecondaryKey})
	}
	return cli.PrintReport(out, asJSON, listed, func(out io.Writer) error {
		return columns(out, "service\tinstitution\tname\tprimary key\tsecondary key\tversion",
			len(list), func(i int) string {
				s := &list[i]
				return fmt.Sprintf("%s\t%s\t%s\t%s\t%s\t%d", s.ID, s.Institution, s.Name,
					s.PrimaryKey, s.SecondaryKey, s.Version)
			})
	})
}

func newServiceShowCommand() *cobra.Command {
	var (
		flags          viewFlags
		service        string
		showRecipients bool
		keyFile        string
	)
	cmd := &cobra.Command{
		Use:   "show --service ID [--show-recipients --directory-key FILE]",
		Short: "Show a service",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if !wire.ServiceID(service).Valid() {
				return fmt.Errorf("--service %q is not a service id", service)
			}
			return flags.with(cmd, adminWait, func(ctx context.Context, op *operator.Client) error {
				access, err := op.Service(ctx, wire.ServiceID(service))
				if err != nil {
					return fmt.Errorf("show service %q: %w", service, err)
				}
				report := reportService(&access.Service)
				if showRecipients {
					report.List, err = unseal(flags.dir, keyFile, &access.Service)
					if err != nil {
						return err
					}
				}
				return cli.PrintReport(cmd.OutOrStdout(), flags.asJSON, report, report.text)
			})
		},
	}
	flags.register(cmd)
	cmd.Flags().StringVar(&service, "service", "", "the service's id")
	cmd.Flags().BoolVar(&showRecipients, "show-recipients", false,
		"print the fiscal codes of the authorized recipients, too")
	cmd.Flags().StringVar(&keyFile, "directory-key", "", "file with the federation's directory "+
		"key, which opens them; default: the one in --dir")
	cmd.MarkFlagRequired("service")
	return cmd
}

// unseal opens a service's recipients here: the codes come from no node in clear.
func unseal(dir, keyFile string, s *wire.Service) ([]fiscalcode.Code, error) {
	if keyFile == "" && dir != "" {
		keyFile = filepath.Join(dir, process.DirectoryKeyFile)
	}
	if keyFile == "" {
		return nil, errors.New("--show-recipients needs --directory-key")
	}
	key, err := cli.ReadDirectoryKey(keyFile)
	if err != nil {
		return nil, err
	}
	codes, err := federation.Unseal(key, s)
	if err != nil {
		return nil, fmt.Errorf("the recipients of %q: %w: is %s the federation's key?", s.ID, err,
			keyFile)
	}
	return codes, nil
}

func (r serviceReport) text(out io.Writer) error {
	recipients := "all"
	if r.Recipients > 0 {
		recipients = fmt.Sprintf("%d citizens only", r.Recipients)
	}
	var b strings.Builder
	fmt.Fprintf(&b, "service %s, version %d\ninstitution  %s\nname         %s\ndepartment   %s\n"+
		"keys         primary %s, secondary %s\nrecipients   %s\naddresses    %s\n"+
		"payments     up to %d eurocent\n", r.ID, r.Version, r.Institution, r.Name, r.Department,
		r.PrimaryKey, r.SecondaryKey, recipients, strings.Join(r.CIDRs, " "), r.MaxPayment)
	metadata, err := json.MarshalIndent(r.Metadata, "", "  ")
	if err != nil {
		return err
	}
	fmt.Fprintf(&b, "metadata     %s\n", metadata)
	for _, code := range r.List {
		fmt.Fprintf(&b, "  %s\n", code)
	}
	_, err = io.WriteString(out, b.String())
	return err
}
