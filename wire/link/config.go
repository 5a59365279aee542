package link

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"log/slog"
	"net"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/staffetta/staffetta/wire"
)

// Config is what a Link is made of.
type Config struct {
	// Federation is the federation's name. Peers of another one are refused.
	Federation string
	// PacketConn is one UDP socket, or a simulated one. The caller of New owns it, and closes it
	// after Run has returned.
	PacketConn net.PacketConn
	// Certificate is asked at every handshake, so that a new certificate needs no restart. It is
	// called concurrently and must be fast.
	Certificate func() (*tls.Certificate, error)
	// Authorities are the authorities that this process's own files name. Peers' certificates must
	// come from one of them, or of those that the federation names; see Link.Trust. It is asked at
	// every handshake and called concurrently.
	Authorities func() []*x509.Certificate
	// Problem says why the certificate's files cannot be used as they are now. Nil: there are no
	// files.
	Problem func() error
	// Listen accepts connections. Nodes listen; gateways and operators only dial.
	Listen bool
	// Addr says where a node listens, as host:port. It is called concurrently. Nil knows nobody.
	Addr func(wire.NodeID) (string, bool)
	// Admit says why a peer whose certificate is good is answered nothing; nil: it is answered. It
	// is called concurrently, before each call of a peer, and must be fast. Nil admits everybody.
	Admit func(Identity) *wire.Error
	// Permit says why an operator's call is refused, by what its certificate grants and what it
	// asks; nil: it is answered. It is called concurrently, before each call of an operator, whose
	// request is whatever the operator sent. Nil permits everything.
	Permit func(from Identity, grants Grants, m wire.Method, req []byte) *wire.Error
	// Logger; nil logs nothing.
	Logger *slog.Logger
	// Registerer receives the metrics; nil: none.
	Registerer prometheus.Registerer
	// ResetKey, the same across restarts of a node, lets peers notice a restart at once instead
	// of after the idle timeout. Nil does without.
	ResetKey *[32]byte
	// ConnAgeMax is the age at which connections are replaced; 0 is 12 hours.
	ConnAgeMax time.Duration
}

// validate fills in defaults and reports everything that is wrong.
func (c *Config) validate() error {
	var errs []error
	if !wire.RegionID(c.Federation).Valid() {
		errs = append(errs, errors.New("the federation needs a name of [a-z0-9-], a letter first"))
	}
	if c.PacketConn == nil {
		errs = append(errs, errors.New("no socket"))
	}
	if c.Certificate == nil {
		errs = append(errs, errors.New("no certificate"))
	}
	if c.Authorities == nil {
		errs = append(errs, errors.New("no roots to verify peers with"))
	}
	if c.ConnAgeMax < 0 {
		errs = append(errs, errors.New("the age of connections is negative"))
	}
	if c.ConnAgeMax == 0 {
		c.ConnAgeMax = connAgeDefault
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	if c.Admit == nil {
		c.Admit = func(Identity) *wire.Error { return nil }
	}
	if c.Permit == nil {
		c.Permit = func(Identity, Grants, wire.Method, []byte) *wire.Error { return nil }
	}
	if c.Addr == nil {
		c.Addr = func(wire.NodeID) (string, bool) { return "", false }
	}
	return errors.Join(errs...)
}
