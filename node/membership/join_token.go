package membership

import (
	"bytes"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/staffetta/staffetta/wire"
	"github.com/staffetta/staffetta/wire/link"
)

// tokenGrace is how long the joiner's certificate outlives its token, so that a node that was
// interrupted still finds what was signed in time.
const tokenGrace = 24 * time.Hour

// tokenBytesMax bounds a token's file: a certificate, some authorities and addresses.
const tokenBytesMax = 1 << 20

// Token is what a node joins with: an operator makes it, the federation knows a hash of its
// secret, and whoever has the file can join as the node that it names, once, until it expires.
type Token struct {
	Federation string        `json:"federation"`
	Region     wire.RegionID `json:"region"`
	Node       wire.NodeID   `json:"node"`
	Addr       string        `json:"addr"` // where the node is to be reached, host:port, UDP
	Expires    time.Time     `json:"expires"`
	Secret     []byte        `json:"secret"` // 32 bytes
	// Nodes are addresses of nodes to ask.
	Nodes []string `json:"nodes"`
	// Authorities are those of the federation; Certificate and Key are the joiner's. All PEM.
	Authorities string `json:"authorities"`
	Certificate string `json:"certificate"`
	Key         string `json:"key"`
}

// NewToken makes a token without its certificate; see Identity.
func NewToken(federation string, region wire.RegionID, node wire.NodeID, addr string,
	expires time.Time) *Token {
	t := &Token{Federation: federation, Region: region, Node: node, Addr: addr,
		Expires: expires.UTC().Truncate(time.Millisecond), Secret: make([]byte, 32)}
	rand.Read(t.Secret) // never fails
	return t
}

// Identity is whom the token's certificate is for.
func (t *Token) Identity() link.Identity {
	return link.Identity{Federation: t.Federation, Role: link.RoleJoiner, Region: t.Region,
		Name: string(t.Node)}
}

// CertificateAge is how long the token's certificate is to be valid from now on.
func (t *Token) CertificateAge() time.Duration { return time.Until(t.Expires) + tokenGrace }

// nodeIdentity is who the node will be.
func (t *Token) nodeIdentity() link.Identity {
	id := t.Identity()
	id.Role = link.RoleNode
	return id
}

// Known is the federation's half of the token.
func (t *Token) Known() *wire.JoinToken {
	return &wire.JoinToken{Hash: sha256.Sum256(t.Secret), Node: t.Node, Region: t.Region,
		Addr: t.Addr, Expires: wire.TimeOf(t.Expires)}
}

// ReadToken reads and checks a token's file. Its errors do not show the file's text.
func ReadToken(path string) (*Token, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("join token: %w", err)
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, tokenBytesMax+1))
	if err != nil {
		return nil, fmt.Errorf("join token: %w", err)
	}
	t, err := parseToken(b)
	if err != nil {
		return nil, fmt.Errorf("join token %s: %w", path, err)
	}
	return t, nil
}

func parseToken(b []byte) (*Token, error) {
	if len(b) > tokenBytesMax {
		return nil, fmt.Errorf("more than %d bytes", tokenBytesMax)
	}
	t := new(Token)
	d := json.NewDecoder(bytes.NewReader(b))
	d.DisallowUnknownFields()
	if err := d.Decode(t); err != nil {
		return nil, errors.New("not a join token, or one of another version")
	}
	if _, err := d.Token(); err != io.EOF {
		return nil, errors.New("data after the object")
	}
	switch {
	case !wire.RegionID(t.Federation).Valid() || !t.Region.Valid() || !t.Node.Valid():
		return nil, errors.New("no valid names of federation, region and node")
	case len(t.Secret) != 32:
		return nil, fmt.Errorf("a secret of %d bytes, 32 needed", len(t.Secret))
	case len(t.Nodes) == 0 || len(t.Nodes) > wire.NodesMax:
		return nil, fmt.Errorf("%d nodes to ask", len(t.Nodes))
	}
	for _, addr := range t.Nodes {
		if err := link.CheckAddr(addr); err != nil {
			return nil, err
		}
	}
	if _, _, err := t.credentials(); err != nil {
		return nil, err
	}
	return t, nil
}

// JSON is the file's text.
func (t *Token) JSON() []byte {
	b, err := json.MarshalIndent(t, "", "  ")
	if err != nil {
		panic(err) // the type has no value that cannot be encoded
	}
	return append(b, '\n')
}

// credentials are the joiner's certificate and the federation's authorities.
func (t *Token) credentials() (*tls.Certificate, []*x509.Certificate, error) {
	roots, err := parseAuthorities([]byte(t.Authorities))
	if err != nil {
		return nil, nil, err
	}
	cert, err := tls.X509KeyPair([]byte(t.Certificate), []byte(t.Key))
	if err != nil {
		return nil, nil, errors.New("its certificate and key are not a pair")
	}
	return &cert, roots, nil
}

func parseAuthorities(b []byte) (roots []*x509.Certificate, err error) {
	for {
		var block *pem.Block
		if block, b = pem.Decode(b); block == nil {
			break
		}
		cert, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return nil, fmt.Errorf("authorities: %w", err)
		}
		roots = append(roots, cert)
	}
	if len(roots) == 0 {
		return nil, errors.New("authorities: no PEM certificate")
	}
	return roots, nil
}
