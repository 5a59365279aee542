package process

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"

	"github.com/staffetta/staffetta/internal/localfile"
	"github.com/staffetta/staffetta/internal/operator"
	"github.com/staffetta/staffetta/wire"
)

// maxPayment is the contract's largest amount, in eurocent.
const maxPayment = 9_999_999_999

// allScopes are the contract's, without the one that limits and the one of a past pandemic.
var allScopes = []string{"ApiMessageWrite", "ApiMessageRead", "ApiLimitedProfileRead",
	"ApiMessageWriteAdvanced", "ApiMessageReadAdvanced", "ApiThirdPartyMessageWrite",
	"ApiMessageWriteWithPayee", "ApiMessageWriteWithLegalData", "ApiMessageWriteDefaultAddress",
	"ApiSubscriptionsFeedRead", "ApiServiceRead", "ApiServiceWrite", "ApiServiceList",
	"ApiRemoteContentConfigurationWrite", "ApiInfoRead", "ApiNoRateLimit"}

// limitedScopes are those of an institution on trial.
var limitedScopes = []string{"ApiLimitedMessageWrite", "ApiMessageRead", "ApiLimitedProfileRead",
	"ApiInfoRead", "ApiServiceRead", "ApiServiceWrite"}

// The institutions' fiscal codes and names. The third is a second one without limits, to measure
// what one does to the other.
var (
	organizations = []string{"80000000010", "80000000028", "80000000036"}
	names         = []string{"Comune di Prova", "Istituto in Prova", "Provincia di Prova"}
)

// provisioned is services.json: what the federation was given, keys in clear.
type provisioned struct {
	Seed     uint64              `json:"seed"`
	Citizens int                 `json:"citizens"`
	Done     bool                `json:"done"` // everything below is in the federation
	Services []localfile.Service `json:"services"`
}

// readProvisioned reads what an earlier run gave the federation, or invents it. Seed and
// citizens of the earlier run hold.
func (c *Config) readProvisioned() (*provisioned, error) {
	p := new(provisioned)
	b, err := os.ReadFile(c.path(servicesFile))
	if errors.Is(err, fs.ErrNotExist) {
		p.Seed, p.Citizens = c.Seed, c.Citizens
		for i, scopes := range [][]string{allScopes, limitedScopes, allScopes} {
			p.Services = append(p.Services, localfile.Service{
				ServiceID:              fmt.Sprintf("01KZZZZZZZSERV1CE%09d", i+1),
				OrganizationFiscalCode: organizations[i],
				PrimaryKey:             operator.NewKey(), SecondaryKey: operator.NewKey(),
				Scopes: scopes})
		}
		return p, c.writeProvisioned(p)
	}
	if err != nil {
		return nil, err
	}
	if err := json.Unmarshal(b, p); err != nil {
		return nil, fmt.Errorf("%s: %w", c.path(servicesFile), err)
	}
	c.Seed, c.Citizens = p.Seed, p.Citizens
	return p, nil
}

func (c *Config) writeProvisioned(p *provisioned) error {
	b, err := json.MarshalIndent(p, "", "  ")
	if err != nil {
		return err
	}
	tmp := c.path(servicesFile + ".tmp")
	if err := os.WriteFile(tmp, append(b, '\n'), 0o600); err != nil {
		return err
	}
	return os.Rename(tmp, c.path(servicesFile))
}

// provision gives the federation its institutions and services, through an operator's calls.
func (c *Config) provision(ctx context.Context, p *provisioned, people []person) error {
	cfg, err := Operator(c.Dir)
	if err != nil {
		return err
	}
	op, err := operator.New(cfg)
	if err != nil {
		return err
	}
	defer op.Close()
	for i, s := range p.Services {
		err := op.PutInstitution(ctx, wire.Institution{
			ID: wire.InstitutionID(s.OrganizationFiscalCode), Name: names[i], Scopes: s.Scopes})
		if err != nil {
			return fmt.Errorf("provision an institution: %w", err)
		}
		if err := op.PutService(ctx, serviceSpec(i, s, people)); err != nil {
			return fmt.Errorf("provision a service: %w", err)
		}
	}
	return nil
}

// serviceSpec describes service i: the first complete and open, the second limited to the first
// two active citizens of each region, the third as plain as can be.
func serviceSpec(i int, s localfile.Service, people []person) wire.ServiceSpec {
	spec := wire.ServiceSpec{Service: wire.Service{ID: wire.ServiceID(s.ServiceID),
		Institution: wire.InstitutionID(s.OrganizationFiscalCode),
		Keys:        [2]wire.KeyHash{wire.HashKey(s.PrimaryKey), wire.HashKey(s.SecondaryKey)}}}
	if i == 0 {
		spec.Service.Name, spec.Service.Department = "Avvisi e scadenze", "Servizi ai cittadini"
		spec.Service.MaxAllowedPaymentAmount = maxPayment
		spec.Service.AuthorizedCIDRs = []string{"0.0.0.0/0"}
		spec.Service.Metadata = wire.ServiceMetadata{Scope: "LOCAL",
			Description: "Avvisi, scadenze e pagamenti del comune.",
			PrivacyURL:  "https://comune.example/privacy", Email: "urp@comune.example",
			SupportURL: "https://comune.example/aiuto"}
		return spec
	}
	spec.Service.Metadata.Scope = "LOCAL"
	if i == 2 {
		spec.Service.Name, spec.Service.Department = "Avvisi della provincia", "Segreteria"
		spec.Service.MaxAllowedPaymentAmount = maxPayment
		return spec
	}
	spec.Service.Name, spec.Service.Department = "Servizio in prova", "Ufficio prove"
	seen := map[string]int{}
	for _, p := range people {
		if seen[p.region]++; p.state == localfile.Active && seen[p.region] <= 2 {
			spec.Recipients = append(spec.Recipients, string(p.FiscalCode))
		}
	}
	return spec
}
