// Package ca is a small certificate authority, for federations that bring none of their own.
//
// What Issue makes is what certificates of any other authority must look like: one URI that names
// the holder, for both ends of a TLS connection. Keys are ECDSA P-256, serial numbers random, and
// a certificate is valid from five minutes ago, for peers whose clock is behind.
package ca

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"net/url"
	"path"
	"time"

	"github.com/staffetta/staffetta/wire"
)

// Skew is how long before now a certificate is valid as a rule, for peers whose clock is behind.
const Skew = 5 * time.Minute

// LifeMax is the longest validity that Issue gives: peers refuse longer ones, counted from a
// beginning that lies Skew before the moment of issuing, and a moment more.
const LifeMax = wire.CertificateLifeMax - 2*Skew

// CA is a certificate authority. It is safe for concurrent use.
type CA struct {
	cert    *x509.Certificate
	key     crypto.Signer
	certPEM []byte
	keyPEM  []byte
}

// New makes an authority, with a new key, that is valid for the given time.
func New(federation string, validity time.Duration) (*CA, error) {
	template, err := newTemplate(time.Now().Add(-Skew), validity)
	if err != nil {
		return nil, err
	}
	template.Subject = pkix.Name{CommonName: "Staffetta CA of " + federation}
	template.IsCA, template.BasicConstraintsValid, template.MaxPathLenZero = true, true, true
	template.KeyUsage = x509.KeyUsageCertSign | x509.KeyUsageCRLSign
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("ca: %w", err)
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return nil, fmt.Errorf("ca: %w", err)
	}
	keyPEM, err := encodeKey(key)
	if err != nil {
		return nil, err
	}
	return Load(encodeCert(der), keyPEM)
}

// Load reads an authority from what CertPEM and KeyPEM gave.
func Load(certPEM, keyPEM []byte) (*CA, error) {
	block, _ := pem.Decode(certPEM)
	if block == nil || block.Type != "CERTIFICATE" {
		return nil, errors.New("ca: no PEM certificate")
	}
	cert, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		return nil, fmt.Errorf("ca: certificate: %w", err)
	}
	if !cert.IsCA {
		return nil, errors.New("ca: the certificate is not an authority's")
	}
	block, _ = pem.Decode(keyPEM)
	if block == nil || block.Type != "PRIVATE KEY" {
		return nil, errors.New("ca: no PEM private key")
	}
	parsed, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		return nil, fmt.Errorf("ca: key: %w", err)
	}
	key, ok := parsed.(crypto.Signer)
	if !ok {
		return nil, fmt.Errorf("ca: a key of type %T cannot sign", parsed)
	}
	public, ok := cert.PublicKey.(interface{ Equal(crypto.PublicKey) bool })
	if !ok || !public.Equal(key.Public()) {
		return nil, errors.New("ca: the key does not belong to the certificate")
	}
	return &CA{cert: cert, key: key, certPEM: certPEM, keyPEM: keyPEM}, nil
}

// CertPEM is the authority's certificate, what peers are verified with.
func (c *CA) CertPEM() []byte { return c.certPEM }

// KeyPEM is the authority's private key.
func (c *CA) KeyPEM() []byte { return c.keyPEM }

// Pool holds the authority's certificate.
func (c *CA) Pool() *x509.CertPool {
	pool := x509.NewCertPool()
	pool.AddCert(c.cert)
	return pool
}

// Authorities is the authority's certificate, as a link's configuration takes it.
func (c *CA) Authorities() []*x509.Certificate { return []*x509.Certificate{c.cert} }

// Issue makes a certificate and its key for the holder that id names, valid for the given time
// but not longer than LifeMax and the authority itself. Units are the organizational units of its
// subject, where an operator's grants stand.
func (c *CA) Issue(id *url.URL, validity time.Duration, units ...string) (certPEM, keyPEM []byte,
	err error) {
	return c.IssueFrom(id, time.Now().Add(-Skew), validity, units...)
}

// IssueFrom is Issue for a certificate that is valid from the given time on: one that begins
// before its holder was revoked is revoked, too.
func (c *CA) IssueFrom(id *url.URL, from time.Time, validity time.Duration, units ...string) (
	certPEM, keyPEM []byte, err error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, nil, fmt.Errorf("ca: %w", err)
	}
	der, err := c.certify(id, key.Public(), from, validity, units)
	if err != nil {
		return nil, nil, err
	}
	keyPEM, err = encodeKey(key)
	return encodeCert(der), keyPEM, err
}

// certify makes the certificate of a key's holder, DER.
func (c *CA) certify(id *url.URL, key crypto.PublicKey, from time.Time, validity time.Duration,
	units []string) ([]byte, error) {
	template, err := newTemplate(from, min(validity, LifeMax))
	if err != nil {
		return nil, err
	}
	if !template.NotBefore.Before(template.NotAfter) {
		return nil, fmt.Errorf("ca: a certificate from %s to %s", from, template.NotAfter)
	}
	if life := template.NotAfter.Sub(from); life > wire.CertificateLifeMax {
		return nil, fmt.Errorf("ca: valid for %s, %s allowed", life, wire.CertificateLifeMax)
	}
	if template.NotAfter.After(c.cert.NotAfter) {
		template.NotAfter = c.cert.NotAfter
	}
	template.URIs = []*url.URL{id}
	template.Subject = pkix.Name{CommonName: path.Base(id.Path), OrganizationalUnit: units}
	template.BasicConstraintsValid = true // and no authority itself
	template.KeyUsage = x509.KeyUsageDigitalSignature
	template.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth,
		x509.ExtKeyUsageClientAuth}
	der, err := x509.CreateCertificate(rand.Reader, template, c.cert, key, c.key)
	if err != nil {
		return nil, fmt.Errorf("ca: issue %s: %w", id, err)
	}
	return der, nil
}

func newTemplate(from time.Time, validity time.Duration) (*x509.Certificate, error) {
	if validity <= 0 {
		return nil, fmt.Errorf("ca: a validity of %s", validity)
	}
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 127))
	if err != nil {
		return nil, fmt.Errorf("ca: %w", err)
	}
	return &x509.Certificate{
		SerialNumber: serial,
		NotBefore:    from,
		NotAfter:     time.Now().Add(validity),
	}, nil
}

func encodeCert(der []byte) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
}

// newKey makes a key, and its PEM.
func newKey() (*ecdsa.PrivateKey, []byte, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, nil, fmt.Errorf("ca: %w", err)
	}
	text, err := encodeKey(key)
	return key, text, err
}

func encodeKey(key crypto.PrivateKey) ([]byte, error) {
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, fmt.Errorf("ca: %w", err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}), nil
}
