package link

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"os"
	"sync"
	"time"
)

// reloadPause is how often a certificate's file is looked at, at most.
const reloadPause = time.Second

// Credentials are a process's certificate, key and authorities, from files. The certificate and
// its key are read again when their files change, so that they can be renewed without a restart.
type Credentials struct {
	// Set at construction.
	Identity Identity
	Roots    *x509.CertPool
	certFile string
	keyFile  string

	// Guarded by mu.
	mu      sync.Mutex
	cert    *tls.Certificate
	stamp   stamp     // of the files that cert came from
	lookAt  time.Time // when to look at the files again
	problem error     // why the files, as they are now, can not be used
}

// stamp tells one state of the two files from another.
type stamp struct {
	cert, key         time.Time
	certSize, keySize int64
}

// LoadCertificate reads a PEM certificate (with its intermediates, if any), its key and the
// authorities that peers' certificates must come from. It refuses, saying why, files that are
// missing, malformed or do not belong together, and a certificate that peers would refuse:
// expired, from another authority, naming no identity or another federation. An empty federation
// stands for the one that the certificate names.
func LoadCertificate(certFile, keyFile, caFile, federation string) (*Credentials, error) {
	pem, err := os.ReadFile(caFile)
	if err != nil {
		return nil, fmt.Errorf("authorities: %w", err)
	}
	c := &Credentials{Roots: x509.NewCertPool(), certFile: certFile, keyFile: keyFile}
	if !c.Roots.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("authorities: %s holds no PEM certificate", caFile)
	}
	if c.stamp, err = c.look(); err != nil {
		return nil, fmt.Errorf("certificate: %w", err)
	}
	if c.cert, c.Identity, err = c.read(federation); err != nil {
		return nil, err
	}
	c.lookAt = time.Now().Add(reloadPause)
	return c, nil
}

// Certificate is the certificate for the next handshake, a Config.Certificate. Files that were
// replaced by what can not be used leave the old certificate in place; Problem says why.
func (c *Credentials) Certificate() (*tls.Certificate, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	now := time.Now()
	if now.Before(c.lookAt) {
		return c.cert, nil
	}
	c.lookAt = now.Add(reloadPause)
	at, err := c.look()
	if err == nil && at == c.stamp {
		c.problem = nil
		return c.cert, nil
	}
	var cert *tls.Certificate
	if err == nil {
		var id Identity
		cert, id, err = c.read(c.Identity.Federation)
		if err == nil && id != c.Identity {
			err = fmt.Errorf("%s is now of %s, this process is %s", c.certFile, id, c.Identity)
		}
	}
	if c.problem = err; err == nil {
		c.cert, c.stamp = cert, at
	}
	return c.cert, nil
}

// Problem says why the files can not be used as they are now; nil when they can.
func (c *Credentials) Problem() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.problem
}

func (c *Credentials) look() (stamp, error) {
	cert, err := os.Stat(c.certFile)
	if err != nil {
		return stamp{}, err
	}
	key, err := os.Stat(c.keyFile)
	if err != nil {
		return stamp{}, err
	}
	return stamp{cert.ModTime(), key.ModTime(), cert.Size(), key.Size()}, nil
}

func (c *Credentials) read(federation string) (*tls.Certificate, Identity, error) {
	cert, err := tls.LoadX509KeyPair(c.certFile, c.keyFile)
	if err != nil {
		return nil, Identity{}, fmt.Errorf("certificate %s with key %s: %w",
			c.certFile, c.keyFile, err)
	}
	if federation == "" {
		id, err := identityOf(cert.Leaf)
		if err != nil {
			return nil, Identity{}, fmt.Errorf("%s: %w", c.certFile, err)
		}
		federation = id.Federation
	}
	id, err := checkOwn(&cert, c.Roots, federation)
	if err != nil {
		return nil, Identity{}, fmt.Errorf("%s: %w", c.certFile, err)
	}
	return &cert, id, nil
}

// checkOwn verifies the certificate of this process for what it will be used for.
func checkOwn(cert *tls.Certificate, roots *x509.CertPool, federation string) (Identity, error) {
	if cert == nil || len(cert.Certificate) == 0 {
		return Identity{}, errors.New("no certificate")
	}
	chain := make([]*x509.Certificate, len(cert.Certificate))
	for i, der := range cert.Certificate {
		var err error
		if chain[i], err = x509.ParseCertificate(der); err != nil {
			return Identity{}, err
		}
	}
	usages := []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth, x509.ExtKeyUsageServerAuth}
	if id, err := identityOf(chain[0]); err == nil && id.Role != RoleNode {
		usages = usages[:1] // only nodes are dialled
	}
	id, refusal := checkChain(chain, roots, federation, usages...)
	if refusal != nil {
		return Identity{}, refusal
	}
	return id, nil
}
