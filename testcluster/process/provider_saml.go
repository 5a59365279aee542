package process

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"os"
	"time"

	"github.com/staffetta/staffetta/internal/testidp/saml"
)

// The same identity provider where it speaks SAML, and the gateways towards it.
const (
	samlID              = "test-saml"
	samlMetadata        = "identity-provider.xml"
	samlKey             = "saml.key"
	samlCertificate     = "saml.crt"
	providerKey         = "identity-provider.key"
	providerCertificate = "identity-provider.crt"
)

// makeSAML writes the keys of both sides and the provider's metadata, and returns the gateways'
// entry. The metadata is a file: a gateway may start before the provider does.
func (c *Config) makeSAML(base, gateway string) (map[string]any, error) {
	if _, err := c.samlSigner(samlKey, samlCertificate, func() (crypto.Signer, error) {
		return rsa.GenerateKey(rand.Reader, 2048) // SPID wants RSA of those who ask
	}); err != nil {
		return nil, err
	}
	signer, err := c.samlSigner(providerKey, providerCertificate, func() (crypto.Signer, error) {
		return ecdsa.GenerateKey(elliptic.P256(), rand.Reader) // made in no time
	})
	if err != nil {
		return nil, err
	}
	described, err := saml.Document(saml.Local(base, gateway, signer, c.Seed).Metadata())
	if err != nil {
		return nil, err
	}
	if err := os.WriteFile(c.path(samlMetadata), described, 0o600); err != nil {
		return nil, err
	}
	return map[string]any{"address": gateway, "key": samlKey, "certificate": samlCertificate,
		"organization": map[string]string{"name": "Federazione di prova", "url": gateway,
			"ipa_code": "c_x000", "email": "posta@example.org"},
		"metadata_file": samlMetadata,
		"providers": []map[string]string{{"id": samlID, "name": "Provider di prova (SAML)",
			"kind": "spid", "entity_id": base}}}, nil
}

// samlSigner reads a key and its certificate, or makes them where they are not.
func (c *Config) samlSigner(key, certificate string, make func() (crypto.Signer, error)) (
	*saml.Signer, error) {
	pair, err := tls.LoadX509KeyPair(c.path(certificate), c.path(key))
	if err == nil {
		return &saml.Signer{Key: pair.PrivateKey.(crypto.Signer), Certificate: pair.Leaf}, nil
	}
	if !errors.Is(err, os.ErrNotExist) {
		return nil, err
	}
	private, err := make()
	if err != nil {
		return nil, err
	}
	now := time.Now()
	s, err := saml.NewSignerUntil(private, certificate, now.Add(-time.Hour),
		now.Add(certificateAge))
	if err != nil {
		return nil, err
	}
	der, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		return nil, err
	}
	return s, errors.Join(c.writePEM(key, "PRIVATE KEY", der),
		c.writePEM(certificate, "CERTIFICATE", s.Certificate.Raw))
}

func (c *Config) writePEM(name, kind string, der []byte) error {
	b := pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der})
	return os.WriteFile(c.path(name), b, 0o600)
}
