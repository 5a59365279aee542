package link

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net"

	"github.com/staffetta/staffetta/wire"
)

// The protocols, as ALPN names them. A new version is a new name.
const (
	protoRaft  = "staffetta-raft/1"
	protoRelay = "staffetta-relay/1"
)

// checkChain verifies a certificate with its intermediates behind it, for all the usages, and
// reads whose it is.
//
// Host names play no part: the URI is the identity, and the dialler compares it with the node
// that it wants. That is why the TLS library's own verification is switched off.
func checkChain(chain []*x509.Certificate, roots *x509.CertPool, federation string,
	usages ...x509.ExtKeyUsage) (Identity, *wire.Error) {
	if len(chain) == 0 {
		return Identity{}, wire.Errorf(wire.Unauthenticated, "no certificate")
	}
	intermediates := x509.NewCertPool()
	for _, cert := range chain[1:] {
		intermediates.AddCert(cert)
	}
	if life := chain[0].NotAfter.Sub(chain[0].NotBefore); life > wire.CertificateLifeMax {
		return Identity{}, wire.Errorf(wire.Unauthenticated, "certificate: valid for %d days, %d "+
			"allowed", int(life.Hours()/24), int(wire.CertificateLifeMax.Hours()/24))
	}
	for _, usage := range usages {
		_, err := chain[0].Verify(x509.VerifyOptions{Roots: roots, Intermediates: intermediates,
			KeyUsages: []x509.ExtKeyUsage{usage}})
		if err != nil {
			return Identity{}, wire.Errorf(wire.Unauthenticated, "certificate: %s", err)
		}
	}
	id, err := identityOf(chain[0])
	if err != nil {
		return Identity{}, wire.Errorf(wire.Unauthenticated, "certificate: %s", err)
	}
	if id.Federation != federation {
		return id, wire.Errorf(wire.WrongFederation, "certificate is of %s, not of federation %s",
			id, federation)
	}
	return id, nil
}

// serverTLS is the listener's configuration. Tickets are off: a resumed connection would vouch
// with the certificate of an earlier one.
func (l *Link) serverTLS() *tls.Config {
	base := &tls.Config{
		MinVersion:             tls.VersionTLS13,
		NextProtos:             []string{protoRaft, protoRelay},
		ClientAuth:             tls.RequireAnyClientCert, // and verified in VerifyConnection
		SessionTicketsDisabled: true,
		GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) {
			return l.cfg.Certificate()
		},
	}
	base.GetConfigForClient = func(hello *tls.ClientHelloInfo) (*tls.Config, error) {
		var from net.Addr
		if hello.Conn != nil {
			from = hello.Conn.RemoteAddr()
		}
		c := base.Clone()
		c.GetConfigForClient = nil
		c.VerifyConnection = func(cs tls.ConnectionState) error {
			if err := l.verifyClient(&cs); err != nil {
				l.refused(from, err)
				return err
			}
			return nil
		}
		return c, nil
	}
	return base
}

func (l *Link) verifyClient(cs *tls.ConnectionState) *wire.Error {
	id, err := l.checkPeer(cs.PeerCertificates, x509.ExtKeyUsageClientAuth)
	if err != nil {
		return err
	}
	if cs.NegotiatedProtocol == protoRaft && id.Role != RoleNode {
		return wire.Errorf(wire.Forbidden, "%s is no node, and only nodes speak raft", id)
	}
	return nil
}

// refused notes a handshake that was refused here. Strangers decide how often that is.
func (l *Link) refused(from net.Addr, err *wire.Error) {
	l.stats.refused.WithLabelValues(err.Code.String()).Inc()
	if l.refusalLogs.Allow() {
		l.log.Warn("connection refused", "from", fmt.Sprint(from), "reason", err)
	}
}

// clientTLS is the configuration of one dial. Once the handshake is complete, c knows the identity
// that the peer proved, and which certificate of ours it saw.
func (l *Link) clientTLS(c *outConn) *tls.Config {
	want := c.key.node
	return &tls.Config{
		MinVersion:         tls.VersionTLS13,
		NextProtos:         []string{c.key.proto},
		InsecureSkipVerify: true, // VerifyConnection verifies the chain and the identity
		VerifyConnection: func(cs tls.ConnectionState) error {
			id, err := l.checkPeer(cs.PeerCertificates, x509.ExtKeyUsageServerAuth)
			if err == nil && id.Role != RoleNode {
				err = wire.Errorf(wire.Unauthenticated, "peer is %s, not a node", id)
			}
			if err == nil && want != "" && id.Node() != want {
				err = wire.Errorf(wire.Unauthenticated, "peer is %s, not node %s", id, want)
			}
			if err != nil {
				return err
			}
			c.id = id
			return nil
		},
		GetClientCertificate: func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
			cert, err := l.cfg.Certificate()
			if err == nil {
				c.own, err = leafOf(cert)
			}
			return cert, err
		},
	}
}
