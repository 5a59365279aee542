package admin

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"
	"github.com/staffetta/staffetta/cmd/internal/cli"
	"github.com/staffetta/staffetta/internal/fiscalcode"
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
	return group("service", "Put, list and show the services that send", newServicePutCommand(),
		newServiceListCommand(), newServiceShowCommand())
}

// servicePut is `service put`.
type servicePut struct {
	putFlags
	recipients   string
	noRecipients bool

	// Set by check.
	spec    wire.ServiceSpec
	checked *wire.Service
}

func newServicePutCommand() *cobra.Command {
	var s servicePut
	return command{
		use:   "put --file FILE [--recipients FILE]",
		short: "Create a service, or replace all of it except its keys",
		long: `Create a service, or replace all of it except its keys, from a JSON file in the
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
		example: `  staffetta admin service put --dir DIR --file service.json --dry-run
  staffetta admin service put --dir DIR --file service.json --recipients pilot.txt`,
		dry: dryPut,
		flags: func(f *flagSet) {
			s.putFlags.register(f)
			f.StringVar(&s.recipients, "recipients", "", "file of authorized recipients, one "+
				"fiscal code a line; - for standard input")
			f.BoolVar(&s.noRecipients, "no-recipients", false,
				"the service, which has authorized recipients, may write to all")
		},
		check: s.check,
		ask:   s.put,
	}.build()
}

func (s *servicePut) check(c *invocation) (err error) {
	var file serviceFile
	if err := s.read(c, &file); err != nil {
		return err
	}
	s.spec = wire.ServiceSpec{Service: file.service()}
	if s.recipients != "" {
		if s.recipients == "-" && s.file == "-" {
			return errors.New("--file and --recipients cannot both be standard input")
		}
		if s.spec.Recipients, err = readRecipients(c, s.recipients); err != nil {
			return err
		}
	}
	// As the node that takes it would check it: the key of the hashes makes no difference.
	s.checked, err = federation.NewService(s.spec, wire.NewHasher(wire.DirectoryKey{}))
	if err != nil {
		return fmt.Errorf("service %q: %w", file.ID, err)
	}
	return nil
}

func (s *servicePut) put(c *invocation) (report, error) {
	id := s.spec.Service.ID
	if _, err := c.op.Institution(c.ctx, s.spec.Service.Institution); err != nil {
		return nil, fmt.Errorf("service %q: its institution %s: %w; put that first", id,
			s.spec.Service.Institution, err)
	}
	r := putReport{ID: string(id), what: "service", Done: !c.dry}
	after := reportService(s.checked)
	before, err := c.op.Service(c.ctx, id)
	switch {
	case errors.Is(err, wire.NotFound):
		r.Made = true
	case err != nil:
		return nil, fmt.Errorf("service %q: %w", id, err)
	default:
		old := reportService(&before.Service)
		if old.Recipients > 0 && s.recipients == "" && !s.noRecipients {
			return nil, fmt.Errorf("service %q may write to %d recipients only: give their file with "+
				"--recipients, or --no-recipients to let it write to all", id, old.Recipients)
		}
		r.Changed = differ(old.serviceFile, after.serviceFile)
		if s.recipients != "" || old.Recipients > 0 {
			r.Changed = append(r.Changed, fmt.Sprintf("authorized_recipients (%d now, %d given)",
				old.Recipients, after.Recipients))
		}
	}
	spec := s.spec
	if c.dry { // whom it may write to is not needed for that
		spec.Recipients = nil
	}
	if err := c.op.PutService(c.ctx, spec); err != nil {
		return nil, fmt.Errorf("service %q: %w", id, err)
	}
	return r, nil
}

// recipientsBytesMax bounds the file: as many codes as a service may have, and comments.
const recipientsBytesMax = 1 << 20

// readRecipients reads fiscal codes, one a line; empty lines and what begins with # are left out.
// An error names the line, and never what stands there.
func readRecipients(c *invocation, name string) ([]string, error) {
	in, err := c.open(name)
	if err != nil {
		return nil, fmt.Errorf("--recipients: %w", err)
	}
	defer in.Close()
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
	var institution string
	return command{
		use:   "list [--institution CODE]",
		short: "List the services",
		flags: func(f *flagSet) {
			f.StringVar(&institution, "institution", "", "only those of this institution")
		},
		check: func(*invocation) error {
			if institution != "" && !wire.InstitutionID(institution).Valid() {
				return fmt.Errorf("--institution %q is not eleven digits", institution)
			}
			return nil
		},
		ask: func(c *invocation) (report, error) {
			list := listedServices{}
			err := pagesOf(c, wire.ListRegistry{Institution: wire.InstitutionID(institution)},
				func(q wire.ListRegistry) (next string, f wire.Freshness, err error) {
					page, err := c.op.Services(c.ctx, q)
					if err != nil {
						return "", f, err
					}
					for i := range page.List {
						s := reportService(&page.List[i])
						list = append(list, listedService{s.serviceFile, s.Version, s.PrimaryKey,
							s.SecondaryKey})
					}
					return page.Next, page.Fresh, nil
				})
			return list, err
		},
	}.build()
}

// listedServices are what `service list` says.
type listedServices []listedService

func (l listedServices) text(p *page) {
	p.row("service", "institution", "name", "primary key", "secondary key", "version")
	for _, s := range l {
		p.row(s.ID, s.Institution, s.Name, s.PrimaryKey, s.SecondaryKey, s.Version)
	}
}

// listedService is a service in a list, which knows nothing of recipients.
type listedService struct {
	serviceFile
	Version      uint64 `json:"version"`
	PrimaryKey   string `json:"primary_key"`
	SecondaryKey string `json:"secondary_key"`
}

func newServiceShowCommand() *cobra.Command {
	var (
		service        string
		showRecipients bool
		keyFile        string
	)
	return command{
		use:   "show --service ID [--show-recipients --directory-key FILE]",
		short: "Show a service",
		flags: func(f *flagSet) {
			f.need(&service, "service", "the service's id")
			f.BoolVar(&showRecipients, "show-recipients", false,
				"print the fiscal codes of the authorized recipients, too")
			f.StringVar(&keyFile, "directory-key", "", "file with the federation's directory "+
				"key, which opens them; default: the one in --dir")
		},
		check: func(*invocation) error {
			if !wire.ServiceID(service).Valid() {
				return fmt.Errorf("--service %q is not a service id", service)
			}
			return nil
		},
		ask: func(c *invocation) (report, error) {
			access, err := c.op.Service(c.ctx, wire.ServiceID(service))
			if err != nil {
				return nil, fmt.Errorf("service %q: %w", service, err)
			}
			r := reportService(&access.Service)
			if showRecipients {
				r.List, err = unseal(c.who.dir, keyFile, &access.Service)
			}
			return r, err
		},
	}.build()
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

func (r serviceReport) text(p *page) {
	recipients := "all"
	if r.Recipients > 0 {
		recipients = fmt.Sprintf("%d citizens only", r.Recipients)
	}
	p.printf("service %s, version %d\ninstitution  %s\nname         %s\ndepartment   %s\n"+
		"keys         primary %s, secondary %s\nrecipients   %s\naddresses    %s\n"+
		"payments     up to %d eurocent\n", r.ID, r.Version, r.Institution, r.Name, r.Department,
		r.PrimaryKey, r.SecondaryKey, recipients, strings.Join(r.CIDRs, " "), r.MaxPayment)
	metadata, _ := json.MarshalIndent(r.Metadata, "", "  ") // strings do not fail
	p.printf("metadata     %s\n", metadata)
	for _, code := range r.List {
		p.printf("  %s\n", code)
	}
}
