package membership

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/sha256"
	"crypto/x509"

	"github.com/staffetta/staffetta/internal/ca"
	"github.com/staffetta/staffetta/node/seat"
	"github.com/staffetta/staffetta/wire"
	"github.com/staffetta/staffetta/wire/link"
)

// tokens answers MethodTokens.
func (d *Membership) tokens(ctx context.Context, _ link.Identity, _ *seat.None) (*wire.JoinTokens,
	error) {
	list, err := d.Federation.Tokens()
	if err != nil {
		return nil, err
	}
	return &wire.JoinTokens{List: list}, nil
}

// enrol answers MethodEnrol: a node that holds a token asks for its certificate, and asks again
// until it is signed. Any node takes the question to the federation's leader. Only the hash of the
// secret is logged.
func (d *Membership) enrol(ctx context.Context, from link.Identity, q *wire.EnrolRequest) (
	*wire.JoinToken, error) {
	id, err := requested(q.Request)
	if err != nil {
		return nil, err
	}
	if from.Role == link.RoleJoiner && (id.Name != from.Name || id.Region != from.Region) {
		return nil, wire.Errorf(wire.Forbidden, "%s asks for the certificate of %s", from, id)
	}
	if err := d.CheckFederates(); err != nil {
		if from.Role == link.RoleJoiner {
			k := new(wire.JoinToken)
			return k, d.CallFederation(ctx, wire.MethodEnrol, q, k)
		}
		return nil, err
	}
	if err := d.FederationGroup.Read(ctx); err != nil { // a new leader may not have the token yet
		return nil, err
	}
	hash := sha256.Sum256(q.Secret[:])
	k, err := d.Federation.Token(hash)
	if err != nil {
		return nil, err
	}
	if k.Node != id.Node() || k.Region != id.Region || id.Federation != d.Founding.Federation {
		return nil, wire.Errorf(wire.Forbidden, "the token is for node %s of region %s", k.Node, k.Region)
	}
	if !bytes.Equal(k.Request, q.Request) {
		err := d.FederationQueue.Do(ctx, wire.CmdEnrol,
			&wire.Enrolment{Hash: hash, Node: k.Node, Request: q.Request}, k)
		if err != nil {
			return nil, err
		}
	}
	return k, nil
}

// requested reads and checks a certificate request.
func requested(request []byte) (id link.Identity, err error) {
	if len(request) > wire.CertificateBytesMax {
		return id, wire.Errorf(wire.TooLarge, "certificate request of %d bytes, %d allowed",
			len(request), wire.CertificateBytesMax)
	}
	uri, _, err := ca.ReadRequest(request)
	if err != nil {
		return id, wire.Malformedf("%s", err)
	}
	if id, err = link.ParseIdentity(uri); err != nil || id.Role != link.RoleNode {
		return id, wire.Malformedf("certificate request: %.200q is not the identity of a node", uri)
	}
	return id, nil
}

// sign answers MethodSign: an operator brings the certificate that a node asked for, and with it
// the node onto the map.
func (d *Membership) sign(ctx context.Context, from link.Identity, e *wire.Enrolment) (*seat.None,
	error) {
	d.changing.Lock()
	defer d.changing.Unlock()
	if err := d.FederationGroup.Read(ctx); err != nil {
		return nil, err
	}
	k, err := d.Federation.Token(e.Hash)
	if err != nil {
		return nil, err
	}
	if err := checkSigned(k, e.Certificate, d.Now()); err != nil {
		return nil, err
	}
	e.Node, e.Request = k.Node, nil
	_, err = d.Administrate(ctx, from, "node sign", wire.CmdEnrol, e)
	return nil, err
}

// checkSigned refuses a certificate that is not the one that the token's node asked for. Whether
// the federation's authorities made it, the node finds out itself.
func checkSigned(k *wire.JoinToken, certificate []byte, now wire.Time) error {
	if len(certificate) > wire.CertificateBytesMax {
		return wire.Errorf(wire.TooLarge, "certificate of %d bytes, %d allowed", len(certificate),
			wire.CertificateBytesMax)
	}
	if len(k.Request) == 0 {
		return wire.Errorf(wire.Conflict, "node %s has not asked for a certificate yet", k.Node)
	}
	chain, err := x509.ParseCertificates(certificate)
	if err != nil || len(chain) == 0 {
		return wire.Malformedf("not a certificate")
	}
	uri, key, err := ca.ReadRequest(k.Request)
	if err != nil {
		return wire.Malformedf("%s", err)
	}
	signed, ok := chain[0].PublicKey.(*ecdsa.PublicKey)
	if len(chain[0].URIs) != 1 || chain[0].URIs[0].String() != uri.String() || !ok ||
		!signed.Equal(key) {
		return wire.Malformedf("the certificate is not the one that node %s asked for", k.Node)
	}
	if !chain[0].NotAfter.After(now.Std()) {
		return wire.Malformedf("the certificate ended at %s", wire.TimeOf(chain[0].NotAfter))
	}
	return nil
}

// tokenRegions are the region that a join token is for and that of the token of the same name which
// it takes the place of.
func tokenRegions(at *seat.Seat, req []byte) ([]wire.RegionID, error) {
	var t wire.JoinToken
	if err := wire.Decode(req, &t); err != nil {
		return nil, err
	}
	regions := seat.Just(t.Region)
	tokens, err := at.Federation.Tokens()
	if err != nil {
		return nil, err
	}
	for i := range tokens {
		if was := tokens[i].Region; tokens[i].Node == t.Node && was != t.Region {
			regions = append(regions, was)
		}
	}
	return regions, nil
}

// enrolledRegion is the region that the token of a certificate is for.
func enrolledRegion(at *seat.Seat, req []byte) ([]wire.RegionID, error) {
	var e wire.Enrolment
	if err := wire.Decode(req, &e); err != nil {
		return nil, err
	}
	token, err := at.Federation.Token(e.Hash)
	if err != nil { // none: the call says so
		return seat.Just(link.AllRegions), nil
	}
	return seat.Just(token.Region), nil
}
