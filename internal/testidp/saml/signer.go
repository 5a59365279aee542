package saml

import (
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"math/big"
	"sync"
	"time"
)

// Signer signs elements: a key, and what says whose it is.
type Signer struct {
	Key         crypto.Signer
	Certificate *x509.Certificate
}

// NewSigner makes a signer of a key, with a certificate by itself for a year from now.
func NewSigner(key crypto.Signer, name string, now time.Time) (*Signer, error) {
	return NewSignerUntil(key, name, now.Add(-time.Hour), now.AddDate(1, 0, 0))
}

// NewSignerUntil makes a signer with a certificate for that time.
func NewSignerUntil(key crypto.Signer, name string, from, until time.Time) (*Signer, error) {
	serial, err := rand.Int(rand.Reader, big.NewInt(1<<62))
	if err != nil {
		return nil, err
	}
	c := &x509.Certificate{SerialNumber: serial, Subject: pkix.Name{CommonName: name},
		NotBefore: from, NotAfter: until, KeyUsage: x509.KeyUsageDigitalSignature}
	der, err := x509.CreateCertificate(rand.Reader, c, c, key.Public(), key)
	if err != nil {
		return nil, err
	}
	certificate, err := x509.ParseCertificate(der)
	return &Signer{key, certificate}, err
}

// stranger is a key that is nobody's.
var stranger = sync.OnceValues(func() (*rsa.PrivateKey, error) {
	return rsa.GenerateKey(rand.Reader, 2048)
})
