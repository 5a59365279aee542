package server

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/staffetta/staffetta/gateway"
	"github.com/staffetta/staffetta/gateway/identity"
	"github.com/staffetta/staffetta/gateway/identity/jwt"
	"github.com/staffetta/staffetta/gateway/identity/oidc"
)

// oidcProviders are the providers that speak OpenID Connect, with discovery.
type oidcProviders struct {
	// Address is where browsers reach the gateways.
	Address   string         `json:"address"`
	Providers []oidcProvider `json:"providers"`
}

type oidcProvider struct {
	ID       string `json:"id"`
	Name     string `json:"name"`
	Kind     string `json:"kind"`
	Logo     string `json:"logo"`
	Issuer   string `json:"issuer"`
	ClientID string `json:"client_id"`
	// Secret and Key are files; one of them authenticates the client.
	Secret string `json:"secret"`
	Key    string `json:"key"`
	Scopes string `json:"scopes"`
	Prompt string `json:"prompt"`
	Claims struct {
		FiscalNumber string `json:"fiscal_number"`
		Name         string `json:"name"`
		FamilyName   string `json:"family_name"`
		DateOfBirth  string `json:"date_of_birth"`
		Email        string `json:"email"`
	} `json:"claims"`
}

// add adds the providers to those of a gateway. within is a file's name from where the entry
// stands.
func (s *oidcProviders) add(id *gateway.Identity, within func(string) string,
	now func() time.Time) error {
	if err := oidc.CheckAddress(s.Address); err != nil {
		return fmt.Errorf("oidc: address: %w", err)
	}
	if len(s.Providers) == 0 {
		return errors.New("oidc: no providers")
	}
	var errs []error
	for i := range s.Providers {
		p := &s.Providers[i]
		cfg, source, err := p.config(strings.TrimSuffix(s.Address, "/"), within, now)
		if err != nil {
			errs = append(errs, fmt.Errorf("oidc: provider %q: %w", p.ID, err))
			continue
		}
		provider, err := oidc.New(cfg)
		if err != nil {
			errs = append(errs, fmt.Errorf("oidc: %w", err))
			continue
		}
		id.Providers, id.Sources = append(id.Providers, provider), append(id.Sources, source)
	}
	return errors.Join(errs...)
}

func (p *oidcProvider) config(address string, within func(string) string,
	now func() time.Time) (cfg oidc.Config, source *oidc.Kept, err error) {
	if p.Kind == "" {
		p.Kind = string(identity.OIDC)
	}
	if err := oidc.CheckAddress(p.Issuer); err != nil {
		return cfg, nil, fmt.Errorf("issuer: %w", err)
	}
	cfg = oidc.Config{Info: identity.Info{ID: p.ID, Name: p.Name, Kind: identity.Kind(p.Kind),
		Logo: p.Logo}, Dialect: oidc.Plain, Names: oidc.StandardNames, ClientID: p.ClientID,
		Redirect: address + "/login/callback/" + p.ID, Client: oidc.NewClient(), Now: now}
	cfg.Dialect.Prompt = p.Prompt
	if p.Scopes != "" {
		cfg.Dialect.Scopes = p.Scopes
	}
	for from, to := range map[*string]*string{&p.Claims.FiscalNumber: &cfg.Names.FiscalNumber,
		&p.Claims.Name: &cfg.Names.Name, &p.Claims.FamilyName: &cfg.Names.FamilyName,
		&p.Claims.DateOfBirth: &cfg.Names.DateOfBirth, &p.Claims.Email: &cfg.Names.Email} {
		if *from != "" {
			*to = *from
		}
	}
	if p.Secret != "" {
		text, err := readBounded(within(p.Secret))
		if err != nil {
			return cfg, nil, fmt.Errorf("secret: %w", err)
		}
		cfg.Secret = strings.TrimSpace(string(text))
	}
	if p.Key != "" {
		text, err := readBounded(within(p.Key))
		if err != nil {
			return cfg, nil, fmt.Errorf("key: %w", err)
		}
		if cfg.Key, err = jwt.ParsePrivate(text); err != nil {
			return cfg, nil, fmt.Errorf("key: %s: %w", p.Key, err)
		}
		cfg.Decrypts = []*jwt.Private{cfg.Key}
	}
	source = oidc.Discover(p.Issuer, p.ID, cfg.Client, now)
	cfg.Source = source
	return cfg, source, nil
}
