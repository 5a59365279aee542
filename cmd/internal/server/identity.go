package server

import (
	"crypto"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"github.com/go-json-experiment/json"

	"github.com/staffetta/staffetta/gateway"
	"github.com/staffetta/staffetta/gateway/identity"
	"github.com/staffetta/staffetta/gateway/identity/saml"
)

// identityFileMax bounds the file of identity providers, and each file that it names.
const identityFileMax = 1 << 20

// identityFile is the file of --identity-providers. Paths in it are relative to it.
type identityFile struct {
	// AgeMin in years; absent: identity.AgeMinDefault.
	AgeMin   *int           `json:"age_min"`
	LevelMin string         `json:"level_min"`
	SAML     *samlProviders `json:"saml"`
	OIDC     *oidcProviders `json:"oidc"`
}

// samlProviders are the providers that speak SAML, and this federation towards them.
type samlProviders struct {
	Address      string `json:"address"`
	EntityID     string `json:"entity_id"`
	Key          string `json:"key"`
	Certificate  string `json:"certificate"`
	Organization struct {
		Name        string `json:"name"`
		DisplayName string `json:"display_name"`
		URL         string `json:"url"`
		IPACode     string `json:"ipa_code"`
		FiscalCode  string `json:"fiscal_code"`
		Email       string `json:"email"`
		Telephone   string `json:"telephone"`
	} `json:"organization"`
	MetadataFile        string `json:"metadata_file"`
	MetadataURL         string `json:"metadata_url"`
	MetadataCertificate string `json:"metadata_certificate"`
	ClockSkew           string `json:"clock_skew"`
	Providers           []struct {
		ID       string `json:"id"`
		Name     string `json:"name"`
		Kind     string `json:"kind"`
		EntityID string `json:"entity_id"`
		Logo     string `json:"logo"`
		Post     bool   `json:"post"`
	} `json:"providers"`
}

// readIdentity reads the file of identity providers. "" is nobody.
func readIdentity(name string, now func() time.Time) (gateway.Identity, error) {
	id := gateway.Identity{AgeMin: identity.AgeMinDefault}
	if name == "" {
		return id, nil
	}
	text, err := readBounded(name)
	if err != nil {
		return id, err
	}
	var file identityFile
	if err := json.Unmarshal(text, &file, json.RejectUnknownMembers(true)); err != nil {
		return id, fmt.Errorf("%s: %w", name, err)
	}
	if file.AgeMin != nil {
		id.AgeMin = *file.AgeMin
	}
	if file.LevelMin != "" {
		level, ok := identity.ParseLevelName(file.LevelMin)
		if !ok {
			return id, fmt.Errorf("%s: level_min is none of SpidL1 to SpidL3", name)
		}
		id.LevelMin = level
	}
	if file.SAML == nil && file.OIDC == nil {
		return id, fmt.Errorf("%s: no providers", name)
	}
	dir := filepath.Dir(name)
	if file.SAML != nil {
		if err := file.SAML.add(&id, dir, now); err != nil {
			return id, fmt.Errorf("%s: %w", name, err)
		}
	}
	if file.OIDC != nil {
		within := func(name string) string { return within(dir, name) }
		if err := file.OIDC.add(&id, within, now); err != nil {
			return id, fmt.Errorf("%s: %w", name, err)
		}
	}
	return id, nil
}

// within is a file's name in a directory, if it is not whole.
func within(dir, name string) string {
	if name == "" || filepath.IsAbs(name) {
		return name
	}
	return filepath.Join(dir, name)
}

// add adds the providers to those of a gateway.
func (s *samlProviders) add(id *gateway.Identity, dir string, now func() time.Time) error {
	cfg, err := s.config(dir)
	if err != nil {
		return err
	}
	cfg.Now = now
	entity, err := saml.New(cfg)
	if err != nil {
		return err
	}
	for _, p := range entity.Providers() {
		id.Providers = append(id.Providers, p)
	}
	id.Sources, id.Metadata = append(id.Sources, entity), entity.Metadata()
	return nil
}

// config is what the entry says, with what is in the files that it names.
func (s *samlProviders) config(dir string) (saml.Config, error) {
	within := func(name string) string { return within(dir, name) }
	o := &s.Organization
	cfg := saml.Config{EntityID: s.EntityID,
		Callback: s.Address + "/api/auth/v1/assertionConsumerService", Logout: s.Address + "/slo",
		Organization: saml.Organization{Name: o.Name, Display: o.DisplayName, URL: o.URL,
			IPACode: o.IPACode, FiscalCode: o.FiscalCode, Email: o.Email, Telephone: o.Telephone},
		Source: saml.Source{File: within(s.MetadataFile), URL: s.MetadataURL}}
	if cfg.EntityID == "" {
		cfg.EntityID = s.Address
	}
	var errs []error
	pair, err := tls.LoadX509KeyPair(within(s.Certificate), within(s.Key))
	if err != nil {
		errs = append(errs, fmt.Errorf("saml: certificate and key: %w", err))
	} else {
		cfg.Certificate = pair.Leaf
		cfg.Key, _ = pair.PrivateKey.(crypto.Signer)
	}
	if s.MetadataCertificate != "" {
		if cfg.Source.Certificate, err = readCertificate(within(s.MetadataCertificate)); err != nil {
			errs = append(errs, fmt.Errorf("saml: metadata_certificate: %w", err))
		}
	}
	if s.ClockSkew != "" {
		if cfg.Skew, err = time.ParseDuration(s.ClockSkew); err != nil {
			errs = append(errs, fmt.Errorf("saml: clock_skew: %w", err))
		}
	}
	for _, p := range s.Providers {
		cfg.Remotes = append(cfg.Remotes, saml.Remote{EntityID: p.EntityID, Post: p.Post,
			Info: identity.Info{ID: p.ID, Name: p.Name, Kind: identity.Kind(p.Kind), Logo: p.Logo}})
	}
	return cfg, errors.Join(errs...)
}

func readCertificate(name string) (*x509.Certificate, error) {
	text, err := readBounded(name)
	if err != nil {
		return nil, err
	}
	block, _ := pem.Decode(text)
	if block == nil || block.Type != "CERTIFICATE" {
		return nil, fmt.Errorf("%s: no certificate (PEM)", name)
	}
	return x509.ParseCertificate(block.Bytes)
}

func readBounded(name string) ([]byte, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, identityFileMax+1))
	if err == nil && len(text) > identityFileMax {
		err = fmt.Errorf("%s: more than %d bytes", name, identityFileMax)
	}
	return text, err
}
