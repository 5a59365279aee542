package ca

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"fmt"
	"net/url"
	"path"
	"time"
)

// NewRequest makes a key and a request for the certificate of the holder that id names, PKCS #10
// in DER. The key stays with who asks.
func NewRequest(id *url.URL) (request, keyPEM []byte, err error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, nil, fmt.Errorf("ca: %w", err)
	}
	request, err = x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{
		Subject: pkix.Name{CommonName: path.Base(id.Path)}, URIs: []*url.URL{id}}, key)
	if err != nil {
		return nil, nil, fmt.Errorf("ca: request for %s: %w", id, err)
	}
	keyPEM, err = encodeKey(key)
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
	asked, key, err := ReadRequest(request)
	if err != nil {
		return nil, err
	}
	if asked.String() != id.String() {
		return nil, fmt.Errorf("certificate request: it is for %.200q, not for %s", asked, id)
	}
	return c.certify(id, key, time.Now().Add(-skew), validity, nil)
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
