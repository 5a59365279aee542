package link

import (
	"crypto/x509"

	"github.com/staffetta/staffetta/wire"
)

// Judge says whose certificate this is, DER with its intermediates behind it, or why peers would
// refuse it in a handshake: who is believed is as of now. A node's must be good for both ends.
func (l *Link) Judge(der []byte) (Identity, error) {
	chain, err := x509.ParseCertificates(der)
	if err != nil {
		return Identity{}, wire.Malformedf("certificate: %s", err)
	}
	id, refusal := l.checkPeer(chain, x509.ExtKeyUsageClientAuth)
	if refusal == nil && id.Role == RoleNode {
		id, refusal = l.checkPeer(chain, x509.ExtKeyUsageServerAuth)
	}
	if refusal != nil {
		return Identity{}, refusal
	}
	return id, nil
}
