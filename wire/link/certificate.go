package link

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"os"
	"sync"
	"time"

	"github.com/staffetta/staffetta/wire"
)

// reloadPause is how often a certificate's files are looked at, at most.
const reloadPause = time.Second

// Credentials are a process's certificate, key and authorities, from three files that are
// replaced while it runs. They belong together: what was read last stays in use until all three
// can be used as they are, so that a process that goes on would also start.
type Credentials struct {
	// Set at construction.
	Identity Identity
	files    [3]string // certificate, key, authorities

	// Guarded by mu.
	mu      sync.Mutex
	cert    *tls.Certificate
	roots   []*x509.Certificate
	stamp   stamp     // of the files that cert and roots came from
	lookAt  time.Time // when to look at the files again
	problem error     // why the files, as they are now, cannot be used
}

// stamp tells one state of the three files from another. A file that was replaced by a rename is
// another one even with the same size within the same tick of the clock.
type stamp [3]os.FileInfo

func (s stamp) same(t stamp) bool {
	for i := range s {
		if !os.SameFile(s[i], t[i]) || !s[i].ModTime().Equal(t[i].ModTime()) ||
			s[i].Size() != t[i].Size() {
			return false
		}
	}
	return true
}

// LoadCertificate reads a PEM certificate (with its intermediates, if any), its key and the
// authorities that peers' certificates must come from. It refuses, saying why, files that are
// missing, malformed or do not belong together, and a certificate that peers would refuse:
// expired, from another authority, naming no identity or another federation. An empty federation
// stands for the one that the certificate names.
func LoadCertificate(certFile, keyFile, caFile, federation string) (*Credentials, error) {
	c := &Credentials{files: [3]string{certFile, keyFile, caFile}}
	var err error
	if c.stamp, err = c.look(); err != nil {
		return nil, err
	}
	if c.cert, c.roots, c.Identity, err = c.read(federation); err != nil {
		return nil, err
	}
	c.lookAt = time.Now().Add(reloadPause)
	return c, nil
}

// Certificate is the certificate for the next handshake, a Config.Certificate. Files that were
// replaced by what cannot be used leave the old ones in place; Problem says why.
func (c *Credentials) Certificate() (*tls.Certificate, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.refresh()
	return c.cert, nil
}

// Authorities are the authorities of the file, a Config.Authorities.
func (c *Credentials) Authorities() []*x509.Certificate {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.refresh()
	return c.roots
}

// Problem says why the files cannot be used as they are now; nil when they can.
func (c *Credentials) Problem() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.refresh()
	return c.problem
}

// refresh takes up files that have changed. Called with mu.
func (c *Credentials) refresh() {
	now := time.Now()
	if now.Before(c.lookAt) {
		return
	}
	c.lookAt = now.Add(reloadPause)
	at, err := c.look()
	if err == nil && at.same(c.stamp) {
		c.problem = nil
		return
	}
	var (
		cert  *tls.Certificate
		roots []*x509.Certificate
	)
	if err == nil {
		var id Identity
		cert, roots, id, err = c.read(c.Identity.Federation)
		if err == nil && id != c.Identity {
			err = fmt.Errorf("%s is now of %s, this process is %s", c.files[0], id, c.Identity)
		}
	}
	if c.problem = err; err == nil {
		c.cert, c.roots, c.stamp = cert, roots, at
	}
}

func (c *Credentials) look() (at stamp, err error) {
	for i, what := range []string{"certificate", "key", "authorities"} {
		if at[i], err = os.Stat(c.files[i]); err != nil {
			return at, fmt.Errorf("%s: %w", what, err)
		}
	}
	return at, nil
}

// read reads the three files. What may be wrong with each comes with the file's name.
func (c *Credentials) read(federation string) (*tls.Certificate, []*x509.Certificate, Identity,
	error) {
	roots, err := ReadAuthorities(c.files[2])
	if err != nil {
		return nil, nil, Identity{}, err
	}
	cert, err := tls.LoadX509KeyPair(c.files[0], c.files[1])
	if err != nil {
		return nil, nil, Identity{}, fmt.Errorf("certificate %s with key %s: %w",
			c.files[0], c.files[1], err)
	}
	if federation == "" {
		id, err := identityOf(cert.Leaf)
		if err != nil {
			return nil, nil, Identity{}, fmt.Errorf("%s: %w", c.files[0], err)
		}
		federation = id.Federation
	}
	id, err := checkOwn(&cert, certPool(roots), federation)
	if err != nil {
		return nil, nil, Identity{}, fmt.Errorf("%s: %w", c.files[0], err)
	}
	return &cert, roots, id, nil
}

// ReadAuthorities reads a file of authorities' certificates (PEM). It refuses one without any,
// and one with a certificate that is not an authority's: that would be believed as it is.
func ReadAuthorities(file string) ([]*x509.Certificate, error) {
	f, err := os.Open(file)
	if err != nil {
		return nil, fmt.Errorf("authorities: %w", err)
	}
	defer f.Close()
	rest, err := io.ReadAll(io.LimitReader(f, authorityFileMax+1))
	if err != nil {
		return nil, fmt.Errorf("authorities: %w", err)
	}
	if len(rest) > authorityFileMax {
		return nil, fmt.Errorf("authorities: %s has more than %d bytes", file, authorityFileMax)
	}
	var roots []*x509.Certificate
	for {
		var block *pem.Block
		if block, rest = pem.Decode(rest); block == nil {
			break
		}
		if block.Type != "CERTIFICATE" {
			continue
		}
		root, err := ParseAuthority(block.Bytes)
		if err != nil {
			return nil, fmt.Errorf("authorities: %s, certificate %d: %w", file, len(roots)+1, err)
		}
		roots = append(roots, root)
	}
	if len(roots) == 0 {
		return nil, fmt.Errorf("authorities: %s holds no PEM certificate", file)
	}
	return roots, nil
}

// ParseAuthority reads an authority's certificate (DER).
func ParseAuthority(der []byte) (*x509.Certificate, error) {
	if len(der) > wire.AuthorityBytesMax {
		return nil, fmt.Errorf("a certificate of %d bytes, %d allowed", len(der),
			wire.AuthorityBytesMax)
	}
	root, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, err
	}
	if !root.IsCA || !root.BasicConstraintsValid {
		return nil, fmt.Errorf("the certificate of %s is not an authority's", root.Subject)
	}
	return root, nil
}

// certPool holds the certificates, each once.
func certPool(lists ...[]*x509.Certificate) *x509.CertPool {
	p := x509.NewCertPool()
	for _, list := range lists {
		for _, cert := range list {
			p.AddCert(cert)
		}
	}
	return p
}

// leafOf is the holder's certificate itself.
func leafOf(cert *tls.Certificate) (*x509.Certificate, error) {
	switch {
	case cert == nil || len(cert.Certificate) == 0:
		return nil, errors.New("no certificate")
	case cert.Leaf != nil && bytes.Equal(cert.Leaf.Raw, cert.Certificate[0]):
		return cert.Leaf, nil
	}
	return x509.ParseCertificate(cert.Certificate[0])
}

// checkOwn verifies the certificate of this process for what it will be used for.
func checkOwn(cert *tls.Certificate, roots *x509.CertPool, federation string) (Identity, error) {
	chain, err := chainOf(cert)
	if err != nil {
		return Identity{}, err
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

// chainOf is the holder's certificate and its intermediates.
func chainOf(cert *tls.Certificate) ([]*x509.Certificate, error) {
	leaf, err := leafOf(cert)
	if err != nil {
		return nil, err
	}
	chain := []*x509.Certificate{leaf}
	for _, der := range cert.Certificate[1:] {
		c, err := x509.ParseCertificate(der)
		if err != nil {
			return nil, err
		}
		chain = append(chain, c)
	}
	return chain, nil
}
