package link

import (
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"strings"

	"github.com/staffetta/staffetta/wire"
)

// Role is what an identity is in its federation.
type Role uint8

// The roles.
const (
	RoleNode Role = 1 + iota
	RoleGateway
	RoleOperator
	// RoleJoiner is a node that has no certificate of its own yet, by one that came with its join
	// token; see wire.JoinToken.
	RoleJoiner
	rolesEnd
)

// String is the word that stands in a certificate's URI.
func (r Role) String() string {
	switch r {
	case RoleNode:
		return "node"
	case RoleGateway:
		return "gateway"
	case RoleOperator:
		return "operator"
	case RoleJoiner:
		return "joiner"
	}
	return "unknown"
}

// Identity is who a certificate says its holder is. Identities are comparable.
type Identity struct {
	Federation string
	Role       Role
	Region     wire.RegionID // empty for operators
	Name       string        // a wire.NodeID, a wire.GatewayID or an operator's name
}

// Node is the identity's name as a node's; empty when it is no node.
func (id Identity) Node() wire.NodeID {
	if id.Role != RoleNode {
		return ""
	}
	return wire.NodeID(id.Name)
}

// URI is the identity as it stands in a certificate.
func (id Identity) URI() *url.URL {
	path := "/region/" + string(id.Region) + "/" + id.Role.String() + "/" + id.Name
	if id.Role == RoleOperator {
		path = "/operator/" + id.Name
	}
	return &url.URL{Scheme: "spiffe", Host: id.Federation, Path: path}
}

// String is the URI.
func (id Identity) String() string { return id.URI().String() }

// LogValue is the URI.
func (id Identity) LogValue() slog.Value { return slog.StringValue(id.String()) }

// ParseIdentity reads an identity strictly: what it accepts, URI gives back unchanged.
func ParseIdentity(u *url.URL) (Identity, error) {
	id := Identity{}
	if u == nil {
		return id, errors.New("no identity")
	}
	id.Federation = u.Host
	part := strings.Split(u.Path, "/")
	switch {
	case len(part) == 5 && part[1] == "region" && part[3] == RoleNode.String():
		id.Role, id.Region, id.Name = RoleNode, wire.RegionID(part[2]), part[4]
	case len(part) == 5 && part[1] == "region" && part[3] == RoleGateway.String():
		id.Role, id.Region, id.Name = RoleGateway, wire.RegionID(part[2]), part[4]
	case len(part) == 5 && part[1] == "region" && part[3] == RoleJoiner.String():
		id.Role, id.Region, id.Name = RoleJoiner, wire.RegionID(part[2]), part[4]
	case len(part) == 3 && part[1] == RoleOperator.String():
		id.Role, id.Name = RoleOperator, part[2]
	}
	named := wire.NodeID(id.Name).Valid() && wire.RegionID(id.Federation).Valid()
	if id.Role != RoleOperator {
		named = named && id.Region.Valid()
	}
	if id.Role == 0 || !named || id.String() != u.String() {
		return Identity{}, fmt.Errorf("%.200q is not the identity of a node, gateway or operator",
			u.String())
	}
	return id, nil
}

// ReadIdentity is ParseIdentity for the text of a URI.
func ReadIdentity(text string) (Identity, error) {
	u, err := url.Parse(text)
	if err != nil {
		return Identity{}, fmt.Errorf("%.200q is no identity", text)
	}
	return ParseIdentity(u)
}

// identityOf reads the identity of a certificate, which has exactly one URI.
func identityOf(cert *x509.Certificate) (Identity, error) {
	if len(cert.URIs) != 1 {
		return Identity{}, fmt.Errorf("certificate has %d URIs, one spiffe:// identity needed",
			len(cert.URIs))
	}
	return ParseIdentity(cert.URIs[0])
}
