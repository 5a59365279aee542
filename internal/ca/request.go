package ca

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/x509"
	"errors"
	"fmt"
	"net/url"
	"time"
)

// NewRequest makes a key and a request for the certificate of the holder that id names, PKCS #10
// in DER. The key stays with who asks.
func NewRequest(id *url.URL) (request, keyPEM []byte, err error) {
	key, keyPEM, err := newKey()
	if err != nil {
		return nil, nil, err
	}
	request, err = requestFor(id, key)
	return request, keyPEM, err
}

// ReadRequest returns the one identity that a request is for, and refuses a request whose maker
// does not have the key, or whose key is no ECDSA P-256 key.
func ReadRequest(request []byte) (*url.URL, *ecdsa.PublicKey, error) {
	r, err := x509.ParseCertificateRequest(request)
	if err != nil {
		return nil, nil, fmt.Errorf("certificate request: %w", err)
	}
	if err := r.CheckSignature(); err != nil {
		return nil, nil, fmt.Errorf("certificate request: %w", err)
	}
	key, ok := r.PublicKey.(*ecdsa.PublicKey)
	if !ok || key.Curve != elliptic.P256() {
		return nil, nil, errors.New("certificate request: the key is no ECDSA key on P-256")
	}
	if len(r.URIs) != 1 {
		return nil, nil, fmt.Errorf("certificate request: %d URIs, one identity needed", len(r.URIs))
	}
	return r.URIs[0], key, nil
}

// Sign makes the certificate that a request asks for, DER, when it is for the holder that id
// names. It holds no organizational units: who asks grants nothing to itself.
func (c *CA) Sign(request []byte, id *url.URL, validity time.Duration) ([]byte, error) {
	return c.SignFrom(request, id, time.Now().Add(-Skew), validity)
}

// SignFrom is Sign for a certificate that is valid from the given time on, with the organizational
// units that the signer gives it.
func (c *CA) SignFrom(request []byte, id *url.URL, from time.Time, validity time.Duration,
	units ...string) ([]byte, error) {
	asked, key, err := ReadRequest(request)
	if err != nil {
		return nil, err
	}
	if asked.String() != id.String() {
		return nil, fmt.Errorf("certificate request: it is for %.200q, not for %s", asked, id)
	}
	return c.certify(id, key, from, validity, units)
}

// CertificatePEM encodes certificates, DER, one behind the other.
func CertificatePEM(der []byte) ([]byte, error) {
	chain, err := x509.ParseCertificates(der)
	if err != nil {
		return nil, fmt.Errorf("ca: certificate: %w", err)
	}
	var out []byte
	for _, c := range chain {
		out = append(out, encodeCert(c.Raw)...)
	}
	return out, nil
}
